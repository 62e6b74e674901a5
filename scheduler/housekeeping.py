"""Housekeeping: what was published, run, reckoned or trained long ago is deleted, piece by piece.

The inbox forgets by itself (`settle_coils`), and decisions, feedback and verdicts are kept for good.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from scheduler.jobs import JobContext
from scheduler.old_files import remove_old_files
from store.changes import prune_changes
from store.connection import Connection, connect
from store.drift import prune_drift_checks
from store.idempotency import KEPT, prune_requests
from store.leadership import fenced
from store.outbox import PRUNED_ROWS, prune_outbox
from store.schedule import prune_fires, prune_leaders
from store.scores import prune_scores

_ROWS = 1000  # in one transaction, so that no lock is held for long


def housekeeping(context: JobContext) -> str:
    """Delete what is older than `schedule` keeps it: outbox, runs, scores and drift checks, and files of this machine.

    Answers that the console keeps for repeated requests go after their day.

    Raises:
        NotLeaderError: the run was given up; the pieces deleted so far stay deleted.
        StoreError: the database refused.
    """
    keep = context.settings.schedule
    published, run, scored, written = (
        context.now - timedelta(days=days)
        for days in (keep.outbox_days, keep.runs_days, keep.scores_days, keep.files_days)
    )
    with connect(context.dsn) as connection:
        rows = _all(connection, context, partial(prune_outbox, before=published), PRUNED_ROWS)
        runs = _all(connection, context, partial(prune_fires, before=run, rows=_ROWS), _ROWS)
        with fenced(connection, context.attempt_id):
            prune_leaders(connection, before=run)
        scores = _all(connection, context, partial(prune_scores, before=scored, rows=_ROWS), _ROWS)
        checks = _all(connection, context, partial(prune_drift_checks, before=scored, rows=_ROWS), _ROWS)
        before = context.now - KEPT
        answers = _all(connection, context, partial(prune_requests, before=before, rows=_ROWS), _ROWS)
        changes = _all(connection, context, partial(prune_changes, before=published, rows=_ROWS), _ROWS)
        files, folders = remove_old_files(connection, context, written)
    told = {
        "published rows of the outbox": rows,
        "old runs": runs,
        "old scores": scores,
        "old drift checks": checks,
        "kept answers of the console": answers,
        "changes that event streams told": changes,
        "old files": files,
        "copies of old ensembles": folders,
    }
    return f"deleted {', '.join(f'{count} {what}' for what, count in told.items() if count) or 'nothing'}"


def _all(connection: Connection, context: JobContext, prune: Callable[[Connection], int], piece: int) -> int:
    """Prune piece by piece until a piece is not full."""
    pruned, last = 0, piece
    while last == piece and not context.stop.is_set():
        with fenced(connection, context.attempt_id):
            last = prune(connection)
        pruned += last
    return pruned
