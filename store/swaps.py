"""Which processes serve ensembles, and what each of them made of every change."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from psycopg.rows import DictRow

from schemas.events import ModelChanged
from schemas.verdicts import Role
from store.connection import Connection, store_errors
from store.queries import query
from store.registry_steps import announce_change

Outcome = Literal["swapped", "refused"]
UNREACHABLE = "unreachable: "  # begins a reason that may pass: the files are not there, or cannot be reached

_EVENTS = uuid.UUID("5a0c1f0e-5c0e-5f6b-9d0a-6d5e0c011f31")  # namespace of the ids of workers' answers


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """One process that serves."""

    worker: str
    host: str
    kind: str  # kafka, inbox or mqtt
    seen_at: datetime

    @classmethod
    def from_row(cls, row: DictRow) -> "Worker":
        """Read a row of query `workers`."""
        return cls(**row)


@dataclass(frozen=True, kw_only=True, slots=True)
class SwapAnswer:
    """What a worker made of one change."""

    worker: str
    plant: str
    ensemble_version: str
    role: Role
    outcome: Outcome
    reason: str  # why it goes on with the one before
    at: datetime

    @classmethod
    def from_row(cls, row: DictRow) -> "SwapAnswer":
        """Read a row of query `swap_answers`."""
        return cls(**row)


def note_worker(connection: Connection, worker: Worker) -> None:
    """Note that a process serves, and that it looked; raises StoreError."""
    parameters = {"worker": worker.worker, "host": worker.host, "kind": worker.kind, "at": worker.seen_at}
    with store_errors("note that this worker serves"):
        connection.execute(query("note_worker"), parameters)


def workers(connection: Connection, *, since: datetime) -> tuple[Worker, ...]:
    """Processes that looked since then; raises StoreError."""
    with store_errors("read which workers serve"):
        return tuple(Worker.from_row(row) for row in connection.execute(query("workers"), {"since": since}))


def answer(connection: Connection, given: SwapAnswer, *, name: str, announce: Sequence[str]) -> None:
    """Store what a worker made of a change, and announce it, in one transaction.

    Args:
        connection: on a database of this version.
        given: the answer; a refusal says why.
        name: of the ensemble.
        announce: destinations of `model.changed`.

    Raises:
        StoreError: the database refused; nothing is stored then.
    """
    parameters = {field: getattr(given, field) for field in SwapAnswer.__slots__}
    with store_errors(f"answer on ensemble {given.ensemble_version!r}"), connection.transaction():
        [row] = connection.execute(query("insert_swap_answer"), parameters).fetchall()
        data = ModelChanged(
            model=name,
            version=given.ensemble_version,
            change=given.outcome,
            plant=given.plant or None,
            ensemble_version=given.ensemble_version,
            worker=given.worker,
            reason=given.reason or None,
            changed_at=given.at,
        )
        event_id = uuid.uuid5(_EVENTS, f"{row['answer_id']} {given.worker} {given.at.isoformat()}")
        announce_change(connection, event_id, data, announce)


def answers(connection: Connection, version: str | None = None) -> tuple[SwapAnswer, ...]:
    """What workers answered, the first one first: of all ensembles or of one; raises StoreError."""
    with store_errors("read what the workers answered"):
        rows = connection.execute(query("swap_answers"), {"version": version}).fetchall()
    return tuple(SwapAnswer.from_row(row) for row in rows)


def listen(connection: Connection) -> None:
    """Let `wait_for_change` hear of changes on this connection; raises StoreError."""
    with store_errors("listen for changes of what serves"):
        connection.execute(query("listen_models"))


def wait_for_change(connection: Connection, *, most_s: float) -> bool:
    """Wait until what serves has changed, or automatic change was frozen or let go on, but no longer than `most_s`.

    Returns:
        Whether there was word of a change; where a pooler keeps it from us there never is.

    Raises:
        StoreError: the connection broke.
    """
    with store_errors("wait for changes of what serves"):
        return bool(list(connection.notifies(timeout=most_s, stop_after=1)))
