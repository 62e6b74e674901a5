"""One membership in the consumer group, from the first assignment until it is stopped or loses a partition."""

import random
import threading
import time
from collections.abc import Mapping, Sequence

import structlog
from kafka import TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from flows.kafka import client, metrics
from flows.kafka.committer import Committer
from flows.kafka.database import Database, backoff_s
from flows.kafka.ownership import Owned, take_over
from flows.kafka.rebalances import Rebalances
from flows.observe import CONSUMED_MESSAGES
from flows.served import Current
from flows.tracing import Tracing
from processors.decode import Decoder
from processors.partition_log import LogMessage
from schemas.errors import BundleError, LogError, StoreUnavailableError
from schemas.rejects import Reject
from schemas.settings import Settings
from store.log import decided_coils, refused_coils

log = structlog.get_logger("coilflow.kafka")

_POLL_MS = 200  # no longer than this until a stop, a deadline or a retry is noticed
_LOOK_EVERY_S = 1.0  # at the end of the log
_LONGEST_LOOK_S = 5.0  # a host that slept was not listening: its silence is not the coils'
_REPORT_EVERY_S = 5.0  # Kafka's own positions, for lag monitors only
_LOOK_TIMEOUT_MS = 2000


class Session:
    """Reads, decides and commits in one thread; what it holds can be read again from the log at any time."""

    def __init__(
        self,
        settings: Settings,
        current: Current,
        database: Database,
        decode: Decoder,
        *,
        owner: str,
        instance_id: str | None,
        tracing: Tracing | None,
    ) -> None:
        self._database = database
        self._decode = decode
        self._owner = owner
        self._topic = settings.kafka.chunks_topic
        self._committer = Committer(settings, current, self._topic, tracing)
        assignor = CooperativeStickyAssignor()
        self._consumer = client.consumer(settings.kafka, instance_id=instance_id, assignor=assignor)
        self._rebalances = Rebalances(self._consumer, assignor)
        self._owned: dict[int, Owned] = {}
        self._to_claim: set[int] = set()
        self._unread: dict[int, list[LogMessage]] = {}
        self._rejects: list[Reject] = []
        self._failures = 0
        self._retry_at_s = 0.0
        self._looked_s: dict[int, float] = {}  # partition -> when its end was last seen with nothing left to read
        self._next_look_s = self._next_report_s = 0.0

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set.

        Raises:
            NotOwnerError: another worker owns a partition that this one still held.
            LogError: the topic is not there, or ends before a stored position.
            StoreError: the database refused for good.
            KafkaError: the client gave up.
        """
        try:
            if not self._consumer.partitions_for_topic(self._topic):  # asked first: else the first join assigns nothing
                raise LogError(
                    f"Kafka has no topic {self._topic}", remedy="create coilflow's topics with `coilflow doctor --fix`"
                )
            self._consumer.subscribe([self._topic], listener=self._rebalances)
            while not stop.is_set():
                self._turn()
            self._finish()
            self._report_positions()
        finally:
            self._committer.close()
            self._consumer.close(autocommit=False)

    def _turn(self) -> None:
        polled = client.poll(self._consumer, timeout_ms=_POLL_MS)
        for place, records in polled.items():
            if place.partition in self._owned:
                self._unread.setdefault(place.partition, []).extend(self._decoded(records))
        try:
            self._finish()
            self._follow_rebalances()
            if time.monotonic() < self._retry_at_s:
                return
            self._work()
        except (StoreUnavailableError, BundleError) as error:
            self._hold(error)
            return
        if self._failures:
            log.info("going on", after_failures=self._failures)
            self._failures = 0
            self._consumer.resume(*self._assigned())
        self._look_at_the_end()
        if time.monotonic() >= self._next_report_s:
            self._report_positions()

    def _work(self) -> None:
        if self._to_claim:
            self._claim()
        if self._unread:
            self._read()
        while self._committer.start(self._database.connection(), self._owned, self._rejects):
            self._finish()

    def _finish(self) -> None:
        self._committer.finish(self._database.connection, self._owned, self._rejects)

    def _follow_rebalances(self) -> None:
        for change in self._rebalances.take():
            log.info("partitions " + change.kind, partitions=change.partitions)
            for number in change.partitions:
                self._owned.pop(number, None)
                self._unread.pop(number, None)
                self._looked_s.pop(number, None)
                self._to_claim.discard(number)
                metrics.forget_partition(self._topic, number)
            self._rejects = [r for r in self._rejects if r.log and r.log.partition not in change.partitions]
            if change.kind == "came":
                self._to_claim.update(change.partitions)

    def _claim(self) -> None:
        numbers = sorted(self._to_claim)
        owned, lost = take_over(
            self._database.connection(), self._consumer, self._topic, numbers, owner=self._owner, decode=self._decode
        )
        self._owned |= owned
        self._rejects += lost
        self._to_claim.clear()
        self._consumer.resume(*self._places(numbers))
        log.info(
            "partitions claimed",
            **{
                str(n): {"from_offset": o.log.next_offset, "epoch": o.epoch, "parked": len(o.log.open)}
                for n, o in owned.items()
            },
        )

    def _decoded(self, records: Sequence[object]) -> list[LogMessage]:
        decode = self._decode
        return [
            LogMessage(r.offset, r.timestamp, r.key, (r.value, r.headers), decode(r.value, r.headers))  # type: ignore[attr-defined]
            for r in records
        ]

    def _read(self) -> None:
        strangers = {key for n, messages in self._unread.items() for key in self._owned[n].log.strangers(messages)}
        connection, keys = self._database.connection(), list(strangers)
        decided = decided_coils(connection, keys) if keys else {}
        refused = refused_coils(connection, keys) if keys else frozenset()
        while self._unread:
            number, messages = self._unread.popitem()
            part = self._owned[number].log
            before = part.tally.applied, part.tally.duplicate, part.tally.dead
            self._rejects += part.read(messages, decided, refused)
            self._count(part.tally.applied - before[0], part.tally.duplicate - before[1], part.tally.dead - before[2])
            part.forget_settled()
            self._looked_s.pop(number, None)

    def _hold(self, error: StoreUnavailableError | BundleError) -> None:
        """Read nothing more until database and models work again, but poll on, so that the group keeps this worker."""
        self._failures += 1
        wait_s = backoff_s(self._failures, jitter=random.random())  # noqa: S311 - not a secret
        self._retry_at_s = time.monotonic() + wait_s
        self._consumer.pause(*self._assigned())
        self._database.close()
        metrics.COMMIT_FAILURES.labels("models" if isinstance(error, BundleError) else "database").inc()
        log.warning("waiting", error=str(error), remedy=error.remedy, again_in_s=round(wait_s, 1))

    def _look_at_the_end(self) -> None:
        """Let time pass for open coils of partitions read to their end, while the broker says that they are."""
        now_s = time.monotonic()
        if now_s < self._next_look_s:
            return
        self._next_look_s = now_s + _LOOK_EVERY_S
        places = self._places(self._owned)
        try:
            ends = self._consumer.end_offsets(places, timeout_ms=_LOOK_TIMEOUT_MS) if places else {}
        except KafkaError as error:
            metrics.COMMIT_FAILURES.labels("broker").inc()
            log.warning("broker is away", error=repr(error))
            self._looked_s.clear()
            return
        for place, end in ends.items():
            number, part = place.partition, self._owned[place.partition]
            lag = max(0, end - self._consumer.position(place))
            if lag == 0:
                elapsed_s = now_s - self._looked_s.get(number, now_s)
                if elapsed_s <= _LONGEST_LOOK_S:
                    part.log.clock.idle(round(1000 * elapsed_s))
                self._looked_s[number] = now_s
            else:
                self._looked_s.pop(number, None)
            self._show(part, lag)

    def _show(self, part: Owned, lag: int) -> None:
        labels = (self._topic, str(part.log.partition))
        metrics.LAG_MESSAGES.labels(*labels).set(lag)
        metrics.OPEN_COILS.labels(*labels).set(len(part.log.open))
        metrics.HELD_BACK_MESSAGES.labels(*labels).set(part.log.next_offset - part.committed)
        metrics.UNACCOUNTED_MESSAGES.labels(*labels).set(part.log.tally.unaccounted_messages)
        metrics.UNACCOUNTED_COILS.labels(*labels).set(part.log.unaccounted_coils)

    def _count(self, applied: int, duplicate: int, dead: int) -> None:
        CONSUMED_MESSAGES.labels("kafka", self._topic).inc(applied + duplicate + dead)
        for fate, number in (("applied", applied), ("duplicate", duplicate), ("dead", dead)):
            metrics.MESSAGES.labels(self._topic, fate).inc(number)

    def _report_positions(self) -> None:
        self._next_report_s = time.monotonic() + _REPORT_EVERY_S
        if self._owned:
            self._consumer.commit_async(
                {
                    TopicPartition(self._topic, number): OffsetAndMetadata(part.log.next_offset, "", -1)
                    for number, part in self._owned.items()
                }
            )

    def _assigned(self) -> list[TopicPartition]:
        """Partitions that are owned and were not taken away in the meantime."""
        given = self._consumer.assignment()
        return [place for place in self._places(self._owned) if place in given]

    def _places(self, numbers: Mapping[int, Owned] | Sequence[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, number) for number in numbers]
