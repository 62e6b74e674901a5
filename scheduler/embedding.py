"""The job `embed`: what decided coils look like, so that similar ones are found."""

from flows.similar import new_embeddings
from models.similar import MADE_BY
from scheduler.jobs import JobContext
from store.connection import connect
from store.embeddings import prune_embeddings, store_embeddings
from store.leadership import fenced

_AT_ONCE = 256  # coils read and embedded together
_A_RUN = 20_000  # coils; the next run goes on
_PRUNED = 1000  # embeddings deleted in one transaction


def embed(context: JobContext) -> str:
    """Embed what was decided since the last run, piece by piece, and forget what is no longer compared.

    Raises:
        NotLeaderError: the run was given up; what was embedded before stays.
        StoreError: the database refused.
    """
    embedded, forgotten, last = 0, 0, _AT_ONCE
    with connect(context.dsn) as connection:
        while last == _AT_ONCE and embedded < _A_RUN and not context.stop.is_set():
            found = new_embeddings(connection, coils=_AT_ONCE)
            last = len(found)
            if found:
                with fenced(connection, context.attempt_id):
                    store_embeddings(connection, MADE_BY, found)
            embedded += last
        last = _PRUNED
        while last == _PRUNED and not context.stop.is_set():
            with fenced(connection, context.attempt_id):
                last = prune_embeddings(connection, MADE_BY, rows=_PRUNED)
            forgotten += last
    return f"{embedded} coils embedded" + (f", {forgotten} old embeddings deleted" if forgotten else "")
