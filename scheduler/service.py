"""The scheduler: several may run, one leads, the others stand by."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import structlog

from flows.kafka.database import backoff_s
from scheduler.alarms import tell_alarms
from scheduler.attempt import Lead
from scheduler.channels import open_channels
from scheduler.cron import check_crons
from scheduler.jobs import Jobs
from scheduler.leader import give_up, keep_leading, stand_by
from scheduler.metrics import LEADS
from scheduler.watch import NO_LEADER
from scheduler.work import Work
from schemas.errors import StoreError
from schemas.settings import Settings
from store.alarms import raise_alarm
from store.connection import Connection
from store.leadership import TakeOver, leader_session

_UNLED_S = 60.0  # without a leader for so long, somebody should know
_log = structlog.stdlib.get_logger(__name__)


class Scheduler:
    """Runs jobs where it leads.

    Args:
        dsn: of the database, at the version of this code.
        settings: of the service.
        jobs: by name.
        clock: the time that fires and runs are reckoned by; leadership goes by the server's clock.

    Raises:
        UsageError: a crontab or the time zone of the settings is wrong, or a webhook's secret.
    """

    def __init__(
        self, dsn: str, *, settings: Settings, jobs: Jobs, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        check_crons(settings, jobs, now=clock())
        open_channels(settings)
        self._dsn = dsn
        self._settings = settings
        self._jobs = jobs
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        """Lead or stand by until `stop` is set; then jobs under way have seconds to stop, and it resigns.

        Faults of the database are logged and met by standing by anew.
        """
        failures = 0
        while not stop.is_set():
            try:
                with leader_session(self._dsn) as session:
                    taken = stand_by(
                        session,
                        take_over_s=self._settings.schedule.take_over_s,
                        stop=stop,
                        silent=lambda silent_s: self._tell_of_silence(session, silent_s),
                    )
                    failures = 0
                    if taken is not None:
                        self._lead(session, taken, stop)
            except StoreError as error:
                failures += 1
                _log.warning("this scheduler does not lead", reason=str(error), remedy=error.remedy)
                stop.wait(backoff_s(failures, jitter=random.random()))  # noqa: S311 - no secret

    def _lead(self, session: Connection, taken: TakeOver, stop: threading.Event) -> None:
        take_over_s = self._settings.schedule.take_over_s
        lead = Lead(settings=self._settings, dsn=self._dsn, epoch=taken.epoch, clock=self._clock)
        self._complain(session, taken)
        work = Work(lead, self._jobs)
        LEADS.set(1)
        try:
            work.start()
            keep_leading(session, taken.epoch, take_over_s=take_over_s, until=stop)
            with ThreadPoolExecutor(1, thread_name_prefix="scheduler-stop") as threads:
                stopped = threading.Event()
                ending = threads.submit(work.stop)
                ending.add_done_callback(lambda _: stopped.set())
                keep_leading(session, taken.epoch, take_over_s=take_over_s, until=stopped)
            ending.result()
            give_up(session, taken.epoch)
            _log.info("this scheduler has given up the lead", epoch=taken.epoch)
        finally:
            LEADS.set(0)
            session.close()  # at once, where the lead is lost: the next leader need not wait for our jobs
            work.stop()

    def _complain(self, session: Connection, taken: TakeOver) -> None:
        if taken.unled_s is not None and taken.unled_s > _UNLED_S + self._settings.schedule.take_over_s:
            text = (
                f"no scheduler led for {taken.unled_s / 60:.0f} minutes: jobs did not run; "
                "see that `coilflow scheduler run` is always up, better twice"
            )
            raise_alarm(session, NO_LEADER, "", text=text, now=self._clock())

    def _tell_of_silence(self, session: Connection, silent_s: float) -> None:
        """Told from here: the leader, whose task it is, does not."""
        now = self._clock()
        text = (
            f"the leading scheduler has been silent for {silent_s:.0f} s and cannot be put out: jobs do not run; "
            "end it, and let all schedulers connect as the same user of the database"
        )
        raise_alarm(session, NO_LEADER, "", text=text, now=now)
        tell_alarms(session, self._settings.alarms, open_channels(self._settings), now=now)
