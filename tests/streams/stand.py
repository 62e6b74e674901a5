"""A test's stream: topics, a database, a producer, workers in threads or processes, and the oracle."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from kafka import KafkaProducer

from flows.kafka.produce import binary_message
from flows.kafka.worker import run_worker
from flows.served import always
from processors.decode import decoder
from processors.score import Scorer
from schemas.settings import Settings
from schemas.stream_settings import StreamSettings
from store.connection import connect
from tests.flows.judging import MeanScorer
from tests.streams.launch import unaccounted
from tests.waiting import wait_until

QUICK = StreamSettings(deadline_s=600.0, settle_s=0.3)


class Answers:
    """A child process that answers each line with a line."""

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def ask(self, question: dict[str, Any]) -> Any:
        """Its answer, as JSON."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(orjson.dumps(question) + b"\n")
        self._process.stdin.flush()
        return orjson.loads(self._process.stdout.readline())

    def end(self) -> int:
        """Let it end; returns its exit status."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        code = self._process.wait()
        self._process.stdout.close()
        return code


@dataclass(kw_only=True)
class Stream:
    """What a test feeds and looks at."""

    settings: Settings
    dsn: str
    sender: KafkaProducer
    folder: Path
    oracle: Answers | None = None
    launcher: Answers | None = None
    ends: dict[int, int] = field(default_factory=dict)  # partition -> offset after the last message sent

    def send(self, lines: Iterable[bytes], *, partition: int | None = None, timestamp_ms: int | None = None) -> None:
        """Send events in structured JSON as a line's gateway does."""
        messages = []
        for line in lines:
            key, value, headers = binary_message(line)
            messages.append((key, value, headers))
        self.send_raw(messages, partition=partition, timestamp_ms=timestamp_ms)

    def send_raw(
        self,
        messages: Sequence[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]],
        *,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        """Send messages as they are and wait until the broker has them."""
        futures = [
            self.sender.send(
                self.settings.kafka.chunks_topic,
                key=key, value=value, headers=headers, partition=partition, timestamp_ms=timestamp_ms,
            )
            for key, value, headers in messages
        ]  # fmt: skip
        self.sender.flush()
        for future in futures:
            sent = future.get()
            self.ends[sent.partition] = max(self.ends.get(sent.partition, 0), sent.offset + 1)

    @contextmanager
    def worker(self, scorer: Scorer | None = None, *, instance_id: str | None = None) -> Iterator["Thread"]:
        """A worker in a thread while the block lasts; what it died of is raised."""
        worker = Thread(self, scorer or MeanScorer(), instance_id)
        try:
            yield worker
        finally:
            worker.stop()

    def process(
        self,
        *,
        instance_id: str | None = None,
        kill_at: tuple[str, int] | None = None,
        freeze_at: tuple[str, int] | None = None,
        tally: Path | None = None,
        clock_off_s: float = 0.0,
    ) -> int:
        """Start a worker process, see `tests.streams.launch`; returns its id. `kill_running` ends it."""
        assert self.launcher is not None
        pid = self.launcher.ask(
            {
                "settings": orjson.loads(self.settings.model_dump_json(exclude_unset=True)),
                "dsn": self.dsn,
                "instance_id": instance_id,
                "log": str(self.log),
                "kill_at": kill_at,
                "freeze_at": freeze_at,
                "tally": str(tally) if tally else None,
                "clock_off_s": clock_off_s,
            }
        )
        return int(pid)

    @contextmanager
    def processes(self, number: int = 1, **order: Any) -> Iterator[list[int]]:
        """Worker processes while the block lasts; then they are killed."""
        pids = [self.process(**order) for _ in range(number)]
        try:
            yield pids
        finally:
            kill_running(pids)

    @property
    def log(self) -> Path:
        """What the processes printed."""
        return self.folder / "workers.log"

    def printed(self) -> str:
        """What the processes printed so far."""
        return self.log.read_text() if self.log.exists() else ""

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """Rows of a query, on a connection of its own."""
        with connect(self.dsn) as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def one(self, query: str, *parameters: Any) -> Any:
        """The one value of a query."""
        [row] = self.rows(query, *parameters)
        return next(iter(row.values()))

    def positions(self) -> dict[int, dict[str, Any]]:
        """Rows of the partitions."""
        rows = self.rows("select * from coilflow.positions where topic = %s", self.settings.kafka.chunks_topic)
        return {row["partition"]: row for row in rows}

    def verdicts(self, coil_id: str) -> list[dict[str, Any]]:
        """Verdicts of a coil in the order in which they were stored."""
        return self.rows("select * from coilflow.verdicts where coil_id = %s order by verdict_id", coil_id)

    def decided(self) -> int:
        """Coils with a verdict."""
        return int(self.one("select count(*) from coilflow.coils where state = 'decided'"))

    def done(self) -> bool:
        """Whether all that was sent is accounted for: read to its end, with nothing open."""
        positions = self.positions()
        return all(
            p in positions and positions[p]["next_offset"] == end for p, end in self.ends.items()
        ) and not self.one("select count(*) from coilflow.coils where state = 'open'")

    def drain(self, most_s: float = 40.0) -> None:
        """Wait until it is done."""
        wait_until(self.done, most_s)

    def findings(self, *, may_be_open: Sequence[str] = (), scorer: str = "e1") -> dict[str, Any]:
        """What the oracle's process finds; all zero where nothing is lost, doubled or wrong."""
        assert self.oracle is not None
        found: dict[str, Any] = self.oracle.ask(
            {
                "dsn": self.dsn,
                "kafka": orjson.loads(self.settings.kafka.model_dump_json(exclude_unset=True)),
                "destinations": self.settings.destinations if self.settings.mode == "announce" else (),
                "may_be_open": may_be_open,
                "scorer": scorer,
            }
        )
        return found

    def check(self, coils: int, *, may_be_open: Sequence[str] = (), scorer: str = "e1") -> None:
        """The oracle finds so many coils and no fault, and both conservation laws hold in this process."""
        assert self.findings(may_be_open=may_be_open, scorer=scorer) == {
            "coils": coils, "lost": 0, "doubled": 0, "wrong": 0, "details": [],
        }  # fmt: skip
        assert unaccounted(self.settings.kafka.chunks_topic) == {"messages": 0, "coils": 0}


