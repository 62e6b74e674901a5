"""One membership in the group that takes feedback in: poll, store, and only then tell Kafka how far it got."""

import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from kafka import TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import CommitFailedError, KafkaError
from kafka.structs import OffsetAndMetadata

from flows.intake import Fate, Item, Refused, read_feedback, take_in, words_of
from flows.kafka import client, metrics
from flows.kafka.database import Database, backoff_s
from flows.observe import CONSUMED_MESSAGES
from flows.tracing import Tracing, trace_feedback
from processors.decode import structured_line
from processors.envelope import event_id_of
from schemas.errors import LogError, StoreError, StoreUnavailableError
from schemas.rejects import LogPlace, Reject, Step
from schemas.settings import Settings
from store.connection import Connection
from store.feedback import Feedback

log = structlog.get_logger("coilflow.feedback")

_POLL_MS = 200  # no longer than this until a stop or a retry is noticed
_LOOK_EVERY_S = 5.0  # at the end of the topic
_LOOK_TIMEOUT_MS = 2000
_FATES = {"accepted": "applied", "repeated": "duplicate", "refused": "dead"}


@dataclass(frozen=True, slots=True)
class _Read:
    """A message, and what it says."""

    place: TopicPartition
    log: LogPlace
    original: bytes
    item: Item


