"""The inbox: chunk events that came without Kafka, until their coil is judged."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from schemas.coils import CoilKey
from schemas.stream_settings import StreamSettings
from store.connection import Connection, store_errors
from store.queries import query


@dataclass(frozen=True, kw_only=True, slots=True)
class InboxEvent:
    """One chunk event on its way in; `source` and `event_id` are its identity among its coil's."""

    key: CoilKey
    source: str
    event_id: str
    is_start: bool  # it is a coil.started
    is_end: bool  # it is a coil.ended
    event: bytes  # CloudEvent in structured JSON


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredEvent:
    """One event of the inbox; ids grow in the order in which a coil's events came."""

    inbox_id: int
    event: bytes
    received_at: datetime


def store_events(connection: Connection, events: Sequence[InboxEvent], rules: StreamSettings) -> tuple[bool, ...]:
    """Store a batch of events of any coils, in one statement.

    An event whose identity is stored already, or belonged to a coil that was judged, is left out. The coil of a new
    event is known from then on: in state `open`, unless it is decided, or was refused and its start is not among them.

    Args:
        connection: on a database of this version; inside `connection.transaction()` it joins that transaction.
        events: in the order in which they came.
        rules: deadline, settling time and most events of a coil: when a coil is looked at.

    Returns:
        For each event whether it is new.

    Raises:
        StoreError: a value cannot be stored or the database refused; nothing of the batch is stored then.
    """
    if not events:
        return ()
    rows: list[dict[str, Any]] = [
        {
            "plant": one.key.plant,
            "coil_id": one.key.coil_id,
            "source": one.source,
            "event_id": one.event_id,
            "is_start": one.is_start,
            "is_end": one.is_end,
        }
        for one in events
    ]
    parameters = {
        "rows": orjson.dumps(rows).decode(),
        "events": [one.event for one in events],
        "deadline_s": rules.deadline_s,
        "settle_s": rules.settle_s,
        "most_events": rules.most_events_per_coil,
    }
    with store_errors(f"store {len(events)} events"):
        new = {row["nth"] for row in connection.execute(query("store_events"), parameters)}
    return tuple(nth in new for nth in range(1, len(events) + 1))


def database_clock(connection: Connection) -> datetime:
    """The database's clock, by which the deadlines of the inbox run.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("read the database's clock"):
        [row] = connection.execute(query("database_clock")).fetchall()
    now: datetime = row["now"]
    return now


def take_coils(connection: Connection, *, most: int) -> tuple[CoilKey, ...]:
    """Take coils that may be due, longest waiting first; until the transaction ends nobody else gets them.

    Args:
        connection: inside `connection.transaction()`.
        most: so many at most.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("take coils from the inbox"):
        rows = connection.execute(query("take_coils"), {"most": most}).fetchall()
    return tuple(CoilKey(plant=row["plant"], coil_id=row["coil_id"]) for row in rows)


def inbox_events(connection: Connection, keys: Sequence[CoilKey]) -> dict[CoilKey, tuple[StoredEvent, ...]]:
    """The events of these coils in the order in which they came.

    Raises:
        StoreError: the database refused.
    """
    found: dict[CoilKey, list[StoredEvent]] = {key: [] for key in keys}
    with store_errors(f"read the events of {len(keys)} coils"):
        for row in connection.execute(query("inbox_events"), _columns(keys)):
            found[CoilKey(plant=row["plant"], coil_id=row["coil_id"])].append(
                StoredEvent(inbox_id=row["inbox_id"], event=row["event"], received_at=row["received_at"])
            )
    return {key: tuple(events) for key, events in found.items()}


def postpone_coils(connection: Connection, look_at: dict[CoilKey, datetime]) -> None:
    """Look at these coils again then, unless something new comes before.

    Raises:
        StoreError: the database refused.
    """
    if look_at:
        with store_errors(f"postpone {len(look_at)} coils"):
            connection.execute(query("postpone_coils"), _columns(list(look_at)) | {"look_at": list(look_at.values())})


def settle_coils(connection: Connection, keys: Sequence[CoilKey]) -> int:
    """Take the events of coils that were judged or refused out of the inbox.

    Args:
        connection: inside the transaction that records the coils' verdicts and dead letters.
        keys: coils taken in that transaction.

    Returns:
        How many events that were.

    Raises:
        StoreError: the database refused.
    """
    if not keys:
        return 0
    with store_errors(f"settle {len(keys)} coils"):
        [row] = connection.execute(query("settle_coils"), _columns(keys)).fetchall()
    return int(row["events"])


def has_inbox_coil(connection: Connection, key: CoilKey) -> bool:
    """Whether the inbox holds events of a coil.

    Raises:
        StoreError: the database refused.
    """
    with store_errors(f"look for coil {key.coil_id!r} in the inbox"):
        row = connection.execute(query("has_inbox_coil"), {"plant": key.plant, "coil_id": key.coil_id}).fetchone()
    return bool(row and row["present"])


@dataclass(frozen=True, kw_only=True, slots=True)
class CoilDeadLetter:
    """A dead letter of a coil, without its bytes."""

    dead_letter_id: int
    step: str
    error: str
    remedy: str
    place: str
    state: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CoilState:
    """What became of a coil so far."""

    state: str  # open, decided or dead_lettered
    seen_at: datetime
    dead_letters: tuple[CoilDeadLetter, ...]  # newest first, at most 100


def coil_state(connection: Connection, key: CoilKey) -> CoilState | None:
    """The state of a coil and its dead letters; None where it was never seen.

    Raises:
        StoreError: the database refused.
    """
    parameters = {"plant": key.plant, "coil_id": key.coil_id}
    with store_errors(f"read the state of coil {key.coil_id!r}"):
        row = connection.execute(query("coil_state"), parameters).fetchone()
        if row is None:
            return None
        letters = connection.execute(query("dead_letters_of_coil"), parameters).fetchall()
    return CoilState(
        state=row["state"], seen_at=row["seen_at"], dead_letters=tuple(CoilDeadLetter(**letter) for letter in letters)
    )


def _columns(keys: Sequence[CoilKey]) -> dict[str, Any]:
    return {"plants": [key.plant for key in keys], "coil_ids": [key.coil_id for key in keys]}
