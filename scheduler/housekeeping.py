"""Housekeeping: what was published and run long ago is deleted, piece by piece.

The inbox forgets by itself (`settle_coils`), and decisions, feedback and verdicts are kept for good.
"""

from datetime import timedelta

from scheduler.jobs import JobContext
from store.connection import connect
from store.leadership import fenced
from store.outbox import PRUNED_ROWS, prune_outbox
from store.schedule import prune_fires, prune_leaders

_ROWS = 1000  # of runs in one transaction, so that no lock is held for long


def housekeeping(context: JobContext) -> str:
    """Delete published outbox rows older than `schedule.outbox_days` and runs older than `schedule.runs_days`.

    Raises:
        NotLeaderError: the run was given up; the pieces deleted so far stay deleted.
        StoreError: the database refused.
    """
    keep = context.settings.schedule
    published_before = context.now - timedelta(days=keep.outbox_days)
    run_before = context.now - timedelta(days=keep.runs_days)
    published = runs = 0
    with connect(context.dsn) as connection:
        more = True
        while more and not context.stop.is_set():
            with fenced(connection, context.attempt_id):
                gone = prune_outbox(connection, before=published_before)
            published, more = published + gone, gone == PRUNED_ROWS
        more = True
        while more and not context.stop.is_set():
            with fenced(connection, context.attempt_id):
                gone = prune_fires(connection, before=run_before, rows=_ROWS)
            runs, more = runs + gone, gone == _ROWS
        with fenced(connection, context.attempt_id):
            prune_leaders(connection, before=run_before)
    return f"deleted {published} published rows of the outbox and {runs} old runs"
