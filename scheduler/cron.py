"""Crontabs: five fields as cron reads them, in a time zone.

Source of the fields and of Sunday as 0 and 7: crontab(5), POSIX.1-2024 `crontab`. APScheduler 3 counts days of the week
from Monday (its issue 286), so numbers become names here.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apscheduler.triggers.cron import CronTrigger

from scheduler.jobs import Jobs
from schemas.errors import UsageError
from schemas.settings import Settings

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONGEST_GAP = timedelta(days=366 * 41)  # 29 February on a given day of the week, with 2100 between
_REMEDY = "give minute, hour, day of month, month and day of week, e.g. `0 1 * * 0` for Sundays at 1:00"


def time_zone(name: str) -> ZoneInfo:
    """The time zone of that name.

    Raises:
        UsageError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(
            f"there is no time zone {name!r}", remedy="set schedule.time_zone to a name such as Europe/Vienna"
        ) from error


def cron_trigger(cron: str, zone: ZoneInfo, *, now: datetime) -> CronTrigger:
    """Read a crontab.

    Args:
        cron: minute, hour, day of month, month, day of week; where both days are given, both have to hold.
        zone: whose clock it means.
        now: from which it has to fire some time.

    Raises:
        UsageError: it cannot be read, or it never fires.
    """
    fields = cron.split()
    if len(fields) != 5:
        raise UsageError(f"the crontab {cron!r} has {len(fields)} fields, not five", remedy=_REMEDY)
    try:
        trigger = CronTrigger.from_crontab(" ".join([*fields[:4], _named_days(fields[4])]), timezone=zone)
    except ValueError as error:
        raise UsageError(f"the crontab {cron!r} cannot be read: {error}", remedy=_REMEDY) from error
    trigger.end_date = now.astimezone(zone) + _LONGEST_GAP  # else a search that finds nothing goes on to the year 9999
    first = trigger.get_next_fire_time(None, now)
    trigger.end_date = None
    if first is None:
        raise UsageError(
            f"the crontab {cron!r} never fires: no such day comes in the next 40 years",
            remedy="check day of month, month and day of week: all three have to hold",
        )
    return trigger


def next_fire(trigger: CronTrigger, after: datetime) -> datetime:
    """The first fire later than a moment, with that moment's time zone."""
    found: datetime = trigger.get_next_fire_time(after, after + timedelta(microseconds=1))
    return found.astimezone(UTC).astimezone(after.tzinfo)  # by way of UTC: an hour that clocks skip has no name


def fires_between(trigger: CronTrigger, after: datetime, until: datetime) -> Iterator[datetime]:
    """Fires later than `after` and not later than `until`, in order, in the time zone of `until`."""
    at = trigger.get_next_fire_time(after, until)
    while at is not None and at <= until:
        yield at.astimezone(UTC).astimezone(until.tzinfo)
        at = trigger.get_next_fire_time(at, until)


def check_crons(settings: Settings, jobs: Jobs, *, now: datetime) -> None:
    """Make sure that each job's crontab fires some time.

    Raises:
        UsageError: one cannot be read or never fires, or there is no such time zone.
    """
    zone = time_zone(settings.schedule.time_zone)
    for name, job in jobs.items():
        try:
            cron_trigger(job.cron, zone, now=now)
        except UsageError as error:
            raise UsageError(f"setting schedule.{name}: {error}", remedy=error.remedy) from error


def _named_days(field: str) -> str:
    """Days of the week by name: `0`, `7` and `sun` are Sunday, `1-5` is Monday to Friday.

    Raises:
        ValueError: a number is no day.
    """
    if field == "*":
        return field
    days: list[str] = []
    for item in field.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            first, last = "0", "6"
        if not first.isdecimal() or (last and not last.isdecimal()):
            days.append(item)  # names: APScheduler's to read
            continue
        end = int(last or ("6" if step else first))
        if not 0 <= int(first) <= end <= 7 or (step and not (step.isdecimal() and int(step) > 0)):
            raise ValueError(f"{item!r} is no day of the week (0 to 7)")
        days.extend(_DAYS[day] for day in range(int(first), end + 1, int(step or 1)))
    return ",".join(dict.fromkeys(days))
