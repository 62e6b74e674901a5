"""A coil that `assesscoil` names: read from the plant's tables, or ended where it came event by event."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import psycopg

from flows.intake import Message, read_event
from flows.mapping import mapping_of
from flows.mqtt.requests import AssessRequest, Fault, ended_event
from flows.sources.plant_database import plant_database
from flows.sources.tables import read_tables
from processors.assemble import Assembled
from processors.decode import Decoder
from processors.normalize import take_coils
from schemas.coils import CoilKey
from schemas.errors import SourceError
from schemas.settings import Settings
from store.connection import Connection
from store.inbox import Host, InboxEvent, coil_state, has_inbox_coil, store_events


def plant_coils(asked: AssessRequest, settings: Settings) -> tuple[Assembled, ...]:
    """The coil as the plant's tables have it; nothing where they do not know it, or there are none.

    Raises:
        SourceError: the tables cannot be read.
    """
    if settings.plant_dsn is None:
        return ()
    dsn = settings.plant_dsn.get_secret_value()
    try:
        with plant_database(
            dsn, default_plant=settings.plant, mapping=mapping_of(settings), coil_id=asked.coil_id
        ) as tables:
            parts = tuple(read_tables(tables))
    except SourceError as error:
        if isinstance(error.__cause__, psycopg.DataError):  # ids are numbers there, and this is none
            return ()
        raise
    plants = {key.plant for part in parts for key in keys_of_part(part)}
    wanted = asked.plant or (settings.plant if settings.plant in plants else None)
    found = tuple(_of_plant(part, wanted) for part in parts)
    return found if any(keys_of_part(part) for part in found) else ()


def several_plants(found: Sequence[Assembled], asked: AssessRequest) -> Fault | None:
    """Why it cannot be told which coil is meant, where that is so."""
    plants = sorted({key.plant for part in found for key in keys_of_part(part)})
    if len(plants) < 2:
        return None
    return f"coil {asked.coil_id} is in several plants: {', '.join(plants)}", "name its PLANT in the message"


def keys_of_part(part: Assembled) -> set[CoilKey]:
    """Coils that are whole, and those that were refused."""
    return {header.key for header in part.coils.headers} | {r.key for r in part.rejects if r.key is not None}


def end_coil(
    connection: Connection,
    asked: AssessRequest,
    payload: bytes,
    settings: Settings,
    *,
    decode: Decoder,
    host: Host = "inbox",
) -> Literal["applied", "duplicate"] | Fault:
    """Say that a coil ended that came event by event; as often as it is asked, it ends once.

    Args:
        connection: inside `connection.transaction()`.
        asked: the message.
        payload: the message as it came.
        settings: topic, rules of the stream.
        decode: of events.
        host: who judges coils whose first event this is.

    Raises:
        StoreError: the database refused.
    """
    topic, key = settings.mqtt.assess_topic, key_asked(asked, settings)
    if not has_inbox_coil(connection, key):
        known = coil_state(connection, key)
        if known is not None and known.state == "decided":
            return "duplicate"
        where = "the plant's tables or among the events" if settings.plant_dsn else "among the events"
        return (
            f"coil {key.coil_id} of plant {key.plant} is not to be found in {where} received",
            "write its readings first and set COILFLOW_PLANT_DSN, or send its events, then send this again",
        )
    place = f"mqtt {topic}"
    event = (
        read_event(Message(value=payload), decode=decode, place=place, now=datetime.now(UTC))
        if asked.is_event
        else None
    )
    if not isinstance(event, InboxEvent):
        source, event_id, line = ended_event(key, topic)
        event = InboxEvent(key=key, source=source, event_id=event_id, is_start=False, is_end=True, event=line)
    [new] = store_events(connection, [event], settings.stream, host=host)
    return "applied" if new else "duplicate"


def key_asked(asked: AssessRequest, settings: Settings) -> CoilKey:
    """The coil that a message names."""
    return CoilKey(plant=asked.plant or settings.plant, coil_id=asked.coil_id)


def _of_plant(part: Assembled, plant: str | None) -> Assembled:
    if plant is None:
        return part
    which = np.array([header.key.plant == plant for header in part.coils.headers], dtype=bool)
    return replace(
        part,
        coils=part.coils if which.all() else take_coils(part.coils, which),
        rejects=tuple(r for r in part.rejects if r.key is None or r.key.plant == plant),
    )
