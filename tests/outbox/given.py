"""Coils to announce, a destination in memory, and relays that run while a block lasts."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from flows.outbox.outcomes import SENT, Outcome, Publish, failed, refused
from flows.outbox.pace import Pace
from flows.outbox.relay import Relay
from schemas.errors import BrokerError
from store.connection import Connection
from store.outbox import OutboxRow
from store.verdicts import record_verdicts
from tests.store.given import NOON, decided

MEMORY = "kafka:coil.verdicts"
HASTY = Pace(beat_s=0.05, look_s=0.05, count_s=0.05, first_retry_s=0.02, longest_retry_s=0.1, most_attempts=3)
PATIENCE_S = 30.0


def eventually(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; fails after a time that no working relay needs."""
    pause, deadline_s = threading.Event(), time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it never came true"
        pause.wait(0.01)


def announce(connection: Connection, *coil_ids: str, to: Sequence[str] = (MEMORY,), revision: str = "r1") -> None:
    """Record a verdict a coil, with an outbox row a destination."""
    batch = [decided(coil_id, revision=revision) for coil_id in coil_ids]
    record_verdicts(connection, batch, decided_at=NOON, destinations=to)


def unpublished(connection: Connection) -> int:
    """Rows that wait or were set aside."""
    row = connection.execute("select count(*) as n from coilflow.outbox where published_at is null").fetchone()
    assert row is not None
    return int(row["n"])


@dataclass(kw_only=True)
class Memory:
    """A destination in memory, that can be down and can refuse coils."""

    got: list[OutboxRow] = field(default_factory=list)
    down: bool = False
    refuses: set[str] = field(default_factory=set)  # coil ids, or coil id/revision

    def publish(self, rows: Sequence[OutboxRow]) -> Sequence[Outcome]:
        """Take rows, as the function that a destination is."""
        return [self._one(row) for row in rows]

    def _one(self, row: OutboxRow) -> Outcome:
        if self.down:
            return failed("it is down")
        if self.would_refuse(row):
            return refused("422 no")
        self.got.append(row)
        return SENT

    def would_refuse(self, row: OutboxRow) -> bool:
        """Whether it would take this row."""
        data = {} if row.event is None else row.event["data"]
        return bool(self.refuses & {data.get("coil_id"), f"{data.get('coil_id')}/{data.get('revision')}"})

    @contextmanager
    def opened(self, _destination: str) -> Iterator[Publish]:
        """Be connected to, as any destination."""
        if self.down:
            raise BrokerError("it is down", remedy="start it")
        yield self.publish

    @property
    def coils(self) -> list[str]:
        """Coil ids in the order in which they came."""
        return [row.key.partition("/")[2] for row in list(self.got)]

    def revisions(self, coil_id: str) -> list[str]:
        """Revisions of a coil in the order in which they first came."""
        came = [row.event["data"] for row in list(self.got) if row.event is not None]
        return list(dict.fromkeys(data["revision"] for data in came if data["coil_id"] == coil_id))


@contextmanager
def running(relay: Relay) -> Iterator[None]:
    """Run a relay in a thread while the block lasts; what it raises is raised here."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        done: Future[None] = threads.submit(relay.run, stop)
        try:
            yield
        finally:
            stop.set()
            done.result()


@contextmanager
def relaying(dsn: str, memory: Memory, *, pace: Pace = HASTY) -> Iterator[None]:
    """Run a relay to a destination in memory while the block lasts."""
    with running(Relay(dsn, destinations=frozenset({MEMORY}), open_publisher=memory.opened, pace=pace)):
        yield
