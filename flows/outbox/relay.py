"""The relay: one thread a destination, one that keeps the slots, and one that looks after the table."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import structlog

from flows.observe import OPERATION_SECONDS, SENT_MESSAGES
from flows.outbox.batch import Batch, send_batch
from flows.outbox.metrics import REFUSALS, RETRIES, labels, show_backlog
from flows.outbox.outcomes import Publish
from flows.outbox.pace import Pace
from flows.outbox.slots import Slots, keep_slots
from schemas.errors import BrokerError, CoilflowError, StoreError
from store.connection import Connection, connect
from store.outbox import PRUNED_ROWS, backlog, prune_outbox, waiting_destinations

_APPLICATION = "coilflow outbox"
_MOST_DESTINATIONS = 64  # threads; more are not started
_MOST_UNITS_WAITING = 1000  # for their next attempt: a destination that refuses everything gets no more until then
_log = structlog.stdlib.get_logger(__name__)

OpenPublisher = Callable[[str], AbstractContextManager[Publish]]


class Relay:
    """Publishes what waits in the outbox; several relays share the slots of one database.

    Args:
        dsn: of the database, at the version of this code.
        destinations: to connect to from the start; others are added as rows for them are found.
        open_publisher: connects to a destination.
        pace: how fast it looks and tries again.
    """

    def __init__(
        self, dsn: str, *, destinations: frozenset[str], open_publisher: OpenPublisher, pace: Pace | None = None
    ) -> None:
        self._dsn = dsn
        self._destinations = destinations
        self._open_publisher = open_publisher
        self._pace = pace or Pace()
        self._slots = Slots(self._pace.lease_s)

    def run(self, stop: threading.Event) -> None:
        """Publish until `stop` is set; then batches under way are finished, and the slots released.

        Faults of brokers and database are logged and tried again; anything else ends the relay.
        """
        batches_done = threading.Event()
        with ThreadPoolExecutor(_MOST_DESTINATIONS + 1, thread_name_prefix="outbox") as threads:
            keeper = threads.submit(keep_slots, self._dsn, self._slots, pace=self._pace, stop=batches_done)
            senders: dict[str, Future[None]] = {}
            try:
                self._look_after(threads, keeper, senders, stop)
            finally:
                stop.set()
                wait(senders.values())
                batches_done.set()
            for ended in (keeper, *senders.values()):
                ended.result()

    def _look_after(
        self,
        threads: ThreadPoolExecutor,
        keeper: Future[None],
        senders: dict[str, Future[None]],
        stop: threading.Event,
    ) -> None:
        """Start a sender for each destination, count what waits and delete what is old."""
        due = _Due(self._pace)
        failures = 0
        while not stop.is_set():
            try:
                with connect(self._dsn, application_name=_APPLICATION) as connection:
                    while not stop.is_set():
                        wanted = self._destinations | waiting_destinations(connection)
                        for destination in sorted(wanted - senders.keys())[: _MOST_DESTINATIONS - len(senders)]:
                            senders[destination] = threads.submit(self._send, destination, stop)
                        due.do(connection, frozenset(senders), stop)
                        failures = 0
                        for ended in [one for one in (keeper, *senders.values()) if one.done()]:
                            ended.result()
                        stop.wait(self._pace.look_s)
            except StoreError as error:
                failures += 1
                _log.warning("the outbox cannot be looked after", reason=str(error), remedy=error.remedy)
                stop.wait(self._pace.retry_s(failures))

    def _send(self, destination: str, stop: threading.Event) -> None:
        """Publish to one destination, whatever becomes of the others."""
        failures = 0
        while not stop.is_set():
            try:
                with (
                    connect(self._dsn, application_name=_APPLICATION) as connection,
                    self._open_publisher(destination) as publish,
                ):
                    waiting: dict[str | int, float] = {}  # unit -> monotonic time of its next attempt, s
                    while not stop.is_set():
                        batch = self._batch(connection, destination, publish, waiting)
                        if batch.failure is not None:
                            raise BrokerError(batch.failure, remedy="it is tried again")
                        failures = 0
                        if batch.idle:
                            stop.wait(self._pace.poll_s)
            except CoilflowError as error:
                failures += 1
                pause_s = self._pace.retry_s(failures)
                RETRIES.labels(*labels(destination)).inc()
                _log.warning(
                    "a destination takes nothing, trying again",
                    destination=destination,
                    reason=str(error),
                    remedy=error.remedy,
                    failures=failures,
                    pause_s=round(pause_s, 2),
                )
                stop.wait(pause_s)

    def _batch(
        self, connection: Connection, destination: str, publish: Publish, waiting: dict[str | int, float]
    ) -> Batch:
        now_s = time.monotonic()
        for unit in [unit for unit, at_s in waiting.items() if at_s <= now_s]:
            del waiting[unit]
        if len(waiting) >= _MOST_UNITS_WAITING:
            return Batch()
        with self._slots.use(destination) as mine:
            batch = send_batch(
                connection,
                destination,
                publish,
                slots=mine,
                may_publish=lambda: mine <= self._slots.current(),
                without=frozenset(waiting),
                most_attempts=self._pace.most_attempts,
            )
        if batch.sent:
            SENT_MESSAGES.labels(*labels(destination)).inc(batch.sent)
            OPERATION_SECONDS.labels(*labels(destination), "send").observe(time.monotonic() - now_s)
        refusals = len(batch.refused) + len(batch.set_aside)
        if refusals:
            REFUSALS.labels(*labels(destination)).inc(refusals)
        for unit, attempts in batch.refused.items():
            waiting[unit] = time.monotonic() + self._pace.retry_s(attempts)
        for row in batch.set_aside:
            _log.error(
                "a row was refused for the last time and set aside",
                destination=destination,
                event_id=str(row.event_id),
                key=row.key,
                outbox_id=row.outbox_id,
            )
        return batch


class _Due:
    """What is done now and then.

    Args:
        pace: how often.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._count_at_s = self._prune_at_s = time.monotonic()

    def do(self, connection: Connection, known: frozenset[str], stop: threading.Event) -> None:
        """Count what waits and delete what is old, where it is time; raises StoreError."""
        now_s = time.monotonic()
        if now_s >= self._count_at_s:
            self._count_at_s = now_s + self._pace.count_s
            show_backlog(backlog(connection), known)
        if now_s >= self._prune_at_s:
            self._prune_at_s = now_s + self._pace.prune_s
            before = datetime.now(UTC) - timedelta(seconds=self._pace.keep_s)
            while prune_outbox(connection, before=before) == PRUNED_ROWS and not stop.is_set():
                pass
