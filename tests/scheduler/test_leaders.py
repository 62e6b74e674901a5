"""One scheduler leads; killed, frozen or cut off, another takes over, and the old one stores nothing any more."""

import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from schemas.errors import NotLeaderError, StoreError
from schemas.loop_settings import ScheduleSettings
from schemas.settings import Settings
from store.alarms import open_alarms
from store.connection import Connection, connect
from store.leadership import TakeOver, beat, fenced, last_leader, leader_session, resign, sessions_of, take_over
from store.schedule import begin_attempt, commit_attempt, end_attempt, fires_to_run, record_fires
from store.schedules import register_schedules, schedules
from tests.scheduler.given import EVERY_MINUTE, NOON, behind, job, ledger, rows, running
from tests.waiting import wait_until

PATIENT_S = 3600.0
ROOT = Path(__file__).parents[2]


def follow(session: Connection, *, silent_after_s: float = PATIENT_S) -> TakeOver:
    """Take the lead as soon as it is free."""
    taken: list[TakeOver] = []

    def took() -> bool:
        found = take_over(session, "two", silent_after_s=silent_after_s)
        taken.extend([found] if found else [])
        return found is not None

    wait_until(took)
    return taken[0]


def lead(session: Connection) -> int:
    """Take the lead where nobody has it."""
    taken = take_over(session, "one", silent_after_s=PATIENT_S)
    assert taken is not None
    return taken.epoch


def begun(connection: Connection, epoch: int) -> int:
    """A fire of noon under way; returns its attempt's id."""
    register_schedules(connection, {"write": EVERY_MINUTE}, epoch=epoch, now=NOON)
    record_fires(connection, "write", [NOON], unrun={}, coalesce=False, epoch=epoch, now=NOON)
    fire = fires_to_run(connection, ["write"], now=NOON)["write"]
    attempt = begin_attempt(connection, fire.fire_id, epoch=epoch, now=NOON)
    assert attempt is not None
    return attempt.attempt_id


def test_one_leads_and_the_next_begins_a_higher_epoch(database: str) -> None:
    with leader_session(database) as one, leader_session(database) as two:
        first = lead(one)
        assert take_over(two, "two", silent_after_s=PATIENT_S) is None
        beat(one, first)
        one.close()
        follow(two)
        with connect(database) as connection:
            leader = last_leader(connection)
        assert leader is not None
        assert (leader.epoch > first, leader.holder, leader.leads) == (True, "two", True)


def test_whoever_resigns_is_not_missed(database: str) -> None:
    with leader_session(database) as one:
        resign(one, lead(one))
    with leader_session(database) as two:
        assert follow(two).unled_s is None


def test_a_silent_leader_has_its_session_ended(database: str) -> None:
    with leader_session(database) as frozen, leader_session(database) as two:
        epoch = lead(frozen)
        follow(two, silent_after_s=0.0)
        with pytest.raises(StoreError):
            beat(frozen, epoch)


def test_nothing_of_an_earlier_epoch_is_stored(database: str, connection: Connection) -> None:
    ledger(connection)
    with leader_session(database) as old:
        epoch = lead(old)
        attempt_id = begun(connection, epoch)
        old.close()
        with leader_session(database) as new:
            follow(new)
            with pytest.raises(NotLeaderError), fenced(connection, attempt_id):
                connection.execute("insert into ledger values ('write', now(), 1)")
            with pytest.raises(NotLeaderError):
                commit_attempt(connection, attempt_id, now=NOON, said=None)
            assert not end_attempt(
                connection, attempt_id, "failed", error="x", at_fault=True, next_attempt_at=None, now=NOON
            )
            fire = fires_to_run(connection, ["write"], now=NOON)["write"]
            assert begin_attempt(connection, fire.fire_id, epoch=epoch, now=NOON) is None
            record_fires(connection, "late", [NOON], unrun={}, coalesce=False, epoch=epoch, now=NOON)
            register_schedules(connection, {"late": EVERY_MINUTE}, epoch=epoch, now=NOON)
    assert rows(connection, "select * from ledger") == []
    assert rows(connection, "select * from coilflow.fires where job = 'late'") == []
    assert schedules(connection, now=NOON).keys() == {"write"}


def test_an_epoch_is_not_given_up_while_a_job_stores_under_it(database: str, connection: Connection) -> None:
    ledger(connection)
    with leader_session(database) as session, connect(database) as job:
        epoch = lead(session)
        attempt_id = begun(connection, epoch)
        session.execute("set lock_timeout = '200ms'")
        with fenced(job, attempt_id):
            job.execute("insert into ledger values ('write', now(), 1)")
            with pytest.raises(StoreError):
                resign(session, epoch)
            assert rows(connection, "select * from coilflow.leaders where ended_at is not null") == []
        resign(session, epoch)
        with pytest.raises(NotLeaderError), fenced(job, attempt_id):
            pass


