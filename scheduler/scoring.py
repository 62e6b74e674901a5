"""The job `score`: how good every version was over the last days, of what people have said since."""

from flows.score_models import score_models
from scheduler.jobs import JobContext
from store.connection import connect
from store.leadership import fenced


def score(context: JobContext) -> str:
    """Reckon the scores of all versions again and keep those that changed.

    Raises:
        NotLeaderError: the run was given up; nothing was stored.
        StoreError: the database refused.
    """
    with connect(context.dsn) as connection, fenced(connection, context.attempt_id):
        changed = score_models(connection, context.settings, context.now)
    return f"{len(changed)} scores changed"
