"""The job `review_draw`: who is asked for a second look, and what feedback nobody claims."""

from flows.feedback import age_orphans, draw_second_reviews
from scheduler.jobs import JobContext
from store.connection import connect
from store.leadership import fenced


def review_draw(context: JobContext) -> str:
    """Draw labelled coils for a second look, and set aside feedback whose coil never came.

    Raises:
        NotLeaderError: the run was given up; what was stored bears a repetition.
        StoreError: the database refused.
    """
    with connect(context.dsn) as connection:
        with fenced(connection, context.attempt_id):
            drawn = draw_second_reviews(connection, context.now, context.settings)
        with fenced(connection, context.attempt_id):
            aged = age_orphans(connection, context.now, context.settings)
    return f"{drawn} coils drawn for a second look, {aged} words set aside whose coil never came"
