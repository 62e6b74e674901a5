"""Which relay owns which hash slots: advisory locks of a session, shared out by the number of relays.

Source of the rule that a session's end frees its locks at once: PostgreSQL's manual, "Advisory Locks".
"""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.conninfo import make_conninfo

from schemas.errors import StoreUnavailableError
from store.connection import WATCHED, Connection, connect, parameters_of, store_errors
from store.outbox_keys import SLOTS
from store.queries import query

_LOCKS = 1_756_741_366  # class of the advisory locks: CRC-32 of "coilflow.outbox" without its top bit
_MEMBERSHIP = SLOTS  # number of the lock that every relay shares; a slot's lock has the slot's number
# A relay that is frozen (SIGSTOP, a paused machine) keeps its session open: its kernel answers for it.
FROZEN_AFTER_S = 20.0


@contextmanager
def relay_session(dsn: str) -> Iterator[Connection]:
    """Be one of the relays for as long as the session lasts: it counts for the shares, and can own slots.

    Args:
        dsn: of the server itself, or of a pooler in session mode: locks belong to a session.

    Raises:
        StoreError: the database cannot be reached or refused.
    """
    conninfo = make_conninfo("", **{**WATCHED, **parameters_of(dsn)})
    with connect(conninfo, application_name="coilflow outbox relay") as connection:
        with store_errors("join the relays of the outbox"):
            connection.execute(query("join_relays"), {"class": _LOCKS, "membership": _MEMBERSHIP})
        yield connection


def fair_share(connection: Connection, *, frozen_after_s: float = FROZEN_AFTER_S) -> frozenset[int]:
    """The slots that this relay should own: every n-th one, of n relays; frozen relays are put out.

    Every relay sees the same members in the same order, so their shares never overlap for longer than it takes each
    to look again.

    Args:
        connection: of `relay_session`.
        frozen_after_s: a relay silent for so long has its session ended.

    Raises:
        StoreError: the database refused; a StoreUnavailableError also where this session is a relay no more.
    """
    with store_errors("look for the relays of the outbox"):
        relays = connection.execute(query("relays"), {"class": _LOCKS, "membership": _MEMBERSHIP}).fetchall()
        frozen = [row["pid"] for row in relays if not row["own"] and row["silent_s"] > frozen_after_s]
        for pid in frozen:
            connection.execute(query("end_relay"), {"pid": pid})
    members = [row["own"] for row in relays if row["pid"] not in frozen]
    if True not in members:
        raise StoreUnavailableError(
            "this session is not among the relays of the outbox", remedy="nothing is lost; it joins again"
        )
    return frozenset(range(members.index(True), SLOTS, len(members)))


def take_slots(connection: Connection, slots: frozenset[int]) -> frozenset[int]:
    """Lock slots that nobody owns; returns those that are ours now, raises StoreError."""
    if not slots:
        return frozenset()
    with store_errors("take slots of the outbox"):
        rows = connection.execute(query("take_slots"), {"class": _LOCKS, "slots": sorted(slots)}).fetchall()
    return frozenset(row["slot"] for row in rows)


def release_slots(connection: Connection, slots: frozenset[int]) -> None:
    """Give slots up; raises StoreError."""
    if slots:
        with store_errors("give up slots of the outbox"):
            connection.execute(query("release_slots"), {"class": _LOCKS, "slots": sorted(slots)})
