"""Fires and their attempts: each fire has exactly one committed run."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from schemas.errors import NotLeaderError
from store.connection import Connection, store_errors
from store.leadership import fenced
from store.queries import query

Unrun = Literal["missed", "coalesced"]
Failure = Literal["failed", "interrupted", "timed_out", "stopped"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fire:
    """A moment at which a job is to run."""

    fire_id: int
    job: str
    fire_at: datetime
    state: str  # due, begun, committed, failed, missed or coalesced
    attempts: int
    failures: int  # of them, by the job's own fault


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """A run of a fire under way."""

    attempt_id: int
    attempt: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PastFire:
    """A fire and its last attempt, for people."""

    fire_id: int
    job: str
    fire_at: datetime
    state: str
    requested_by: str | None
    why: str | None
    attempts: int
    next_attempt_at: datetime | None
    settled_at: datetime | None
    attempt: int | None
    epoch: int | None
    holder: str | None
    started_at: datetime | None
    ended_at: datetime | None
    outcome: str | None
    said: str | None
    error: str | None


def record_fires(
    connection: Connection,
    job: str,
    due: Sequence[datetime],
    *,
    unrun: Mapping[datetime, Unrun],
    coalesce: bool,
    epoch: int,
    now: datetime,
) -> None:
    """Store which fires are due and which will not be run; those that are stored stay as they are.

    Args:
        connection: on a database of this version.
        job: its name.
        due: to be run.
        unrun: by fire, why not.
        coalesce: where one is due now, earlier ones that have not begun stand aside.
        epoch: of the leader; nothing is stored where it is over.
        now: the time.

    Raises:
        StoreError: the database refused.
    """
    states = dict.fromkeys(due, "due") | dict(unrun)
    if not states:
        return
    parameters = {
        "job": job,
        "fire_ats": list(states),
        "states": list(states.values()),
        "coalesce": coalesce and bool(due),
        "epoch": epoch,
        "now": now,
    }
    with store_errors(f"record {len(states)} fires of the job {job}"):
        connection.execute(query("record_fires"), parameters)


def request_fire(connection: Connection, job: str, *, who: str, why: str | None, now: datetime) -> int | None:
    """Ask for a run out of turn.

    Returns:
        The fire's id; None where the job has a fire at that very moment.

    Raises:
        StoreError: the database refused.
    """
    with store_errors(f"ask for a run of the job {job}"):
        row = connection.execute(query("request_fire"), {"job": job, "who": who, "why": why, "now": now}).fetchone()
    return None if row is None else int(row["fire_id"])


def fires_to_run(connection: Connection, jobs: Sequence[str], *, now: datetime) -> dict[str, Fire]:
    """The oldest fire of each job that may run now, by job; raises StoreError."""
    with store_errors("look for fires to run"):
        rows = connection.execute(query("fires_to_run"), {"jobs": list(jobs), "now": now}).fetchall()
    return {row["job"]: Fire(**row) for row in rows}


def fire(connection: Connection, fire_id: int) -> Fire | None:
    """One fire, None where there is none of that id; raises StoreError."""
    with store_errors(f"read the fire {fire_id}"):
        row = connection.execute(query("fire"), {"fire_id": fire_id}).fetchone()
    return None if row is None else Fire(**row)


def lose_attempts(connection: Connection, *, epoch: int, now: datetime) -> int:
    """End the attempts of leaders that lead no more; their fires run again. Returns how many, raises StoreError."""
    with store_errors("look for runs that were lost"):
        return connection.execute(query("lose_attempts"), {"epoch": epoch, "now": now}).rowcount


def begin_attempt(connection: Connection, fire_id: int, *, epoch: int, now: datetime) -> Attempt | None:
    """Note that a fire is run.

    Returns:
        The attempt; None where the epoch is over or the fire is settled.

    Raises:
        StoreError: the database refused.
    """
    with store_errors(f"begin the fire {fire_id}"):
        row = connection.execute(query("begin_attempt"), {"fire_id": fire_id, "epoch": epoch, "now": now}).fetchone()
    return None if row is None else Attempt(**row)


@contextmanager
def committing(connection: Connection, attempt_id: int, *, now: datetime, said: str | None = None) -> Iterator[None]:
    """A transaction that stores a job's work and commits its fire, both or neither: the work is done exactly once.

    Args:
        connection: the job's own, not within a transaction.
        attempt_id: of the attempt under way.
        now: when it ended.
        said: what the job did, for people.

    Raises:
        NotLeaderError: another leads, or the attempt was given up or committed; nothing was stored.
        StoreError: the database refused.
    """
    with fenced(connection, attempt_id):
        yield
        commit_attempt(connection, attempt_id, now=now, said=said)


def commit_attempt(connection: Connection, attempt_id: int, *, now: datetime, said: str | None) -> None:
    """Commit a fire, in one statement.

    Raises:
        NotLeaderError: another leads, or the attempt was given up.
        StoreError: the database refused.
    """
    with store_errors("commit a run"):
        parameters = {"attempt_id": attempt_id, "now": now, "said": _kept(said)}
        done = connection.execute(query("commit_attempt"), parameters).fetchone()
    if done is None:
        raise NotLeaderError(
            "this run was given up, or another scheduler leads",
            remedy="nothing is to be done: its fire is run again where it has not been committed",
        )


def is_committed(connection: Connection, attempt_id: int) -> bool:
    """Whether an attempt was committed, as a job does that stores its work with the commit; raises StoreError."""
    with store_errors("read what became of a run"):
        row = connection.execute(query("attempt_outcome"), {"attempt_id": attempt_id}).fetchone()
    return row is not None and row["outcome"] == "committed"


def end_attempt(
    connection: Connection,
    attempt_id: int,
    outcome: Failure,
    *,
    error: str,
    at_fault: bool,
    next_attempt_at: datetime | None,
    now: datetime,
) -> bool:
    """Note that an attempt was not committed.

    Args:
        connection: on a database of this version.
        attempt_id: of the attempt under way.
        outcome: what happened.
        error: in a sentence.
        at_fault: whether it was the job's own fault, which counts towards giving up.
        next_attempt_at: when the fire is run again; None: it has failed.
        now: the time.

    Returns:
        False where the attempt has ended otherwise or the epoch is over.

    Raises:
        StoreError: the database refused.
    """
    parameters = {
        "attempt_id": attempt_id,
        "outcome": outcome,
        "error": _kept(error),
        "failures": int(at_fault),
        "next_attempt_at": next_attempt_at,
        "now": now,
    }
    with store_errors("record how a run ended"):
        return connection.execute(query("end_attempt"), parameters).fetchone() is not None


def last_fires(connection: Connection, job: str, *, most: int, before: datetime | None = None) -> tuple[PastFire, ...]:
    """The newest fires of a job, newest first; those of before a moment only, where one is given. Raises StoreError."""
    parameters = {"job": job, "fire_id": None, "before": before, "most": most}
    with store_errors(f"read the runs of the job {job}"):
        return tuple(PastFire(**row) for row in connection.execute(query("last_fires"), parameters))


def past_fire(connection: Connection, fire_id: int) -> PastFire:
    """A fire that is stored, with its last attempt; raises StoreError."""
    with store_errors(f"read the fire {fire_id}"):
        [row] = connection.execute(
            query("last_fires"), {"job": None, "fire_id": fire_id, "before": None, "most": 1}
        ).fetchall()
    return PastFire(**row)


def prune_fires(connection: Connection, *, before: datetime, rows: int) -> int:
    """Delete a piece of the fires settled before then, with their attempts; returns how many, raises StoreError."""
    with store_errors("delete old runs"):
        return connection.execute(query("prune_fires"), {"before": before, "rows": rows}).rowcount


def prune_leaders(connection: Connection, *, before: datetime) -> int:
    """Delete leaders of long ago of which no run is kept; returns how many, raises StoreError."""
    with store_errors("delete old leaders"):
        return connection.execute(query("prune_leaders"), {"before": before}).rowcount


def _kept(text: str | None) -> str | None:
    return None if text is None else text.replace("\x00", "\\x00").encode(errors="replace").decode()
