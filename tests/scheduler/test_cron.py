"""A crontab means what cron means by it, and one that never fires is refused with the reason."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.cron import cron_trigger, fires_between, next_fire, time_zone
from scheduler.due import due_fires
from scheduler.jobs import Job
from scheduler.registry import registered_jobs
from scheduler.service import Scheduler
from schemas.errors import UsageError
from schemas.loop_settings import ScheduleSettings
from schemas.settings import Settings

SATURDAY = datetime(2026, 11, 21, 20, tzinfo=UTC)
VIENNA = time_zone("Europe/Vienna")
UTC_ZONE = time_zone("UTC")


def following(cron: str, after: datetime = SATURDAY) -> str:
    return f"{next_fire(cron_trigger(cron, VIENNA, now=after), after.astimezone(VIENNA)):%a %Y-%m-%d %H:%M %Z}"


@pytest.mark.parametrize(
    ("cron", "fires"),
    [
        ("*/10 * * * *", "Sat 2026-11-21 21:10 CET"),
        ("0 1 * * 0", "Sun 2026-11-22 01:00 CET"),
        ("0 1 * * 7", "Sun 2026-11-22 01:00 CET"),
        ("0 1 * * sun", "Sun 2026-11-22 01:00 CET"),
        ("0 1 * * 1-5", "Mon 2026-11-23 01:00 CET"),
        ("0 1 * * 5-7", "Sun 2026-11-22 01:00 CET"),
        ("0 1 * * 2,4", "Tue 2026-11-24 01:00 CET"),
        ("0 1 * * */3", "Sun 2026-11-22 01:00 CET"),
        ("0 0 29 2 *", "Tue 2028-02-29 00:00 CET"),
        ("0 0 29 2 1", "Mon 2044-02-29 00:00 CET"),
    ],
)
def test_days_of_the_week_count_from_sunday_as_cron_counts(cron: str, fires: str) -> None:
    assert following(cron) == fires


@pytest.mark.parametrize(
    ("cron", "reason"),
    [
        ("0 0 30 2 *", "never fires"),
        ("0 0 31 4,6,9,11 *", "never fires"),
        ("0 1 * *", "has 4 fields, not five"),
        ("5 0 1 * * *", "has 6 fields, not five"),
        ("61 * * * *", "cannot be read"),
        ("* 24 * * *", "cannot be read"),
        ("* * * * 8", "no day of the week"),
        ("* * * * 5-1", "no day of the week"),
        ("* * * * 1/0", "no day of the week"),
        ("* * 0 * *", "cannot be read"),
        ("often * * * *", "cannot be read"),
    ],
)
def test_a_crontab_that_cannot_be_is_refused_with_the_reason(cron: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        cron_trigger(cron, VIENNA, now=SATURDAY)
    assert caught.value.remedy


def test_settings_with_a_crontab_that_never_fires_are_refused_by_name() -> None:
    settings = Settings(schedule=ScheduleSettings(housekeeping="0 0 30 2 *"))
    with pytest.raises(UsageError, match=r"setting schedule\.housekeeping: .*never fires"):
        Scheduler("dbname=none", settings=settings, jobs=registered_jobs(settings))
    with pytest.raises(UsageError, match="no time zone 'Mars/Olympus'"):
        Scheduler("dbname=none", settings=Settings(schedule=ScheduleSettings(time_zone="Mars/Olympus")), jobs={})


def test_the_crontabs_of_the_settings_all_fire() -> None:
    settings = Settings()
    Scheduler("dbname=none", settings=settings, jobs=registered_jobs(settings))
    crons = [settings.schedule.score, settings.schedule.drift, settings.schedule.retrain, settings.schedule.review_draw]
    Scheduler("dbname=none", settings=settings, jobs={cron: Job(run=lambda _: None, cron=cron) for cron in crons})


def test_a_fire_in_the_hour_that_clocks_skip_comes_an_hour_later_and_none_is_lost_in_the_one_they_repeat() -> None:
    spring = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert following("30 2 * * *", spring) == "Sun 2026-03-29 03:30 CEST"
    hourly = cron_trigger("30 * * * *", VIENNA, now=SATURDAY)
    night = datetime(2026, 10, 24, 23, tzinfo=UTC)
    assert [at.hour for at in fires_between(hourly, night, night + timedelta(hours=4))] == [23, 0, 1, 2]


@given(
    every=st.sampled_from([1, 5, 15]),
    behind_s=st.integers(0, 20_000),
    grace_s=st.integers(1, 20_000),
    coalesce=st.booleans(),
)
def test_each_fire_since_the_last_look_is_run_coalesced_or_missed_once(
    *, every: int, behind_s: int, grace_s: int, coalesce: bool
) -> None:
    trigger = cron_trigger(f"*/{every} * * * *", UTC_ZONE, now=SATURDAY)
    after = SATURDAY - timedelta(seconds=behind_s)
    due = due_fires(trigger, after=after, now=SATURDAY, grace_s=grace_s, coalesce=coalesce)
    assert [*due.missed, *due.coalesced, *due.run] == list(fires_between(trigger, after, SATURDAY))
    edge = SATURDAY - timedelta(seconds=grace_s)
    assert all(at < edge for at in due.missed)
    assert all(at >= edge for at in (*due.coalesced, *due.run))
    assert not coalesce or len(due.run) <= 1
    assert coalesce or not due.coalesced


def test_after_years_without_a_scheduler_the_newest_thousand_are_listed() -> None:
    trigger = cron_trigger("* * * * *", UTC_ZONE, now=SATURDAY)
    due = due_fires(trigger, after=SATURDAY - timedelta(days=1500), now=SATURDAY, grace_s=60, coalesce=True)
    assert 500 <= len(due.missed) <= 1000
    assert due.missed[-1] == SATURDAY - timedelta(minutes=2)
