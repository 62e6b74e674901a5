"""The log's positions and what was made of the log, moved together under the owner's epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import psycopg
from psycopg.rows import DictRow

from schemas.coils import CoilKey, Order, StoredCoil
from schemas.errors import NotOwnerError
from schemas.events import CoilWarningEvent
from schemas.rejects import Reject
from store.connection import Connection, store_errors
from store.deadletters import dead_letter_row
from store.outbox_keys import outbox_key, slot_of
from store.queries import query
from store.verdicts import Decided, verdict_parameters

_FENCED = "CF001"  # raised by coilflow.commit_log


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One partition as its new owner finds it."""

    partition: int
    next_offset: int
    owner_epoch: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ParkedCoil:
    """An open coil whose events so far are in the database."""

    partition: int
    key: CoilKey
    last_offset: int
    events: bytes  # CloudEvents in structured JSON, one a line


@dataclass(frozen=True, kw_only=True, slots=True)
class LogBatch:
    """One stretch of the log: what was made of it, and how far it is done with."""

    topic: str
    positions: tuple[Claim, ...]  # where each partition is read on from, under its owner's epoch
    opened: tuple[CoilKey, ...] = ()  # coils seen first
    decided: tuple[Decided, ...] = ()
    rejects: tuple[Reject, ...] = ()
    parked: tuple[ParkedCoil, ...] = ()
    warnings: tuple[CoilWarningEvent, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Committed:
    """What became of a batch of the log."""

    new: int  # verdicts
    repeated: int
    announced: int
    dead: int  # dead letters
    dead_repeated: int

    @classmethod
    def from_row(cls, row: DictRow) -> "Committed":
        """Read the row of query `commit_log`."""
        return cls(**row)


def claim_positions(
    connection: Connection, topic: str, first_offsets: dict[int, int], *, owner: str
) -> tuple[Claim, ...]:
    """Become the owner of partitions: whoever owned them before can move nothing any more.

    Args:
        connection: on a database of this version.
        topic: of the log.
        first_offsets: partition -> where reading begins if it was never read.
        owner: name of this worker, for people.

    Raises:
        StoreError: the database refused.
    """
    parameters = {
        "topic": topic,
        "partitions": list(first_offsets),
        "first_offsets": list(first_offsets.values()),
        "owner": owner,
    }
    with store_errors(f"claim {len(first_offsets)} partitions of {topic}"):
        rows = connection.execute(query("claim_positions"), parameters).fetchall()
    return tuple(Claim(**row) for row in rows)


def settled_coils(connection: Connection, topic: str, partitions: Sequence[int]) -> dict[int, dict[CoilKey, int]]:
    """Coils at or past the stored position that were decided or refused: partition -> coil -> its last offset.

    Raises:
        StoreError: the database refused.
    """
    found: dict[int, dict[CoilKey, int]] = {partition: {} for partition in partitions}
    with store_errors(f"read what of {topic} is settled"):
        rows = connection.execute(query("settled_coils"), {"topic": topic, "partitions": list(partitions)}).fetchall()
    for row in rows:
        known, key = found[row["partition"]], CoilKey(plant=row["plant"], coil_id=row["coil_id"])
        known[key] = max(known.get(key, -1), row["last_offset"])
    return found


def parked_coils(connection: Connection, topic: str, partitions: Sequence[int]) -> tuple[ParkedCoil, ...]:
    """Open coils of these partitions whose events so far are in the database.

    Raises:
        StoreError: the database refused.
    """
    with store_errors(f"read the parked coils of {topic}"):
        rows = connection.execute(query("parked_coils"), {"topic": topic, "partitions": list(partitions)}).fetchall()
    return tuple(
        ParkedCoil(
            partition=row["partition"],
            key=CoilKey(plant=row["plant"], coil_id=row["coil_id"]),
            last_offset=row["last_offset"],
            events=row["events"],
        )
        for row in rows
    )


def decided_coils(connection: Connection, keys: Sequence[CoilKey]) -> dict[CoilKey, StoredCoil]:
    """Those of the coils that have a verdict, with what it was given on.

    Raises:
        StoreError: the database refused.
    """
    parameters = {"plants": [key.plant for key in keys], "coil_ids": [key.coil_id for key in keys]}
    with store_errors(f"look {len(keys)} coils up"):
        rows = connection.execute(query("decided_coils"), parameters).fetchall()
    coils = (stored_coil(row) for row in rows)
    return {coil.key: coil for coil in coils}


def refused_coils(connection: Connection, keys: Sequence[CoilKey]) -> frozenset[CoilKey]:
    """Those of the coils that were refused and have no verdict.

    Raises:
        StoreError: the database refused.
    """
    parameters = {"plants": [key.plant for key in keys], "coil_ids": [key.coil_id for key in keys]}
    with store_errors(f"look {len(keys)} coils up"):
        rows = connection.execute(query("refused_coils"), parameters).fetchall()
    return frozenset(CoilKey(**row) for row in rows)


def commit_log(
    connection: Connection, batch: LogBatch, *, decided_at: datetime, destinations: Sequence[str]
) -> Committed:
    """Store a stretch of the log in one statement: verdicts, dead letters, parked and open coils, and the positions.

    Nothing is stored where another worker owns one of the partitions by now. Verdicts and dead letters that were stored
    before are left as they are and announced no second time, so that a batch whose answer was lost may be given again.

    Args:
        connection: on a database of this version, outside of a transaction.
        batch: with the epochs under which this worker owns the partitions.
        decided_at: when the verdicts were decided, with a time zone.
        destinations: where verdicts are announced; warnings go to those that take any event, dead letters to the
            topic's own dead-letter topic. Empty: nothing is announced.

    Raises:
        NotOwnerError: another worker owns a partition.
        StoreError: a value cannot be stored or the database refused.
    """
    parameters = {
        "positions": _json(
            [
                {
                    "topic": batch.topic,
                    "partition": p.partition,
                    "next_offset": p.next_offset,
                    "owner_epoch": p.owner_epoch,
                }
                for p in batch.positions
            ]
        ),
        "opened": _json([{"plant": key.plant, "coil_id": key.coil_id} for key in batch.opened]),
        **verdict_parameters(batch.decided, decided_at=decided_at, destinations=destinations),
        "dead": _json([dead_letter_row(reject, announce=bool(destinations)) for reject in batch.rejects]),
        "originals": [reject.original for reject in batch.rejects],
        "parked": _json(
            [
                {
                    "topic": batch.topic,
                    "partition": p.partition,
                    "plant": p.key.plant,
                    "coil_id": p.key.coil_id,
                    "last_offset": p.last_offset,
                }
                for p in batch.parked
            ]
        ),
        "events": [parked.events for parked in batch.parked],
        "announcements": _json([row for warning in batch.warnings for row in _warning_rows(warning, destinations)]),
    }
    with store_errors(f"commit a stretch of {batch.topic}"):
        try:
            row = connection.execute(query("commit_log"), parameters).fetchone()
        except psycopg.Error as error:
            if error.sqlstate != _FENCED:
                raise
            raise NotOwnerError(
                f"another worker owns a partition of {batch.topic} that this one still held",
                remedy="nothing: this worker starts over with the partitions it is given now",
            ) from error
    return Committed.from_row(row or {})


def stored_coil(row: DictRow) -> StoredCoil:
    """Read a row of query `decided_coils` or `readings_of_coils`."""
    banded = row["zn_min_g_m2"] is not None and row["zn_max_g_m2"] is not None
    return StoredCoil(
        key=CoilKey(plant=row["plant"], coil_id=row["coil_id"]),
        order=Order.model_validate(row) if banded else None,
        started_at=row["started_at"],
        rows_per_face=row["rows_per_face"],
        revision=row["revision"],
        readings=row["readings"],
    )


def _warning_rows(warning: CoilWarningEvent, destinations: Sequence[str]) -> list[dict[str, Any]]:
    key = outbox_key(warning.data.plant, warning.data.coil_id)
    payload = warning.model_dump(mode="json", exclude_none=True)
    # MQTT has the plant's own payload, which knows verdicts only; a warning that goes nowhere is kept all the same.
    names: list[str | None] = [name for name in dict.fromkeys(destinations) if not name.startswith("mqtt:")]
    return [
        {"event_id": warning.id, "destination": name, "key": key, "slot": slot_of(key), "payload": payload}
        for name in names or [None]
    ]


def _json(rows: list[dict[str, Any]]) -> str:
    return orjson.dumps(rows).decode()