def test_a_take_over_ends_a_transaction_that_stands_still(database: str, connection: Connection) -> None:
    """A frozen owner's open transaction would hold the epoch's row for as long as it stands still."""
    ledger(connection)
    with leader_session(database) as old, leader_session(database) as new:
        epoch = lead(old)
        attempt_id = begun(connection, epoch)

        def stand_still() -> None:
            with (
                connect(database, application_name=sessions_of(epoch, attempt_id)) as standing,
                fenced(standing, attempt_id),
            ):
                standing.execute("insert into ledger values ('write', now(), 1)")
                old.close()
                follow(new)

        with pytest.raises(StoreError):
            stand_still()
    assert rows(connection, "select * from ledger") == []


@contextmanager
def process(database: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A scheduler of its own, that is inside of its job's transaction."""
    started = subprocess.Popen([sys.executable, "-m", "tests.scheduler.launch", database, str(folder)], cwd=ROOT)
    try:
        wait_until((folder / "inside").exists)
        yield started
    finally:
        started.kill()
        started.wait()


def test_a_killed_leader_is_followed_and_its_run_is_made_again(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    ledger(connection)
    jobs = {"write": job(coalesce=False)}
    behind(database, jobs, 1)
    with process(database, tmp_path) as leader:
        leader.kill()
        with running(database, jobs):
            wait_until(lambda: rows(connection, "select * from ledger where fire_at = '2026-11-20 12:00+0'"))
    attempts = rows(
        connection,
        "select a.outcome from coilflow.attempts as a join coilflow.fires as f using (fire_id)"
        " where f.fire_at = '2026-11-20 12:00+0' order by a.attempt",
    )
    assert [row["outcome"] for row in attempts] == ["lost", "committed"]
    assert len(rows(connection, "select * from ledger where fire_at = '2026-11-20 12:00+0'")) == 1


def test_a_frozen_leader_is_followed_and_its_commit_is_refused(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    ledger(connection)
    jobs = {"write": job(coalesce=False)}
    behind(database, jobs, 1)
    with process(database, tmp_path) as leader:
        leader.send_signal(signal.SIGSTOP)
        with running(database, jobs):
            wait_until(lambda: rows(connection, "select * from ledger"))
            (tmp_path / "go").touch()
            leader.send_signal(signal.SIGCONT)
            wait_until((tmp_path / "refused").exists)
    assert not (tmp_path / "committed").exists()
    assert len(rows(connection, "select * from ledger where fire_at = '2026-11-20 12:00+0'")) == 1
    epochs = rows(connection, "select distinct epoch from ledger")
    assert len(epochs) == 1


def test_a_leader_of_another_user_who_is_silent_is_told_of_by_those_that_stand_by(
    database: str, connection: Connection
) -> None:
    """Its session cannot be ended from there."""
    role = f"other_{uuid.uuid4().hex[:8]}"
    for statement in (
        f"create role {role} login",
        f"grant usage on schema coilflow to {role}",
        f"grant all on all tables in schema coilflow to {role}",
    ):
        connection.execute(statement.encode())
    try:
        with leader_session(database) as silent:
            lead(silent)
            other = make_conninfo(database, user=role)
            with running(other, {}, settings=Settings(schedule=ScheduleSettings(take_over_s=0.2))):
                wait_until(lambda: open_alarms(connection))
            beat(silent, 1)
    finally:
        connection.execute(f"drop owned by {role}".encode())
        connection.execute(f"drop role {role}".encode())
    [alarm] = open_alarms(connection)
    assert alarm.kind == "no_leader"
    assert "cannot be put out" in alarm.text


def test_a_fire_whose_leaders_are_lost_each_time_fails_in_the_end(database: str, connection: Connection) -> None:
    ledger(connection)
    jobs = {"write": job()}
    behind(database, jobs, 1)
    with leader_session(database) as session:
        epoch = follow(session).epoch
        begun(connection, epoch)
        connection.execute("update coilflow.fires set attempts = 20")
        connection.execute("update coilflow.attempts set attempt = 20")
    with running(database, jobs):
        wait_until(lambda: open_alarms(connection))
    assert "20 runs began, and their leaders were lost" in open_alarms(connection)[0].text
    assert rows(connection, "select state from coilflow.fires") == [{"state": "failed"}]