class FeedbackSession:
    """Takes feedback in, in one thread. A word that comes twice, after a kill or a rebalance, changes nothing."""

    def __init__(
        self, settings: Settings, database: Database, *, instance_id: str | None, tracing: Tracing | None
    ) -> None:
        self._settings = settings
        self._tracing = tracing
        self._database = database
        self._topic = settings.kafka.feedback_topic
        self._consumer = client.group_consumer(settings.kafka, self._topic, instance_id=instance_id)
        self._unstored: list[_Read] = []  # in the order in which they came, while the database is away
        self._untold: dict[TopicPartition, int] = {}  # how far it got, where Kafka does not know yet
        self._failures = 0
        self._retry_at_s = 0.0
        self._next_look_s = 0.0
        self._shown: set[int] = set()  # partitions whose lag is shown

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set.

        Raises:
            LogError: the topic is not there.
            StoreError: the database is of another version.
            KafkaError: the client gave up.
        """
        try:
            if not self._consumer.partitions_for_topic(self._topic):
                raise LogError(
                    f"Kafka has no topic {self._topic}", remedy="create coilflow's topics with `coilflow doctor --fix`"
                )
            self._consumer.subscribe([self._topic])
            while not stop.is_set():
                self._turn()
                self._look_at_the_end()
        finally:
            self._show_lag({})
            self._consumer.close(autocommit=False)

    def _turn(self) -> None:
        if self._failures:
            self._consumer.pause(*self._consumer.assignment())  # also what came in the meantime
        polled = client.poll(self._consumer, timeout_ms=_POLL_MS)
        mine, now = self._consumer.assignment(), datetime.now(UTC)
        # Not by what a rebalance says it revokes: what stays here after all is not read again.
        self._unstored = [read for read in self._unstored if read.place in mine]
        for place, records in polled.items():
            self._unstored += [_read(place, record, now=now) for record in records]
        self._untold = {place: offset for place, offset in self._untold.items() if place in mine}
        if not self._unstored:
            self._go_on()  # where a rebalance took what was waited with
            self._commit()
            return
        if time.monotonic() < self._retry_at_s:
            return
        began_ns = time.time_ns()
        try:
            fates = _stored(self._database.connection(), self._unstored, self._settings, now=now)
        except StoreUnavailableError as error:
            self._hold(error)
            return
        self._report(fates)
        if self._tracing is not None:
            trace_feedback(self._tracing, words_of(fates), joined_ns=(began_ns, time.time_ns()))
        self._untold |= {read.place: read.log.offset + 1 for read in self._unstored}
        self._unstored = []
        self._commit()
        self._go_on()

    def _go_on(self) -> None:
        if self._failures:
            log.info("going on", after_failures=self._failures)
            self._failures = 0
            self._consumer.resume(*self._consumer.assignment())

    def _hold(self, error: StoreUnavailableError) -> None:
        """Read nothing more until the database works again, but poll on, so that the group keeps this worker."""
        self._failures += 1
        wait_s = backoff_s(self._failures, jitter=random.random())  # noqa: S311 - not a secret
        self._retry_at_s = time.monotonic() + wait_s
        self._database.close()
        metrics.COMMIT_FAILURES.labels("database").inc()
        log.warning("waiting", error=str(error), remedy=error.remedy, again_in_s=round(wait_s, 1))

    def _look_at_the_end(self) -> None:
        if time.monotonic() < self._next_look_s:
            return
        self._next_look_s = time.monotonic() + _LOOK_EVERY_S
        places = list(self._consumer.assignment())
        held = Counter(read.place for read in self._unstored)
        try:
            ends = self._consumer.end_offsets(places, timeout_ms=_LOOK_TIMEOUT_MS) if places else {}
            lag = {p.partition: max(0, end - self._consumer.position(p)) + held[p] for p, end in ends.items()}
        except KafkaError as error:
            metrics.COMMIT_FAILURES.labels("broker").inc()
            log.warning("broker is away", error=repr(error))
            return
        self._show_lag(lag)

    def _show_lag(self, lag: Mapping[int, int]) -> None:
        """Show how much each partition has that is not stored; nothing of those that another worker has now."""
        for gone in self._shown - lag.keys():
            metrics.forget_partition(self._topic, gone)
        for number, messages in lag.items():
            metrics.LAG_MESSAGES.labels(self._topic, str(number)).set(messages)
        self._shown = set(lag)

    def _commit(self) -> None:
        """Tell Kafka how far it got; where it does not hear of it, as in a rebalance, it is told again.

        Whoever reads these again meanwhile changes nothing.
        """
        if not self._untold:
            return
        try:
            self._consumer.commit({place: OffsetAndMetadata(offset, "", -1) for place, offset in self._untold.items()})
        except CommitFailedError as error:
            log.warning("another worker will see these again", why=str(error))
        except KafkaError as error:
            log.warning("broker did not note the position", why=repr(error))
            return
        self._untold = {}

    def _report(self, fates: Sequence[Fate]) -> None:
        CONSUMED_MESSAGES.labels("kafka", self._topic).inc(len(fates))
        for fate in fates:
            metrics.MESSAGES.labels(self._topic, _FATES[fate.status]).inc()
            if isinstance(fate.item, Refused):
                reject = fate.item.reject
                log.warning(
                    "feedback refused",
                    place=reject.place,
                    error=reject.error,
                    remedy=reject.remedy,
                    event_id=fate.item.event_id,
                )


def _read(place: TopicPartition, record: ConsumerRecord, *, now: datetime) -> _Read:
    where = LogPlace(
        topic=place.topic, partition=place.partition, offset=record.offset, key=record.key, headers=record.headers
    )
    original = record.value or b""
    said = read_feedback(structured_line(record.value, record.headers), now=now)
    item = said if isinstance(said, Feedback) else _refused(where, original, *said, step="decode")
    return _Read(place, where, original, item)


def _refused(where: LogPlace, original: bytes, error: str, remedy: str, *, step: Step) -> Refused:
    reject = Reject(
        step=step,
        place=f"{where.topic}, partition {where.partition}, offset {where.offset}",
        key=None,  # a verdict on the coil that it may name is no answer to it
        error=error,
        remedy=remedy,
        original=original,
        whole_coil=False,
        log=where,
    )
    return Refused(reject=reject, event_id=event_id_of(where.headers), source=None)


def _stored(connection: Connection, reads: Sequence[_Read], settings: Settings, *, now: datetime) -> tuple[Fate, ...]:
    """Store messages in one transaction; one that the database refuses is a dead letter and stops no other."""
    try:
        return take_in(connection, [read.item for read in reads], settings, now=now)
    except StoreUnavailableError:
        raise
    except StoreError as error:
        if len(reads) == 1:
            [read] = reads
            if isinstance(read.item, Refused):
                raise
            refused = _refused(read.log, read.original, str(error), error.remedy, step="store")
            return take_in(connection, [refused], settings, now=now)
    half = len(reads) // 2
    return (
        *_stored(connection, reads[:half], settings, now=now),
        *_stored(connection, reads[half:], settings, now=now),
    )
