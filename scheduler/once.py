"""One run out of turn: by the leader where there is one, else here, under an epoch of our own."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from flows.limited_database import LimitedDatabase
from scheduler.attempt import Lead, run_fire
from scheduler.jobs import Jobs
from scheduler.leader import give_up, holder_name, keep_leading
from schemas.errors import StoreError, UsageError
from schemas.settings import Settings
from store.connection import Connection
from store.leadership import leader_session, take_over
from store.schedule import PastFire, fire, lose_attempts, past_fire, request_fire

_LOOK_S = 0.3
_APPLICATION = "coilflow scheduler once"


def run_once(
    dsn: str,
    name: str,
    *,
    settings: Settings,
    jobs: Jobs,
    clock: Callable[[], datetime],
    who: str,
    why: str | None,
    stop: threading.Event,
) -> PastFire:
    """Ask for a run of a job and wait until it was tried once; a paused job runs too.

    The request is stored first: the leader finds it within a second. Where none leads, or the one that does is lost
    meanwhile, this process takes the lead for this run alone, and the others stand by.

    Args:
        dsn: of the database, at the version of this code.
        name: of the job.
        settings: of the service.
        jobs: by name.
        clock: the time that fires are reckoned by.
        who: asks.
        why: for the record.
        stop: ends the waiting; the request stays.

    Returns:
        The fire and its last attempt; without one, where nobody began it in time.

    Raises:
        UsageError: there is no such job.
        StoreError: the database cannot be reached or refused.
    """
    if name not in jobs:
        raise UsageError(f"there is no job {name!r}", remedy=f"give one of {', '.join(sorted(jobs))}")
    database = LimitedDatabase(dsn, application_name=_APPLICATION)
    try:
        fire_id = _request(database.connection(), name, clock(), who, why)
        deadline = clock() + timedelta(seconds=jobs[name].most_seconds + 3 * settings.schedule.take_over_s)
        with leader_session(dsn) as session:
            while not stop.is_set() and clock() < deadline:
                tried = past_fire(database.connection(), fire_id)
                if tried.ended_at is not None or tried.settled_at is not None:
                    return tried
                taken = take_over(session, holder_name(), silent_after_s=settings.schedule.take_over_s)
                if taken is not None:
                    lead = Lead(settings=settings, dsn=dsn, epoch=taken.epoch, clock=clock, stop=stop)
                    _run_here(session, lead, database, fire_id, jobs)
                    break
                stop.wait(_LOOK_S)
        return past_fire(database.connection(), fire_id)
    finally:
        database.close()


def _request(connection: Connection, name: str, now: datetime, who: str, why: str | None) -> int:
    while True:
        fire_id = request_fire(connection, name, who=who, why=why, now=now)
        if fire_id is not None:
            return fire_id
        now += timedelta(microseconds=1)  # two asked at the same moment, or it is that of the crontab


def _run_here(session: Connection, lead: Lead, database: LimitedDatabase, fire_id: int, jobs: Jobs) -> None:
    """Run one fire while saying that this process leads."""
    lose_attempts(database.connection(), epoch=lead.epoch, now=lead.clock())
    asked = fire(database.connection(), fire_id)
    if asked is None:
        return
    with ThreadPoolExecutor(1, thread_name_prefix="once") as threads:
        done = threading.Event()
        ran = threads.submit(run_fire, lead, database, asked, jobs[asked.job])
        ran.add_done_callback(lambda _: done.set())
        try:
            take_over_s = lead.settings.schedule.take_over_s
            keep_leading(session, lead.epoch, take_over_s=take_over_s, until=done)
        except StoreError:
            lead.stop.set()
            raise
    ran.result()
    give_up(session, lead.epoch)
