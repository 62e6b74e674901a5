"""Which coils of the inbox are due, and what each is made of: the same for the inbox host and for NiFi."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flows.assemble_due import DueCoil
from processors.decode import Decoder, EventFault
from processors.open_coils import OpenCoil, revision_of
from schemas.coils import CoilKey, StoredCoil
from schemas.settings import Settings
from store.connection import Connection
from store.inbox import (
    Host,
    StoredEvent,
    database_clock,
    inbox_events,
    postpone_coils,
    settle_coils,
    take_coils,
)
from store.log import decided_coils, refused_coils

_NAMES: dict[Host, str] = {"inbox": "inbox", "nifi": "NiFi"}  # to people


@dataclass(frozen=True, kw_only=True, slots=True)
class TakenCoils:
    """Coils that are this transaction's; `taken` is the sum of the others."""

    taken: int
    due: tuple[DueCoil, ...] = ()
    last_ids: dict[CoilKey, int]  # of those that are due: `inbox_id` of the last event
    unchanged: int = 0  # decided coils that what came late says nothing new of
    postponed: int = 0


def take_due(
    connection: Connection, settings: Settings, *, host: Host, decode: Decoder, up_since: datetime
) -> TakenCoils:
    """Take coils that are due, one batch at most; what is not is postponed, what says nothing new leaves the inbox.

    Args:
        connection: inside `connection.transaction()`; until it ends nobody else gets what it took.
        settings: batch size, rules of the stream.
        host: whose coils.
        decode: of events.
        up_since: since when events could come in without a break: silence before it was not the coil's own.

    Raises:
        StoreError: the database refused.
    """
    keys = take_coils(connection, most=settings.batch_coils, host=host)
    if not keys:
        return TakenCoils(taken=0, last_ids={})
    now = database_clock(connection)
    stored = decided_coils(connection, keys)
    refused = refused_coils(connection, keys)
    events = inbox_events(connection, keys)
    coils = [
        _open_coil(key, heard, stored.get(key), decode, up_since, after_reject=key in refused)
        for key, heard in events.items()
    ]
    said = [coil for coil in coils if coil.messages]
    due = [coil for coil in said if coil.is_due(_ms(now), settings.stream)]
    look_at = {coil.key: _look_at(coil, settings) for coil in said if not coil.is_due(_ms(now), settings.stream)}
    postpone_coils(connection, look_at)
    settle_coils(connection, [coil.key for coil in coils if not coil.messages])
    return TakenCoils(
        taken=len(keys),
        due=tuple(_due(coil, events[coil.key], now, settings, host) for coil in due),
        last_ids={coil.key: events[coil.key][-1].inbox_id for coil in due},
        unchanged=len(coils) - len(said),
        postponed=len(look_at),
    )


def _open_coil(
    key: CoilKey,
    events: Sequence[StoredEvent],
    stored: StoredCoil | None,
    decode: Decoder,
    up_since: datetime,
    *,
    after_reject: bool,
) -> OpenCoil:
    coil = (revision_of(stored) if stored is not None else None) or OpenCoil(key=key, after_reject=after_reject)
    for one in events:
        decoded, now_ms = decode(one.event, ()), _ms(max(one.received_at, up_since))
        message = (one.event, ())
        if isinstance(decoded, EventFault):  # it was right when it was taken in: another version of us took it
            coil.fail((decoded.error, decoded.remedy), message, offset=one.inbox_id, now_ms=now_ms)
        else:
            coil.apply(decoded, message, offset=one.inbox_id, now_ms=now_ms)
    coil.first_timestamp_ms, coil.last_timestamp_ms = _ms(events[0].received_at), _ms(events[-1].received_at)
    return coil


def inbox_place(host: Host, events: Sequence[StoredEvent]) -> str:
    """Where a coil came from, for people, and for a replay, which gives it back to its host (`host_of`)."""
    return f"{_NAMES[host]}, events {events[0].inbox_id} to {events[-1].inbox_id}"


def host_of(place: str) -> Host:
    """Who is to judge a coil that was refused there."""
    return "nifi" if place.startswith(_NAMES["nifi"]) else "inbox"


def _due(coil: OpenCoil, events: Sequence[StoredEvent], now: datetime, settings: Settings, host: Host) -> DueCoil:
    return DueCoil(
        coil=coil,
        place=inbox_place(host, events),
        silent=coil.is_silent(_ms(now), settings.stream),
        log=None,
    )


def _look_at(coil: OpenCoil, settings: Settings) -> datetime:
    wait_s = settings.stream.deadline_s if coil.rows_per_face is None else settings.stream.settle_s
    return datetime.fromtimestamp(coil.last_ms / 1000, UTC) + timedelta(seconds=wait_s)


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)