class Thread:
    """A worker in a thread."""

    def __init__(self, stream: Stream, scorer: Scorer, instance_id: str | None) -> None:
        self._stop = threading.Event()
        self._failed: list[BaseException] = []

        current = always(scorer)

        def run() -> None:
            try:
                run_worker(
                    stream.settings,
                    current,
                    decoder(None),
                    dsn=stream.dsn,
                    instance_id=instance_id,
                    stop=self._stop,
                )
            except BaseException as error:  # noqa: BLE001 - raised by whoever stops it
                self._failed.append(error)

        self._thread = threading.Thread(target=run, name="worker")
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it works."""
        return self._thread.is_alive()

    def wait(self, most_s: float = 20.0) -> BaseException | None:
        """Wait until it ended by itself; returns what it died of."""
        self._thread.join(most_s)
        assert not self.alive
        return self._failed.pop() if self._failed else None

    def stop(self) -> None:
        """Stop it; raises what it died of."""
        self._stop.set()
        self._thread.join()
        if self._failed:
            raise self._failed.pop()


def running(pid: int) -> bool:
    """Whether a process of the launcher is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def kill_running(pids: Iterable[int], number: signal.Signals = signal.SIGKILL) -> None:
    """End processes of the launcher, and wait until they are gone."""
    left = [pid for pid in pids if running(pid)]
    for pid in left:
        for one in (number, signal.SIGCONT):
            try:
                os.kill(pid, one)
            except ProcessLookupError:
                break
    wait_until(lambda: not any(map(running, left)))


StreamMaker = Callable[..., Stream]
