"""The inbox: chunk events that came without Kafka, until their coil is judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

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


Host = Literal["inbox", "nifi"]  # who judges a coil of the inbox


def store_events(
    connection: Connection, events: Sequence[InboxEvent], rules: StreamSettings, *, host: Host = "inbox"
) -> tuple[bool, ...]:
    """Store a batch of events of any coils, in one statement.

    An event whose identity is stored already, or belonged to a coil that was judged, is left out. The coil of a new
    event is known from then on: in state `open`, unless it is decided, or was refused and its start is not among them.

    Args:
        connection: on a database of this version; inside `connection.transaction()` it joins that transaction.
        events: in the order in which they came.
        rules: deadline, settling time and most events of a coil: when a coil is looked at.
        host: who takes the coils whose first events these are; a coil that is there stays with its own.

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
        "host": host,
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


def take_coils(connection: Connection, *, most: int, host: Host = "inbox") -> tuple[CoilKey, ...]:
    """Take coils that may be due, longest waiting first; until the transaction ends nobody else gets them.

    Args:
        connection: inside `connection.transaction()`.
        most: so many at most.
        host: whose coils.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("take coils from the inbox"):
        rows = connection.execute(query("take_coils"), {"most": most, "host": host}).fetchall()
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


def lease_coils(connection: Connection, keys: Sequence[CoilKey], *, lease_s: float) -> None:
    """Take coils once more: they are not taken again before a lease ends, which doubles with each take, up to a day.

    What comes of a coil meanwhile ends its lease, and its takes are counted anew.

    Args:
        connection: inside the transaction that took them.
        keys: coils that go on their way.
        lease_s: of the first take, in seconds.

    Raises:
        StoreError: the database refused.
    """
    if keys:
        with store_errors(f"lease {len(keys)} coils"):
            connection.execute(query("lease_coils"), _columns(keys) | {"lease_s": lease_s})


def often_taken_coils(connection: Connection, keys: Sequence[CoilKey], *, takes: int) -> frozenset[CoilKey]:
    """Those of the coils that were leased so many times since their last event came, and never settled.

    Raises:
        StoreError: the database refused.
    """
    if not keys:
        return frozenset()
    with store_errors(f"count the takes of {len(keys)} coils"):
        rows = connection.execute(query("often_taken_coils"), _columns(keys) | {"takes": takes}).fetchall()
    return frozenset(CoilKey(plant=row["plant"], coil_id=row["coil_id"]) for row in rows)


def lock_coils(connection: Connection, keys: Sequence[CoilKey]) -> None:
    """Let nobody add to these coils, take, settle or decide them until the transaction ends; waits for those who do.

    Args:
        connection: inside `connection.transaction()`.
        keys: of coils that the inbox may hold, and that another host may decide.

    Raises:
        StoreError: the database refused.
    """
    if keys:
        with store_errors(f"lock {len(keys)} coils of the inbox"):
            connection.execute(query("lock_coils"), _columns(keys))
            connection.execute(query("lock_decisions"), _columns(keys))


def waiting_coils(connection: Connection, last_ids: Mapping[CoilKey, int]) -> frozenset[CoilKey]:
    """Those of the coils whose last event, as given, nobody took out of the inbox yet.

    Args:
        connection: inside the transaction that locked them.
        last_ids: coil -> `inbox_id` of an event.

    Raises:
        StoreError: the database refused.
    """
    if not last_ids:
        return frozenset()
    parameters = _columns(list(last_ids)) | {"last_ids": list(last_ids.values())}
    with store_errors(f"look for {len(last_ids)} coils in the inbox"):
        rows = connection.execute(query("waiting_coils"), parameters).fetchall()
    return frozenset(CoilKey(plant=row["plant"], coil_id=row["coil_id"]) for row in rows)


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
    return _settle(connection, dict.fromkeys(keys), settle_s=0.0)


def settle_coils_up_to(connection: Connection, last_ids: Mapping[CoilKey, int], rules: StreamSettings) -> int:
    """Take events of coils that were judged or refused out of the inbox; what came later stays and is judged later.

    Args:
        connection: inside the transaction that records the coils' verdicts and dead letters.
        last_ids: coil -> `inbox_id` of the last event that it was judged by.
        rules: within whose settling time coils that got more events are looked at.

    Returns:
        How many events that were.

    Raises:
        StoreError: the database refused.
    """
    return _settle(connection, last_ids, settle_s=rules.settle_s)


def _settle(connection: Connection, last_ids: Mapping[CoilKey, int | None], *, settle_s: float) -> int:
    if not last_ids:
        return 0
    parameters = _columns(list(last_ids)) | {"last_ids": list(last_ids.values()), "settle_s": settle_s}
    with store_errors(f"settle {len(last_ids)} coils"):
        [row] = connection.execute(query("settle_coils"), parameters).fetchall()
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
