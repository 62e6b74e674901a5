"""Runs of jobs that coilflow itself asks for: because something came or slipped, not because it is time."""

from datetime import datetime
from typing import Literal

from store.connection import Connection, store_errors
from store.queries import query

Asker = Literal["feedback", "drift", "policy", "http"]


def request_pending(
    connection: Connection, job: str, *, who: Asker, why: str, now: datetime | None, wait_s: float = 0.0
) -> bool:
    """Let a job run soon, unless a run of it waits already; cheap enough for each batch of feedback.

    Nothing is asked for while the job is paused, nor where no scheduler ever ran.

    Args:
        connection: on a database of this version; inside `connection.transaction()` it joins that.
        job: its name.
        who: which part of coilflow asks.
        why: in a sentence.
        now: the time; None: now, by the database's clock.
        wait_s: so long what else comes shares the run, s.

    Returns:
        Whether a run was asked for.

    Raises:
        StoreError: the database refused.
    """
    parameters = {"job": job, "who": who, "why": why, "now": now, "wait_s": wait_s}
    with store_errors(f"ask for a run of the job {job}"):
        return connection.execute(query("request_pending"), parameters).fetchone() is not None
