"""What a leader does: it looks what is due, runs it, and tells alarms.

APScheduler is the clock and the threads; PostgreSQL says what is due. Its jobs are wake-ups, alike and cheap: so any
number of late ones is one (`coalesce`), none is ever too late (`misfire_grace_time` None; its default of 1 s would lose
wake-ups on a busy machine), and none runs beside itself (`max_instances` 1). Which fires are made up for is ours
to say, from what is stored (`scheduler.due`).
"""

from contextlib import suppress
from datetime import datetime, timedelta

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from flows.limited_database import LimitedDatabase
from scheduler.alarms import tell_alarms
from scheduler.attempt import MISSED_FIRE, Lead, run_fire, threads_of
from scheduler.channels import open_channels
from scheduler.cron import cron_trigger, time_zone
from scheduler.due import due_fires
from scheduler.jobs import Job, Jobs
from scheduler.metrics import OPEN_ALARMS
from schemas.errors import NotLeaderError, StoreError, UsageError
from store.alarms import clear_alarm, open_alarms, raise_alarm
from store.connection import Connection
from store.schedule import Unrun, fires_to_run, lose_attempts, record_fires
from store.schedules import Schedule, forget_future, register_schedules, schedules

_LOOK_S = 1.0  # between two looks for what persons ask and what is tried again
_TELL_S = 2.0
_SKEW = timedelta(minutes=1)  # between the clocks of two schedulers, which is no fault
CLOCK_AHEAD = "clock_ahead"
_MOST_HUNG = 3  # runs of a job that hang in a thread; more are not begun in this process
_WAKE = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1, "replace_existing": True}
_APPLICATION = "coilflow scheduler"
_log = structlog.stdlib.get_logger(__name__)


