"""One attempt at a fire: in a thread of its own, for a bounded time, and its end is recorded whatever it is."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from psycopg.conninfo import make_conninfo

from flows.limited_database import LimitedDatabase
from scheduler.jobs import Job, JobContext
from scheduler.metrics import RUN_SECONDS, RUNS
from schemas.errors import CoilflowError, NotLeaderError, StoreError, StoreUnavailableError
from schemas.settings import Settings
from store.alarms import clear_alarm, raise_alarm
from store.connection import Connection, parameters_of
from store.leadership import end_sessions_of, sessions_of
from store.schedule import Attempt, Failure, Fire, begin_attempt, commit_attempt, end_attempt, is_committed

_FIRST_RETRY_S = 30.0  # after a job's own failure; doubled each time
_INTERRUPTED_RETRY_S = 1.0  # after the database broke off
_MOST_ATTEMPTS = 20  # of one fire, whoever was at fault: one that ends its leader each time ends too
_STOP_S = 10.0  # for a job to stop by itself
_LOOK_S = 0.1  # between two looks at whether the scheduler stops
_RECORD_RETRY_S = 0.2
JOB_FAILED, JOB_HANGS, MISSED_FIRE = "job_failed", "job_hangs", "missed_fire"
_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lead:
    """What a leader runs jobs with."""

    settings: Settings
    dsn: str
    epoch: int
    clock: Callable[[], datetime]
    stop: threading.Event = field(default_factory=threading.Event)  # set where it stops, or leads no more


@dataclass(kw_only=True, slots=True)
class _Result:
    """What became of the job's call, written by its thread."""

    said: str | None = None
    error: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)


def run_fire(lead: Lead, database: LimitedDatabase, fire: Fire, job: Job) -> bool:
    """Run a fire once, and record how that ended.

    Args:
        lead: of the scheduler that leads; where it leads no more, nothing is stored.
        database: of this thread.
        fire: due or begun.
        job: what it runs.

    Returns:
        Whether it was committed.

    Raises:
        StoreError: the database refused, so the attempt stays open; the next one, or the next leader, ends it.
    """
    began_at, began_s = lead.clock(), time.monotonic()
    attempt = begin_attempt(database.connection(), fire.fire_id, epoch=lead.epoch, now=began_at)
    if attempt is None:
        return False
    log = _log.bind(job=fire.job, fire_at=fire.fire_at.isoformat(), attempt=attempt.attempt, epoch=lead.epoch)
    log.info("a run begins")
    context = _context(lead, fire, attempt, began_at)
    if attempt.attempt > _MOST_ATTEMPTS:
        result = _lost_too_often(attempt)
    else:
        result = _call(job, context)
        _wait(result, context, lead, job.most_seconds)
    committed = _recorded(lead, database, fire, job, attempt, result)
    RUN_SECONDS.labels(fire.job).set(time.monotonic() - began_s)
    log.info("a run has ended", committed=committed, said=result.said, error=result.error and str(result.error))
    return committed


def _lost_too_often(attempt: Attempt) -> _Result:
    """What stands for a run that is not tried any more: each before it may have ended its leader."""
    lost = StoreError(
        f"{attempt.attempt - 1} runs began, and their leaders were lost",
        remedy="look why schedulers end, e.g. for want of memory",
    )
    result = _Result(error=lost)
    result.done.set()
    return result


def threads_of(job: str) -> int:
    """Runs of a job in this process that have not ended, given up or not."""
    return sum(thread.name == _thread_name(job) for thread in threading.enumerate())


def _thread_name(job: str) -> str:
    return f"job {job}"


def _context(lead: Lead, fire: Fire, attempt: Attempt, now: datetime) -> JobContext:
    name = sessions_of(lead.epoch, attempt.attempt_id)
    return JobContext(
        settings=lead.settings,
        dsn=make_conninfo("", **{**parameters_of(lead.dsn), "application_name": name}),
        job=fire.job,
        fire_at=fire.fire_at,
        attempt=attempt.attempt,
        attempt_id=attempt.attempt_id,
        epoch=lead.epoch,
        now=now,
        stop=threading.Event(),
    )


