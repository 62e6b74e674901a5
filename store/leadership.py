"""Which scheduler leads: an advisory lock of a session, and an epoch that fences whoever led before.

The lock says who may lead: a session's end frees it at once. The epoch says whose work counts: a process that was
frozen keeps its session until another ends it, and may wake within any statement.

Source of the fence: Kleppmann, "How to do distributed locking" (2016), fencing tokens; of the lock, PostgreSQL's
manual, "Advisory Locks".
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from psycopg.conninfo import make_conninfo

from schemas.errors import NotLeaderError
from store.connection import WATCHED, Connection, connect, parameters_of, store_errors
from store.queries import query

_LOCK = 891_462_357  # class of the advisory lock: CRC-32 of "coilflow.scheduler" without its top bit
_SESSIONS = "coilflow scheduler"  # the sessions of an epoch and its attempts bear its name
_IDLE_IN_FENCE_S = 20.0  # between two statements of a job's transaction; a leader is put out much sooner


@dataclass(frozen=True, kw_only=True, slots=True)
class Leader:
    """The scheduler that led last."""

    epoch: int
    holder: str  # host and process
    began_at: datetime
    heartbeat_at: datetime
    ended_at: datetime | None
    silent_s: float  # since its last heartbeat, by the server's clock
    leads: bool  # whether its session holds the lock


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeOver:
    """An epoch that began."""

    epoch: int
    unled_s: float | None  # since the last sign of a leader that did not resign; None where the last one did


@contextmanager
def leader_session(dsn: str) -> Iterator[Connection]:
    """A session that can lead, of its own: nothing else may be done on it.

    Args:
        dsn: of the server itself, or of a pooler in session mode: locks belong to a session.

    Raises:
        StoreError: the database cannot be reached or refused.
    """
    conninfo = make_conninfo("", **{**WATCHED, **parameters_of(dsn), "application_name": _SESSIONS})
    with connect(conninfo) as connection:
        with store_errors("watch who leads"):
            connection.execute(query("watch_leader_session"))
        yield connection


def take_over(connection: Connection, holder: str, *, silent_after_s: float) -> TakeOver | None:
    """Lead, where nobody does or the leader has been silent for too long.

    The sessions of whoever led before are ended first, so that no transaction of a frozen one is waited for.

    Args:
        connection: of `leader_session`.
        holder: host and process, for people.
        silent_after_s: a leader silent for so long has its session ended; the lock is then free at the next call.

    Returns:
        The epoch that began, or None: another leads.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("look for the leading scheduler"):
        row = connection.execute(query("try_lead"), {"class": _LOCK}).fetchone()
        if not (row and row["led"]):
            connection.execute(query("end_silent_leader"), {"class": _LOCK, "silent_s": silent_after_s})
            return None
    with store_errors("take the lead"), connection.transaction():
        standing = connection.execute(query("standing_epoch")).fetchone()
        if standing is not None:
            _end_sessions(connection, f"{_SESSIONS} {standing['epoch']}/")
            connection.execute(query("end_epoch"))
        [begun] = connection.execute(query("begin_epoch"), {"holder": holder}).fetchall()
    return TakeOver(epoch=begun["epoch"], unled_s=None if standing is None else standing["silent_s"])


def beat(connection: Connection, epoch: int) -> None:
    """Say that the leader lives.

    Raises:
        NotLeaderError: its epoch is over.
        StoreError: the session has ended; with it the lock is gone.
    """
    with store_errors("say that the scheduler leads"):
        found = connection.execute(query("beat"), {"epoch": epoch}).fetchone()
    if found is None:
        raise NotLeaderError(f"epoch {epoch} is over", remedy="another scheduler leads; this one stands by")


def resign(connection: Connection, epoch: int) -> None:
    """End an epoch in good order, so that the next begins at once; raises StoreError."""
    with store_errors("give up the lead"):
        connection.execute(query("resign"), {"epoch": epoch})


def last_leader(connection: Connection) -> Leader | None:
    """Who led last, and whether it still does; None where nobody ever did. Raises StoreError."""
    with store_errors("read who leads"):
        row = connection.execute(query("leader"), {"class": _LOCK}).fetchone()
    return None if row is None else Leader(**row)


def sessions_of(epoch: int, attempt_id: int) -> str:
    """Application name of an attempt's sessions, by which they are ended with it."""
    return f"{_SESSIONS} {epoch}/{attempt_id}/"


def end_sessions_of(connection: Connection, epoch: int, attempt_id: int) -> None:
    """End the sessions of an attempt that was given up; raises StoreError."""
    with store_errors("end the sessions of a run"):
        _end_sessions(connection, sessions_of(epoch, attempt_id))


@contextmanager
def fenced(connection: Connection, attempt_id: int) -> Iterator[None]:
    """A transaction that commits only while its attempt stands and its leader leads.

    Nobody can take over, and nobody give the attempt up, between its first statement and its commit: whoever does so
    ends this session first. The server ends it too where its transaction stands still for 20 s: reckon before it, not
    within. What is read in it may be read again in a later attempt, so what it stores has to bear a
    repetition, unless it is stored with the commit of the attempt (`store.schedule.committing`).

    Args:
        connection: the job's own, not within a transaction.
        attempt_id: of the attempt under way.

    Raises:
        NotLeaderError: another leads, or the attempt was given up; nothing was stored.
        StoreError: the database refused.
    """
    with store_errors("store what a job did"), connection.transaction():
        connection.execute(query("limit_fence"), {"idle_ms": round(1000 * _IDLE_IN_FENCE_S)})
        if connection.execute(query("hold_attempt"), {"attempt_id": attempt_id}).fetchone() is None:
            raise NotLeaderError(
                "this run was given up, or another scheduler leads",
                remedy="nothing is to be done: its fire is run again where it has not been committed",
            )
        yield


def _end_sessions(connection: Connection, name: str) -> None:
    connection.execute(query("end_sessions"), {"name": name})