class Work:
    """The jobs of a leader.

    Args:
        lead: what it leads with.
        jobs: by name.
    """

    def __init__(self, lead: Lead, jobs: Jobs) -> None:
        self._lead = lead
        self._jobs = jobs
        self._zone = time_zone(lead.settings.schedule.time_zone)
        self._channels = open_channels(lead.settings)
        self._looked = LimitedDatabase(lead.dsn, application_name=_APPLICATION)
        self._told = LimitedDatabase(lead.dsn, application_name=_APPLICATION)
        self._running: set[str] = set()
        self._triggers: dict[str, tuple[str, CronTrigger]] = {}  # by job: crontab and its trigger
        # Last fire of the future by job; None where an alarm of it may be left from a former leader.
        self._ahead: dict[str, datetime | None] = dict.fromkeys(jobs)
        self._awaited: dict[str, str] = {}  # crontab by job: wake-ups that APScheduler has
        self._executors = {
            # One thread, so that looks follow each other; telling and each job wait for nobody.
            "default": ThreadPoolExecutor(1),
            "tell": ThreadPoolExecutor(1),
            "runs": ThreadPoolExecutor(max(1, len(jobs))),
        }
        self._scheduler = BackgroundScheduler(
            timezone=self._zone, jobstores={"default": MemoryJobStore()}, executors=self._executors
        )

    def start(self) -> None:
        """Take over what former leaders left, and begin.

        Raises:
            NotLeaderError: another leads already.
            StoreError: the database refused.
        """
        lead = self._lead
        connection, now = self._looked.connection(), lead.clock()
        lost = lose_attempts(connection, epoch=lead.epoch, now=now)
        crons = {name: job.cron for name, job in self._jobs.items()}
        register_schedules(connection, crons, epoch=lead.epoch, now=now)
        _log.info("this scheduler leads", epoch=lead.epoch, jobs=sorted(self._jobs), lost_attempts=lost)
        at_once = datetime.now(self._zone)
        self._scheduler.add_job(self._look, "interval", seconds=_LOOK_S, id="look", next_run_time=at_once, **_WAKE)
        self._scheduler.add_job(
            self._tell, "interval", seconds=_TELL_S, id="tell", next_run_time=at_once, executor="tell", **_WAKE
        )
        self._scheduler.start()

    def stop(self) -> None:
        """End: jobs under way have some seconds to stop; what they did not commit is run again by the next leader."""
        self._lead.stop.set()
        if self._scheduler.running:
            # It would wait with its locks held, and a look under way wants them for its wake-ups: for ever.
            self._scheduler.shutdown(wait=False)
        for executor in self._executors.values():
            executor.shutdown(wait=True)
        self._looked.close()
        self._told.close()

    def _look(self) -> None:
        """Record which fires are due, and start what is to run; a fault of the database is met by the next look."""
        try:
            connection, now = self._looked.connection(), self._lead.clock()
            self._look_ahead(connection, now)
            known = schedules(connection, now=now)
            for name in self._jobs.keys() & known.keys():
                self._record_due(connection, name, self._jobs[name], known[name], now)
            for name in fires_to_run(connection, list(self._jobs), now=now):
                self._start(name)
        except StoreError as error:
            self._warn("what is due cannot be read", error)

    def _look_ahead(self, connection: Connection, now: datetime) -> None:
        """A clock that was ahead must not silence the schedule until time has caught up with it."""
        with connection.transaction():  # the alarm with what it is about: the next look does not find that again
            found = forget_future(connection, list(self._jobs), epoch=self._lead.epoch, now=now)
            ahead = {one.job: one.last_at for one in found if one.last_at - now > _SKEW}
            for one in found:
                if one.job in ahead and self._ahead.get(one.job) != one.last_at:
                    text = (
                        f"{one.fires} fires of the job {one.job} up to {one.last_at:%Y-%m-%d %H:%M %Z} were recorded "
                        "before their time: a clock was ahead; see that the clocks of all schedulers are kept (NTP). "
                        f"What ran does not run again then: `coilflow scheduler once {one.job}` runs it"
                    )
                    raise_alarm(connection, CLOCK_AHEAD, one.job, text=text, now=now)
            for name in self._ahead.keys() - ahead.keys():
                clear_alarm(connection, CLOCK_AHEAD, name, now=now)
        self._ahead = {**ahead}

    def _record_due(self, connection: Connection, name: str, job: Job, schedule: Schedule, now: datetime) -> None:
        trigger = self._trigger(connection, schedule, now)
        self._wake_at(name, None if schedule.paused_at else trigger, schedule.cron)
        if trigger is None or schedule.paused_at is not None:
            return
        due = due_fires(
            trigger,
            after=schedule.after,
            now=now,
            grace_s=self._lead.settings.schedule.misfire_grace_s,
            coalesce=job.coalesce,
        )
        unrun: dict[datetime, Unrun] = {}
        unrun.update(dict.fromkeys(due.coalesced, "coalesced"))
        unrun.update(dict.fromkeys(due.missed, "missed"))
        if due.run or unrun:
            record_fires(connection, name, due.run, unrun=unrun, coalesce=job.coalesce, epoch=self._lead.epoch, now=now)
        if due.missed:
            text = (
                f"{len(due.missed)} fires of the job {name} were missed, the first at "
                f"{due.missed[0]:%Y-%m-%d %H:%M %Z}, since no scheduler led; "
                "see that `coilflow scheduler run` is always up, better twice"
            )
            raise_alarm(connection, MISSED_FIRE, name, text=text, now=now)

    def _trigger(self, connection: Connection, schedule: Schedule, now: datetime) -> CronTrigger | None:
        cron, trigger = self._triggers.get(schedule.job, ("", None))
        if cron != schedule.cron:
            try:
                trigger = cron_trigger(schedule.cron, self._zone, now=now)
            except UsageError as error:  # somebody wrote it into the table: other jobs go on
                raise_alarm(connection, "bad_crontab", schedule.job, text=f"{error}; {error.remedy}", now=now)
                return None
            self._triggers[schedule.job] = schedule.cron, trigger
        return trigger

    def _wake_at(self, name: str, trigger: CronTrigger | None, cron: str) -> None:
        """Have APScheduler wake the look at each fire of a job."""
        if trigger is None:
            if self._awaited.pop(name, None) is not None:
                with suppress(JobLookupError):  # gone with all the others, where this stops meanwhile
                    self._scheduler.remove_job(f"wake {name}")
        elif self._awaited.get(name) != cron:
            self._scheduler.add_job(self._look, trigger, id=f"wake {name}", **_WAKE)
            self._awaited[name] = cron

    def _start(self, name: str) -> None:
        if name not in self._running and not self._lead.stop.is_set():
            self._running.add(name)
            self._scheduler.add_job(self._run, args=[name], executor="runs", misfire_grace_time=None)

    def _run(self, name: str) -> None:
        """Run what is due of one job, fire after fire."""
        database = LimitedDatabase(self._lead.dsn, application_name=_APPLICATION)
        job = self._jobs[name]
        try:
            while not self._lead.stop.is_set() and not self._hangs(database.connection(), name):
                ready = fires_to_run(database.connection(), [name], now=self._lead.clock())
                if name not in ready:
                    return
                run_fire(self._lead, database, ready[name], job)
        except StoreError as error:
            self._warn(f"the job {name} cannot be run", error)
        finally:
            database.close()
            self._running.discard(name)

    def _hangs(self, connection: Connection, name: str) -> bool:
        hung = threads_of(name)
        if hung >= _MOST_HUNG:
            text = f"{hung} runs of the job {name} hang; restart the scheduler and look what it waits for"
            raise_alarm(connection, "job_hangs", name, text=text, now=self._lead.clock())
        return hung >= _MOST_HUNG

    def _tell(self) -> None:
        try:
            connection = self._told.connection()
            OPEN_ALARMS.set(len(open_alarms(connection)))
            tell_alarms(connection, self._lead.settings.alarms, self._channels, now=self._lead.clock())
        except StoreError as error:
            self._warn("alarms cannot be told", error)

    def _warn(self, what: str, error: StoreError) -> None:
        if not self._lead.stop.is_set() and not isinstance(error, NotLeaderError):
            _log.warning(what, reason=str(error), remedy=error.remedy)
