"""Every job there is, by name."""

from scheduler.drifting import drift
from scheduler.embedding import embed
from scheduler.housekeeping import housekeeping
from scheduler.jobs import Job, Jobs
from scheduler.naming import name_kinds
from scheduler.promotion import promote_successors
from scheduler.retraining import retrain
from scheduler.reviewing import review_draw
from scheduler.scoring import score
from scheduler.watch import alarm_watch
from schemas.settings import Settings

_BESIDE_TRAINING_S = 1800.0  # to read labelled coils, and to register what was trained


def registered_jobs(settings: Settings) -> Jobs:
    """The jobs of this installation with the crontabs of its settings.

    Jobs that read everything since their last run, or all of a window, coalesce: one run makes up for several.
    """
    schedule = settings.schedule
    return {
        "score": Job(run=score, cron=schedule.score),
        "drift": Job(run=drift, cron=schedule.drift),
        "retrain": Job(
            run=retrain,
            cron=schedule.retrain,
            most_seconds=settings.retrain.most_seconds + _BESIDE_TRAINING_S,
            most_failures=1,  # it keeps its own account of attempts, with a cooldown
        ),
        "promotion": Job(run=promote_successors, cron=schedule.promotion, most_seconds=1800.0),
        "review_draw": Job(run=review_draw, cron=schedule.review_draw),
        "housekeeping": Job(run=housekeeping, cron=schedule.housekeeping, most_seconds=3600.0),
        "alarm_watch": Job(run=alarm_watch, cron=schedule.alarm_watch, most_seconds=120.0),
        "embed": Job(run=embed, cron=schedule.embed),
        "kinds": Job(run=name_kinds, cron=schedule.kinds),
    }
