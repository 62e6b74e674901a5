"""What a person sees of the schedule: every job, when it runs next, what became of it last, and who leads."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from scheduler.cron import cron_trigger, next_fire, time_zone
from scheduler.jobs import Jobs
from schemas.errors import UsageError
from schemas.settings import Settings
from store.alarms import Alarm, open_alarms
from store.connection import Connection
from store.leadership import Leader, last_leader
from store.schedule import PastFire, last_fires
from store.schedules import Schedule, schedules


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOverview:
    """One job."""

    job: str
    cron: str
    own_cron: bool  # set by a person
    settings_cron: str | None  # of the settings read here, where it is another
    next_at: datetime | None  # in the scheduler's time zone; None: paused, or its crontab cannot be read
    paused_at: datetime | None
    paused_by: str | None
    paused_why: str | None
    last: PastFire | None  # newest fire


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """All jobs."""

    jobs: tuple[JobOverview, ...]
    leader: Leader | None  # last; `leads` says whether it still does
    alarms: tuple[Alarm, ...]  # what is wrong now


def overview(connection: Connection, *, settings: Settings, jobs: Jobs, now: datetime) -> Overview:
    """Read the schedule.

    Args:
        connection: on a database of this version.
        settings: of the service.
        jobs: registered here; those that only the database knows are shown too.
        now: the time.

    Raises:
        UsageError: there is no such time zone.
        StoreError: the database refused.
    """
    zone, known = time_zone(settings.schedule.time_zone), schedules(connection, now=now)
    seen = []
    for name in sorted(known.keys() | jobs.keys()):
        schedule = known.get(name)
        cron = schedule.cron if schedule is not None else jobs[name].cron
        last = last_fires(connection, name, most=1)
        settled = jobs[name].cron if name in jobs and jobs[name].cron != cron else None
        seen.append(_one(name, cron, settled, schedule, last[0] if last else None, zone, now))
    return Overview(jobs=tuple(seen), leader=last_leader(connection), alarms=open_alarms(connection))


def _one(
    name: str,
    cron: str,
    settings_cron: str | None,
    schedule: Schedule | None,
    last: PastFire | None,
    zone: ZoneInfo,
    now: datetime,
) -> JobOverview:
    paused = schedule is not None and schedule.paused_at is not None
    return JobOverview(
        job=name,
        cron=cron,
        own_cron=schedule is not None and schedule.own_cron,
        settings_cron=settings_cron,
        next_at=None if paused else _next(cron, zone, now),
        paused_at=None if schedule is None else schedule.paused_at,
        paused_by=None if schedule is None else schedule.paused_by,
        paused_why=None if schedule is None else schedule.paused_why,
        last=last,
    )


def _next(cron: str, zone: ZoneInfo, now: datetime) -> datetime | None:
    try:
        return next_fire(cron_trigger(cron, zone, now=now), now.astimezone(zone))
    except UsageError:  # the leader raises an alarm of it
        return None
