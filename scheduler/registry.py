"""Every job there is, by name."""

from scheduler.housekeeping import housekeeping
from scheduler.jobs import Job, Jobs
from scheduler.watch import alarm_watch
from schemas.settings import Settings


def registered_jobs(settings: Settings) -> Jobs:
    """The jobs of this installation with the crontabs of its settings.

    Jobs that read everything since their last run, or all of a window, coalesce: one run makes up for several.
    """
    schedule = settings.schedule
    return {
        "housekeeping": Job(run=housekeeping, cron=schedule.housekeeping, most_seconds=3600.0),
        "alarm_watch": Job(run=alarm_watch, cron=schedule.alarm_watch, most_seconds=120.0),
    }
