"""Each fire has exactly one committed run, whatever breaks."""

import random
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from scheduler.attempt import Lead
from scheduler.jobs import JobContext
from scheduler.work import Work
from schemas.errors import SourceError
from schemas.loop_settings import ScheduleSettings
from schemas.settings import Settings
from store.alarms import open_alarms
from store.connection import Connection, connect
from store.leadership import take_over
from store.schedule import last_fires
from store.schedules import pause_job, resume_job, schedules
from tests.scheduler.given import (
    EVERY_MINUTE,
    HASTY,
    NOON,
    Clock,
    behind,
    job,
    ledger,
    rows,
    running,
    write_down,
)
from tests.waiting import wait_until

MINUTE = timedelta(minutes=1)


def states(connection: Connection, name: str = "write") -> dict[str, int]:
    """How many fires up to noon are in each state."""
    found = connection.execute(
        "select state, count(*) as n from coilflow.fires where job = %s and fire_at <= %s group by state", (name, NOON)
    )
    return {row["state"]: row["n"] for row in found}


def settled(connection: Connection, fires: int, name: str = "write") -> Callable[[], bool]:
    """Whether so many fires up to noon have come to their end."""

    def found() -> bool:
        now = states(connection, name)
        return sum(now.values()) == fires and not now.keys() & {"due", "begun"}

    return found


def test_without_coalescing_every_late_fire_is_made_up_for_in_order(database: str, connection: Connection) -> None:
    ledger(connection)
    jobs = {"write": job(coalesce=False)}
    behind(database, jobs, 20)
    with running(database, jobs):
        wait_until(settled(connection, 20))
    assert states(connection) == {"committed": 20}
    written = rows(connection, "select fire_at from ledger where fire_at <= '2026-11-20 12:00+0'")
    assert [row["fire_at"] for row in written] == [NOON - late * MINUTE for late in range(19, -1, -1)]


def test_with_coalescing_the_newest_late_fire_stands_for_all(database: str, connection: Connection) -> None:
    ledger(connection)
    jobs = {"write": job(coalesce=True)}
    behind(database, jobs, 20)
    with running(database, jobs):
        wait_until(settled(connection, 20))
    assert states(connection) == {"committed": 1, "coalesced": 19}
    assert rows(connection, "select fire_at from ledger") == [{"fire_at": NOON}]


def test_a_fire_that_is_too_late_is_missed_with_an_alarm_until_the_job_runs_again(
    database: str, connection: Connection
) -> None:
    ledger(connection)
    jobs = {"write": job(lambda _: None, coalesce=False), "rare": job(lambda _: None, cron="58 11 * * *")}
    behind(database, jobs, 30)
    grace = Settings(schedule=ScheduleSettings(take_over_s=2.0, misfire_grace_s=90.0))
    with running(database, jobs, settings=grace):
        wait_until(settled(connection, 30))
        wait_until(settled(connection, 1, "rare"))
        wait_until(lambda: {alarm.subject for alarm in open_alarms(connection)} == {"rare"})
    assert states(connection) == {"committed": 2, "missed": 28}
    assert states(connection, "rare") == {"missed": 1}
    [alarm] = open_alarms(connection)
    assert (alarm.kind, alarm.subject) == ("missed_fire", "rare")
    assert "1 fires of the job rare were missed, the first at 2026-11-20 11:58 UTC" in alarm.text


def test_fires_come_by_themselves_as_time_passes(database: str, connection: Connection) -> None:
    ledger(connection)
    clock = Clock()
    with running(database, {"write": job()}, clock=clock):
        wait_until(lambda: "write" in schedules(connection, now=NOON))
        clock.jump(MINUTE)
        wait_until(lambda: rows(connection, "select * from ledger"))
        clock.jump(MINUTE)
        wait_until(lambda: len(rows(connection, "select * from ledger")) == 2)
    assert [row["fire_at"] for row in rows(connection, "select fire_at from ledger")] == [
        NOON + MINUTE,
        NOON + 2 * MINUTE,
    ]