def _call(job: Job, context: JobContext) -> _Result:
    result = _Result()

    def call() -> None:
        try:
            result.said = job.run(context)
        except Exception as error:  # noqa: BLE001 - whatever a job raises is recorded as its failure
            result.error = error
        finally:
            result.done.set()

    # A daemon: one that hangs for ever must not keep the process from ending.
    threading.Thread(target=call, name=_thread_name(context.job), daemon=True).start()
    return result


def _wait(result: _Result, context: JobContext, lead: Lead, most_s: float) -> None:
    """Until the job has ended, its time is up, or the scheduler stops and the job has had time to do so too."""
    deadline_s = time.monotonic() + most_s
    while not result.done.wait(_LOOK_S):
        if lead.stop.is_set():
            context.stop.set()
            result.done.wait(_STOP_S)
            return
        if time.monotonic() >= deadline_s:
            context.stop.set()
            return


def _recorded(lead: Lead, database: LimitedDatabase, fire: Fire, job: Job, attempt: Attempt, result: _Result) -> bool:
    """Record how an attempt ended, as often as the database breaks off; returns whether it was committed."""
    while True:
        try:
            return _record(database.connection(), lead, fire, job, attempt, result)
        except StoreUnavailableError:
            if lead.stop.wait(_RECORD_RETRY_S):
                raise


def _record(connection: Connection, lead: Lead, fire: Fire, job: Job, attempt: Attempt, result: _Result) -> bool:
    now = lead.clock()
    if is_committed(connection, attempt.attempt_id):
        return _committed(connection, fire, now)
    if not result.done.is_set():
        # First its sessions: what it has open would make the record wait, and might still be committed.
        end_sessions_of(connection, lead.epoch, attempt.attempt_id)
        failure: tuple[Failure, str, bool] = (
            ("stopped", "the scheduler stopped", False)
            if lead.stop.is_set()
            else ("timed_out", f"it took longer than {job.most_seconds:g} s", True)
        )
    elif result.error is None:
        try:
            commit_attempt(connection, attempt.attempt_id, now=now, said=result.said)
        except NotLeaderError:
            return False
        return _committed(connection, fire, now)
    else:
        failure = _failure(result.error, lead)
    outcome, error, at_fault = failure
    again = _next_attempt_at(lead, fire, job, attempt, outcome, at_fault=at_fault)
    ended = end_attempt(
        connection, attempt.attempt_id, outcome, error=error, at_fault=at_fault, next_attempt_at=again, now=now
    )
    if not ended:  # its commit was under way, or another leads
        return is_committed(connection, attempt.attempt_id) and _committed(connection, fire, now)
    RUNS.labels(fire.job, outcome).inc()
    if at_fault or again is None:
        what = "it is tried again" if again else "its next fire comes by its crontab"
        kind = JOB_HANGS if outcome == "timed_out" else JOB_FAILED
        text = f"the job {fire.job} due {fire.fire_at:%Y-%m-%d %H:%M %Z} failed: {error}; {what}"
        raise_alarm(connection, kind, fire.job, text=text, now=now)
    return False


def _committed(connection: Connection, fire: Fire, now: datetime) -> bool:
    RUNS.labels(fire.job, "committed").inc()
    for kind in (JOB_FAILED, JOB_HANGS, MISSED_FIRE):
        clear_alarm(connection, kind, fire.job, now=now)
    return True


def _failure(error: Exception, lead: Lead) -> tuple[Failure, str, bool]:
    """How an attempt ended whose job raised, in words, and whether that is the job's own fault."""
    if isinstance(error, CoilflowError):
        text = f"{str(error).rstrip('.')}; {error.remedy}"
        if lead.stop.is_set():
            return "stopped", text, False
        own = not isinstance(error, StoreUnavailableError | NotLeaderError)
        return ("failed" if own else "interrupted"), text, own
    _log.error("a job raised what it should not", exc_info=error)
    return "failed", f"unexpected {type(error).__name__}: {error}", True


def _next_attempt_at(
    lead: Lead, fire: Fire, job: Job, attempt: Attempt, outcome: Failure, *, at_fault: bool
) -> datetime | None:
    failures = fire.failures + at_fault
    if failures >= job.most_failures or attempt.attempt >= _MOST_ATTEMPTS:
        return None
    if outcome == "stopped":
        return lead.clock()
    pause_s = _FIRST_RETRY_S * 2.0 ** (failures - 1) if at_fault else _INTERRUPTED_RETRY_S
    return lead.clock() + timedelta(seconds=pause_s)
