"""A crontab in words says what happens."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.cron import cron_trigger, fires_between
from scheduler.cron_words import in_words
from schemas.errors import UsageError
from schemas.loop_settings import ScheduleSettings

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
_FIELD = st.sampled_from(["*", "*/5", "*/2", "0", "1", "5", "1,3", "2-5", "1-5/2"])
_DAY = st.sampled_from(["*", "1", "1,15", "last", "2-5"])
_WEEKDAY = st.sampled_from(["*", "0", "7", "1-5", "mon", "sat,sun", "MON-FRI"])


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("* * * * *", "every minute"),
        ("*/10 * * * *", "every 10 minutes"),
        ("5 * * * *", "every hour at minute 5"),
        ("15 2 * * *", "at 02:15"),
        ("0 6,18 * * 1-5", "at 06:00 and 18:00 on Monday to Friday"),
        ("0 1 * * 0", "at 01:00 on Sunday"),
        ("0 1 * * 7", "at 01:00 on Sunday"),
        ("0 9 1 * mon", "at 09:00 on day 1 of the month if that is Monday"),
        ("0 9 last jan,7 *", "at 09:00 on the last day of the month in January and July"),
        ("0 */6 * * *", "every 6 hours"),
    ],
)
def test_a_crontab_is_told(cron: str, said: str) -> None:
    assert in_words(cron) == said


def test_the_crontabs_of_the_settings_are_told_in_words() -> None:
    crons = [value for name, value in ScheduleSettings() if name != "time_zone" and isinstance(value, str)]
    assert all("`" not in in_words(cron) for cron in crons)


@given(minute=_FIELD, hour=_FIELD, day=_DAY, month=_FIELD.filter(lambda field: field != "0"), weekday=_WEEKDAY)
def test_every_crontab_that_can_be_scheduled_can_be_told(
    minute: str, hour: str, day: str, month: str, weekday: str
) -> None:
    cron = f"{minute} {hour} {day} {month} {weekday}"
    told = in_words(cron)
    assert told
    assert ("if that is" in told) == (day != "*" and weekday != "*")


@given(minute=st.integers(0, 59), hour=st.integers(0, 23))
def test_a_time_of_day_is_that_at_which_it_fires(minute: int, hour: int) -> None:
    cron = f"{minute} {hour} * * *"
    trigger = cron_trigger(cron, ZoneInfo("UTC"), now=NOON)
    fire = next(fires_between(trigger, NOON, NOON.replace(day=22)))
    assert in_words(cron) == f"at {fire:%H:%M}"


def test_what_is_no_crontab_is_repeated() -> None:
    with pytest.raises(UsageError):
        cron_trigger("now and then", ZoneInfo("UTC"), now=NOON)
    assert in_words("now and then") == "as `now and then` says"
