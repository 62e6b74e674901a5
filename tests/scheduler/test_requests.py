"""What people say is scored within seconds: a run is asked for, one at most, wherever their words come in."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from store.connection import Connection, connect
from store.feedback import Feedback, record_feedback
from store.schedule import fires_to_run
from store.schedules import pause_job, resume_job
from tests.scheduler.given import NOON, Clock, behind, job, ledger, rows, running
from tests.store.given import key_of
from tests.waiting import wait_until

NEVER = {"score": job(cron="0 0 29 2 *")}
WAITS = "select requested_by, fire_at from coilflow.fires where state = 'due'"


def say(dsn: str, coil_id: str, *, at: datetime = NOON) -> None:
    word = Feedback(key=key_of(coil_id), source="test", event_id=coil_id, label="OK", given_at=at)
    with connect(dsn) as connection:
        record_feedback(connection, [word], received_at=at)


def test_what_people_say_is_scored_soon_and_many_words_at_once_by_one_run(
    database: str, connection: Connection
) -> None:
    ledger(connection)
    behind(database, NEVER, 1)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: say(database, str(number)), range(40)))
    assert rows(connection, WAITS) == [{"requested_by": "feedback", "fire_at": NOON}]
    say(database, "1")  # a repeat is nothing new
    clock = Clock()
    with running(database, NEVER, clock=clock):
        clock.jump(timedelta(seconds=10))
        wait_until(lambda: rows(connection, "select from coilflow.fires where state = 'committed'"))
        assert not rows(connection, WAITS)
        say(database, "late", at=NOON + timedelta(seconds=20))
        clock.jump(timedelta(seconds=20))
        wait_until(lambda: len(rows(connection, "select from ledger")) == 2)


def test_nothing_is_asked_for_where_no_scheduler_ever_ran_or_the_job_is_paused(
    database: str, connection: Connection
) -> None:
    say(database, "1")
    assert not rows(connection, WAITS)
    behind(database, NEVER, 1)
    pause_job(connection, "score", cron="0 0 29 2 *", who="anna", why=None, now=NOON)
    say(database, "2")
    assert not rows(connection, WAITS)
    assert len(rows(connection, "select from coilflow.feedback")) == 2


def test_what_waits_when_a_job_is_paused_waits_until_it_is_resumed(database: str, connection: Connection) -> None:
    behind(database, NEVER, 1)
    say(database, "1")
    later = NOON + timedelta(minutes=1)
    pause_job(connection, "score", cron="0 0 29 2 *", who="anna", why=None, now=NOON)
    assert not fires_to_run(connection, ["score"], now=later)
    resume_job(connection, "score", now=later)
    assert fires_to_run(connection, ["score"], now=later).keys() == {"score"}


def test_words_by_a_clock_that_is_ahead_hold_nothing_up(database: str, connection: Connection) -> None:
    behind(database, NEVER, 1)
    say(database, "1", at=NOON + timedelta(days=400))
    assert fires_to_run(connection, ["score"], now=NOON).keys() == {"score"}
