"""The outbox: what waits for a destination, what became of it, and how its rows grow old."""

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg.rows import DictRow

from schemas.rejects import Headers
from store.connection import Connection, store_errors
from store.queries import query

BATCH_ROWS = 1000  # at once to one destination: what is lost in a kill is repeated
BATCH_BYTES = 8 * 1024 * 1024  # of them, except where the first alone is larger: dead letters can be
_ROWS_PER_SLOT = 64  # at least, of one slot in one batch
PRUNED_ROWS = 1000  # in one statement, so that no lock is held for long


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterToSend:
    """A dead letter as it came, and why it was refused."""

    dead_letter_id: int
    original: bytes
    key: bytes | None  # of the Kafka message
    headers: Headers  # of the Kafka message
    step: str
    error: str
    remedy: str
    topic: str | None  # the message's place in Kafka; None where it came another way
    partition: int | None
    offset: int | None

    @classmethod
    def from_row(cls, row: DictRow) -> "DeadLetterToSend":
        """Read a row of query `waiting_rows` that names a dead letter."""
        return cls(
            dead_letter_id=row["dead_letter_id"],
            original=row["original"],
            key=row["kafka_key"],
            headers=tuple((name, b64decode(value)) for name, value in row["original_headers"]),
            step=row["step"],
            error=row["error"],
            remedy=row["remedy"],
            topic=row["kafka_topic"],
            partition=row["kafka_partition"],
            offset=row["kafka_offset"],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxRow:
    """One event, or one dead letter, on its way to one destination."""

    outbox_id: int
    event_id: UUID  # the same whenever it is sent
    key: str  # the unit of order
    attempts: int  # how often the destination refused it
    headers: dict[str, str]  # beside the envelope
    created_at: datetime
    event: dict[str, Any] | None  # CloudEvent, structured mode; None where a dead letter goes out
    dead_letter: DeadLetterToSend | None

    @property
    def unit(self) -> str | int:
        """What keeps its order: a coil's events; dead letters stand each for itself."""
        return self.key if self.dead_letter is None else self.outbox_id

    @classmethod
    def from_row(cls, row: DictRow) -> "OutboxRow":
        """Read a row of query `waiting_rows`."""
        return cls(
            outbox_id=row["outbox_id"],
            event_id=row["event_id"],
            key=row["key"],
            attempts=row["attempts"],
            headers=row["headers"],
            created_at=row["created_at"],
            event=None if row["payload"] is None else orjson.loads(row["payload"]),
            dead_letter=None if row["dead_letter_id"] is None else DeadLetterToSend.from_row(row),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """What one destination has not got yet."""

    waiting: int  # rows
    refused: int  # rows set aside
    lag_s: float  # age of the oldest waiting row


def waiting_destinations(connection: Connection) -> frozenset[str]:
    """Destinations for which a row waits; raises StoreError."""
    with store_errors("look for what is to be announced"):
        return frozenset(row["destination"] for row in connection.execute(query("waiting_destinations")))


def waiting_rows(
    connection: Connection, destination: str, *, slots: frozenset[int], without: frozenset[str | int] = frozenset()
) -> tuple[OutboxRow, ...]:
    """The oldest rows of each slot for a destination, in the order of their numbers; at most a batch.

    Args:
        connection: on a database of this version.
        destination: as in the settings, e.g. "kafka:coil.verdicts".
        slots: hash slots to look at.
        without: units (`OutboxRow.unit`) to pass over for now.

    Raises:
        StoreError: the database refused.
    """
    if not slots:
        return ()
    parameters = {
        "destination": destination,
        "slots": sorted(slots),
        "but": [unit for unit in without if isinstance(unit, int)],
        "but_keys": [unit for unit in without if isinstance(unit, str)],
        "rows_per_slot": max(_ROWS_PER_SLOT, BATCH_ROWS // len(slots)),
        "rows": BATCH_ROWS,
        "bytes": BATCH_BYTES,
    }
    with store_errors(f"read what is to be announced on {destination}"):
        return tuple(OutboxRow.from_row(row) for row in connection.execute(query("waiting_rows"), parameters))


def mark_published(connection: Connection, outbox_ids: Sequence[int]) -> None:
    """Note that the destination acknowledged these rows, in one statement; raises StoreError."""
    if outbox_ids:
        with store_errors(f"mark {len(outbox_ids)} rows as published"):
            connection.execute(query("mark_published"), {"outbox_ids": list(outbox_ids)})


def mark_refused(connection: Connection, refusals: dict[int, str], *, most_attempts: int) -> frozenset[int]:
    """Note what the destination said of rows that it refused; those refused too often are set aside.

    Args:
        connection: on a database of this version.
        refusals: what the destination said, by the row's number.
        most_attempts: a row refused so often is set aside, and the rows after it go on.

    Returns:
        Numbers of the rows set aside now.

    Raises:
        StoreError: the database refused.
    """
    if not refusals:
        return frozenset()
    parameters = {
        "outbox_ids": list(refusals),
        "refusals": [text.replace("\x00", "\\x00") for text in refusals.values()],
        "most_attempts": most_attempts,
    }
    with store_errors(f"mark {len(refusals)} rows as refused"):
        rows = connection.execute(query("mark_refused"), parameters).fetchall()
    return frozenset(row["outbox_id"] for row in rows if row["set_aside"])


def retry_refused(connection: Connection) -> int:
    """Put every row that was set aside back among those that wait; returns how many, raises StoreError."""
    with store_errors("send refused rows again"):
        return connection.execute(query("retry_refused")).rowcount


def backlog(connection: Connection) -> dict[str, Backlog]:
    """What each destination has not got yet, in the whole database; raises StoreError."""
    with store_errors("count what is to be announced"):
        rows = connection.execute(query("outbox_backlog")).fetchall()
    return {
        row["destination"]: Backlog(waiting=row["waiting"], refused=row["refused"], lag_s=row["lag_s"]) for row in rows
    }


def prune_outbox(connection: Connection, *, before: datetime) -> int:
    """Delete a piece of what was published before then, `PRUNED_ROWS` at most.

    Returns:
        How many rows; fewer than `PRUNED_ROWS` where there are no more.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("delete what was published long ago"):
        return connection.execute(query("prune_outbox"), {"before": before, "rows": PRUNED_ROWS}).rowcount
