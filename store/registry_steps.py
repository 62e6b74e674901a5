"""What every change of the registry has in common: its transaction, its record, and its announcement."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from psycopg.rows import DictRow

from schemas.errors import RegistryError
from schemas.events import ModelChanged, ModelChangedEvent
from store.connection import Connection, store_errors
from store.models import ModelState
from store.outbox_keys import outbox_key, slot_of
from store.queries import query
from store.registered import EVERY_PLANT, ChangeKind, StoredEnsemble, ensemble

LIST = "see `coilflow models list`"
_EVENTS = uuid.UUID("5a0c1f0e-5c0e-5f6b-9d0a-6d5e0c011f30")  # namespace of the ids of `model.changed`


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """Who changes what serves, when, and why."""

    who: str  # login name, or name of a job
    why: str
    at: datetime  # with a time zone
    automatic: bool = False  # coilflow by itself: refused while automatic change is frozen
    announce: Sequence[str] = field(default=())  # destinations of `model.changed`, e.g. "kafka:model.events"


@contextmanager
def step(connection: Connection, what: str, actor: Actor | None = None) -> Iterator[DictRow]:
    """One transaction under the registry's lock; `actor` is given where a freeze stops what is automatic."""
    with store_errors(what), connection.transaction():
        [row] = connection.execute(query("lock_registry")).fetchall()
        if actor is not None and actor.automatic and row["frozen"]:
            raise RegistryError(
                f"automatic change is frozen since {row['at']:%Y-%m-%d %H:%M} by {row['who']} ({row['why']})",
                remedy="a person may do it, or let it go on with `coilflow models unfreeze`",
            )
        yield row


def known_ensemble(connection: Connection, version: str) -> StoredEnsemble:
    """The ensemble of that version; raises RegistryError where there is none."""
    found = ensemble(connection, version)
    if found is None:
        raise RegistryError(f"there is no ensemble {version!r} in the registry", remedy=LIST)
    return found


def settle_state(connection: Connection, version: str, otherwise: ModelState, actor: Actor) -> ModelState:
    """Set the state of an ensemble that serves no plant to `otherwise`, and its members' after it."""
    parameters = {"version": version, "otherwise": otherwise, "at": actor.at}
    [row] = connection.execute(query("set_ensemble_state"), parameters).fetchall()
    connection.execute(query("settle_member_states"), {"at": actor.at})
    state: ModelState = row["state"]
    return state


def note_change(
    connection: Connection, found: StoredEnsemble, change: ChangeKind, plant: str, actor: Actor, **before: str | None
) -> None:
    """Record a change of an ensemble's state and announce it; `before`: champion and shadow of the plant's own row."""
    change_id = note_row(
        connection, change, plant, actor, version=found.version, before={"state": found.state, **before}
    )
    data = ModelChanged.model_validate(
        {
            "model": found.name,
            "version": found.version,
            "change": change,
            "plant": plant or None,
            "ensemble_version": found.version,
            "parent": found.parent,
            "reason": actor.why or None,
            "changed_at": actor.at,
        }
    )
    event_id = uuid.uuid5(_EVENTS, f"{change_id} {found.version} {change} {actor.at.isoformat()}")
    announce_change(connection, event_id, data, actor.announce)


def note_row(
    connection: Connection, change: ChangeKind, plant: str, actor: Actor, *, version: str | None, before: dict[str, Any]
) -> int:
    """Record a change; returns its number."""
    parameters = {
        "at": actor.at,
        "plant": plant,
        "ensemble_version": version,
        "change": change,
        "who": actor.who,
        "why": actor.why,
        "before": orjson.dumps(before).decode(),
    }
    [row] = connection.execute(query("insert_model_change"), parameters).fetchall()
    return int(row["change_id"])


def announce_change(
    connection: Connection, event_id: uuid.UUID, data: ModelChanged, destinations: Sequence[str]
) -> None:
    """Queue a `model.changed` in the caller's transaction; those of one plant keep their order."""
    if not destinations:
        return
    event = ModelChangedEvent(
        specversion="1.0",
        type="model.changed",
        id=str(event_id),
        source="/coilflow/registry",
        subject=f"{data.model} {data.version}",
        time=data.changed_at,
        data=data,
    )
    key = outbox_key("models", data.plant or EVERY_PLANT)
    connection.execute(
        query("announce_event"),
        {
            "event_id": event_id,
            "destinations": list(dict.fromkeys(destinations)),
            "key": key,
            "slot": slot_of(key),
            "payload": orjson.dumps(event.model_dump(mode="json", exclude_none=True)).decode(),
        },
    )
