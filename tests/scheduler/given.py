"""Jobs that store what they did, a clock that tests set, and schedulers that run while a block lasts."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from scheduler.jobs import Job, JobContext, Jobs
from scheduler.once import run_once
from scheduler.registry import registered_jobs
from scheduler.service import Scheduler
from schemas.loop_settings import ScheduleSettings
from schemas.settings import Settings
from store.connection import Connection, connect
from store.leadership import leader_session, take_over
from store.schedule import PastFire, committing
from store.schedules import register_schedules

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
EVERY_MINUTE = "* * * * *"
HASTY = Settings(schedule=ScheduleSettings(take_over_s=2.0))


def run_registered(database: str, name: str, now: datetime) -> PastFire:
    """Run a job of the registry at a time."""
    settings = Settings()
    return run_once(
        database,
        name,
        settings=settings,
        jobs=registered_jobs(settings),
        clock=lambda: now,
        who="test",
        why=None,
        stop=threading.Event(),
    )


def ledger(connection: Connection) -> None:
    """Make the table that `write_down` writes into."""
    connection.execute("create table ledger (job text, fire_at timestamptz, epoch bigint)")


def write_down(context: JobContext) -> str:
    """A job whose work is one row, stored with the commit of its run."""
    said = f"wrote {context.fire_at:%H:%M}"
    with (
        connect(context.dsn) as connection,
        committing(connection, context.attempt_id, now=context.now, said=said),
    ):
        connection.execute("insert into ledger values (%s, %s, %s)", (context.job, context.fire_at, context.epoch))
    return said


def job(run: Callable[[JobContext], str | None] = write_down, **how: Any) -> Job:
    """A job every minute."""
    return Job(**{"run": run, "cron": EVERY_MINUTE, **how})


class Clock:
    """Time since a moment in the past, so that fires are due at once."""

    def __init__(self, starts_at: datetime = NOON) -> None:
        self._began_at = datetime.now(UTC)
        self._starts_at = starts_at

    def __call__(self) -> datetime:
        """The time."""
        return self._starts_at + (datetime.now(UTC) - self._began_at)

    def jump(self, ahead: timedelta) -> None:
        """Let time pass."""
        self._starts_at += ahead


def behind(dsn: str, jobs: Jobs, fires: int) -> None:
    """Register jobs so many minutes before noon, as if no scheduler had run since."""
    with leader_session(dsn) as session:
        taken = take_over(session, "given", silent_after_s=60)
        assert taken is not None
        crons = {name: one.cron for name, one in jobs.items()}
        register_schedules(session, crons, epoch=taken.epoch, now=NOON - timedelta(minutes=fires))
        session.execute("update coilflow.leaders set ended_at = now()")


@contextmanager
def running(
    dsn: str, jobs: Jobs, *, settings: Settings = HASTY, clock: Callable[[], datetime] | None = None
) -> Iterator[threading.Event]:
    """A scheduler in a thread while the block lasts; what it raises is raised at the end."""
    stop = threading.Event()
    scheduler = Scheduler(dsn, settings=settings, jobs=jobs, clock=clock or Clock())
    with ThreadPoolExecutor(1) as threads:
        ran = threads.submit(scheduler.run, stop)
        try:
            yield stop
        finally:
            stop.set()
            ran.result()


def rows(connection: Connection, statement: str) -> list[dict[str, Any]]:
    """What a statement gives."""
    return connection.execute(statement.encode()).fetchall()