@pytest.mark.parametrize("seed", [1, 2])
def test_two_schedulers_whose_connections_are_cut_run_each_fire_once(
    database: str, connection: Connection, seed: int
) -> None:
    ledger(connection)
    fires, jobs = 30, {"write": job(coalesce=False)}
    behind(database, jobs, fires)
    drawn, pause = random.Random(seed), threading.Event()  # noqa: S311 - where a fault strikes
    cut = 0
    with running(database, jobs), running(database, jobs), connect(database) as chaos:
        done = settled(connection, fires)
        while not done() and cut < 40:  # on a slow machine each cut may undo a run: without an end, none would come
            victims = rows(
                chaos, "select pid from pg_stat_activity where application_name like 'coilflow scheduler%' order by pid"
            )
            if victims:
                chaos.execute("select pg_terminate_backend(%s)", (drawn.choice(victims)["pid"],))
                cut += 1
            pause.wait(drawn.uniform(0.02, 0.3))
        wait_until(done, most_s=120.0)
    assert cut > 0
    assert states(connection) == {"committed": fires}
    written = rows(connection, "select fire_at from ledger where fire_at <= '2026-11-20 12:00+0' order by 1")
    assert [row["fire_at"] for row in written] == [NOON - late * MINUTE for late in range(fires - 1, -1, -1)]
    committed = rows(
        connection, "select fire_id from coilflow.attempts where outcome = 'committed' group by 1 having count(*) > 1"
    )
    assert committed == []
    assert rows(connection, "select * from coilflow.attempts where ended_at is null and started_at < now()") == []


def test_a_job_that_fails_is_alarmed_tried_again_and_given_up(database: str, connection: Connection) -> None:
    clock = Clock()

    def fail(_: JobContext) -> None:
        raise SourceError("the gauge said nothing", remedy="ask it again")

    jobs = {"write": job(fail, most_failures=2)}
    behind(database, jobs, 1)
    with running(database, jobs, clock=clock):
        wait_until(lambda: rows(connection, "select * from coilflow.fires where next_attempt_at is not null"))
        [alarm] = open_alarms(connection)
        clock.jump(timedelta(seconds=31))
        wait_until(settled(connection, 1))
    assert (alarm.kind, alarm.subject) == ("job_failed", "write")
    assert alarm.text.endswith("failed: the gauge said nothing; ask it again; it is tried again")
    assert states(connection) == {"failed": 1}
    fire = last_fires(connection, "write", most=5)[-1]
    assert (fire.attempts, fire.outcome, fire.error) == (2, "failed", "the gauge said nothing; ask it again")


def test_an_alarm_ends_when_the_job_succeeds(database: str, connection: Connection) -> None:
    clock = Clock()

    def fail_first(context: JobContext) -> str:
        if context.attempt == 1:
            raise ZeroDivisionError("by nothing")
        return "well"

    jobs = {"write": job(fail_first)}
    behind(database, jobs, 1)
    with running(database, jobs, clock=clock):
        wait_until(lambda: open_alarms(connection))
        assert "unexpected ZeroDivisionError: by nothing" in open_alarms(connection)[0].text
        clock.jump(timedelta(seconds=31))
        wait_until(settled(connection, 1))
        wait_until(lambda: not open_alarms(connection))
    assert states(connection) == {"committed": 1}
    assert last_fires(connection, "write", most=1)[0].said == "well"


def test_a_job_that_hangs_is_given_up_and_stops_no_other(database: str, connection: Connection) -> None:
    ledger(connection)
    let_go = threading.Event()

    def hang(context: JobContext) -> None:
        let_go.wait()
        with pytest.raises(Exception, match="given up"):
            write_down(context)
        refused.set()

    refused = threading.Event()
    jobs = {"hang": job(hang, most_seconds=0.3), "write": job(coalesce=False)}
    behind(database, jobs, 3)
    with running(database, jobs):
        wait_until(settled(connection, 3))
        wait_until(lambda: [a for a in open_alarms(connection) if a.kind == "job_hangs" and a.subject == "hang"])
        let_go.set()
        wait_until(refused.is_set)
    assert states(connection) == {"committed": 3}
    assert rows(connection, "select * from ledger where job = 'hang'") == []
    outcomes = rows(
        connection, "select outcome from coilflow.attempts as a join coilflow.fires using (fire_id) where job = 'hang'"
    )
    assert {row["outcome"] for row in outcomes} <= {"timed_out", "stopped"}


def test_a_job_whose_statement_hangs_has_its_session_ended(database: str, connection: Connection) -> None:
    ended = threading.Event()

    def wait_in_the_database(context: JobContext) -> None:
        try:
            with connect(context.dsn) as mine:
                mine.execute("select pg_sleep(600)")
        finally:
            ended.set()

    jobs = {"write": job(wait_in_the_database, most_seconds=0.3, most_failures=1)}
    behind(database, jobs, 1)
    with running(database, jobs):
        wait_until(settled(connection, 1))
        wait_until(ended.is_set)
    assert states(connection) == {"failed": 1}


def test_a_paused_job_lets_its_fires_pass_and_runs_again_after(database: str, connection: Connection) -> None:
    ledger(connection)
    clock = Clock()
    assert pause_job(connection, "write", cron=EVERY_MINUTE, who="ada", why="line is down", now=NOON - 5 * MINUTE)
    assert not pause_job(connection, "write", cron=EVERY_MINUTE, who="bob", why=None, now=NOON)
    other = {"write": job(coalesce=False), "other": job(lambda _: None)}
    with running(database, other, clock=clock):
        wait_until(lambda: "other" in schedules(connection, now=NOON))
        clock.jump(3 * MINUTE)
        wait_until(lambda: last_fires(connection, "other", most=1))
        assert (
            schedules(connection, now=NOON)["write"].paused_by,
            schedules(connection, now=NOON)["write"].paused_why,
        ) == (
            "ada",
            "line is down",
        )
        assert last_fires(connection, "write", most=1) == ()
        assert resume_job(connection, "write", now=clock())
        clock.jump(MINUTE)
        wait_until(lambda: rows(connection, "select * from ledger"))
    assert rows(connection, "select fire_at from ledger") == [{"fire_at": NOON + 4 * MINUTE}]


def test_a_run_that_is_stopped_with_its_scheduler_is_made_again(database: str, connection: Connection) -> None:
    ledger(connection)
    inside = threading.Event()

    def until_stopped(context: JobContext) -> str:
        if context.attempt > 1:
            return write_down(context)
        inside.set()
        context.stop.wait()
        raise SourceError("stopped in the middle", remedy="none")

    jobs = {"write": job(until_stopped)}
    behind(database, jobs, 1)
    with running(database, jobs):
        wait_until(inside.is_set)
    assert states(connection) == {"begun": 1}
    with running(database, jobs):
        wait_until(settled(connection, 1))
    outcomes = rows(connection, "select outcome from coilflow.attempts order by attempt_id")
    assert [row["outcome"] for row in outcomes][:2] == ["stopped", "committed"]
    assert rows(connection, "select count(*) as n from ledger where fire_at = '2026-11-20 12:00+0'") == [{"n": 1}]


def test_a_crontab_somebody_spoilt_in_the_table_stops_no_other_job(database: str, connection: Connection) -> None:
    ledger(connection)
    jobs = {"write": job(coalesce=False), "other": job(lambda _: None)}
    behind(database, jobs, 2)
    connection.execute("update coilflow.schedules set cron = 'whenever', own_cron = true where job = 'other'")
    with running(database, jobs):
        wait_until(settled(connection, 2))
        wait_until(lambda: [alarm.kind for alarm in open_alarms(connection)] == ["bad_crontab"])


def test_a_clock_that_jumps_ahead_and_back_silences_no_job(database: str, connection: Connection) -> None:
    ledger(connection)
    clock, month = Clock(), timedelta(days=30)
    jobs = {"write": job(), "daily": job(cron="30 11 * * *")}
    behind(database, jobs, 1)
    with running(database, jobs, clock=clock):
        wait_until(settled(connection, 1))
        clock.jump(month)
        late = "select distinct job from ledger where fire_at > '2026-12-20 11:00+0'"
        wait_until(lambda: len(rows(connection, late)) == 2)
        clock.jump(-month)
        wait_until(lambda: len([one for one in open_alarms(connection) if one.kind == "clock_ahead"]) == 2)
        clock.jump(timedelta(days=1))
        right = "select distinct job from ledger where fire_at between '2026-11-21 11:30+0' and '2026-11-21 12:10+0'"
        wait_until(lambda: len(rows(connection, right)) == 2)


def test_a_job_that_was_new_while_the_clock_was_ahead_is_due_once_it_is_right(
    database: str, connection: Connection
) -> None:
    ledger(connection)
    clock = Clock(NOON + timedelta(days=30))
    with running(database, {"write": job()}, clock=clock):
        wait_until(lambda: "write" in schedules(connection, now=NOON))
        clock.jump(-timedelta(days=30))
        wait_until(lambda: schedules(connection, now=NOON + timedelta(days=60))["write"].after < NOON + MINUTE)
        clock.jump(MINUTE)
        wait_until(lambda: rows(connection, "select * from ledger"))


def test_a_scheduler_that_is_stopped_in_the_middle_of_a_look_ends(database: str, connection: Connection) -> None:
    looks, here = threading.Event(), threading.current_thread()

    def clock() -> datetime:
        if threading.current_thread() is not here:
            looks.set()
            lead.stop.wait()
        return NOON

    taken = take_over(connection, "given", silent_after_s=60)
    assert taken is not None
    lead = Lead(settings=HASTY, dsn=database, epoch=taken.epoch, clock=clock)
    work = Work(lead, {"write": job()})
    work.start()
    assert looks.wait(30.0)
    stopping = threading.Thread(target=work.stop, daemon=True)
    stopping.start()
    stopping.join(30.0)
    assert not stopping.is_alive()
