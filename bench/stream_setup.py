"""What the benches of the streams run on: a broker and a database of their own on this machine, topics, events."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import psutil

from flows.kafka.client import admin
from flows.kafka.local_broker import LocalBroker, local_broker
from flows.kafka.produce import Message, binary_message
from flows.kafka.topics import create_topics
from models.ensemble import SHIPPED, write_ensemble
from plant.events import event_lines
from plant.line import simulate
from plant.settings import GaugeSettings, LineSettings
from schemas.bundles import EnsembleManifest
from schemas.settings import Settings
from schemas.stream_settings import KafkaSettings
from store.connection import connect
from store.databases import create_database, drop_database
from store.embedded import embedded_postgres, server_folder
from store.migrations import migrate

# Rows that never came make a coil wait ten seconds by rule, which is not what is measured.
LINE = LineSettings(gauge=GaugeSettings(missing_share=0.0))
COILS_AT_ONCE = 8  # whose events lie between each other's in the topic
THREE = ("yolov8n-cls", "cnn10", "cnn1d")  # the shipped members on scale `limits`
_STOP_S = 30.0
_SAY_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Servers:
    """A broker and a database server, alone on the machine with what is measured."""

    folder: Path  # for everything that is written
    broker: LocalBroker
    dsn: str
    server: str  # version and settings of PostgreSQL

    def cpu_s(self) -> dict[str, float]:
        """Processor seconds so far of broker and database."""
        postmaster = int((server_folder(self.folder) / "postmaster.pid").read_text().split()[0])
        return {"broker": cpu_s(self.broker.pid), "database": cpu_s(postmaster)}


@contextmanager
def servers() -> Iterator[Servers]:
    """Start both in a temporary folder; the database keeps the time of each commit, and syncs it to disk."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing is left running
        with embedded_postgres(folder) as dsn, connect(dsn) as connection:
            connection.execute("alter system set track_commit_timestamp = on")  # taken up by the next start
        with local_broker(folder / "kafka") as broker, embedded_postgres(folder) as dsn:
            yield Servers(folder=folder, broker=broker, dsn=dsn, server=_server(dsn))


def _server(dsn: str) -> str:
    names = ["fsync", "synchronous_commit", "full_page_writes", "track_commit_timestamp"]
    with connect(dsn) as connection:
        shown = connection.execute("select name, setting from pg_settings where name = any(%s)", (names,)).fetchall()
        assert [row["setting"] for row in shown] == ["on"] * len(names), f"not a durable database: {shown}"
        version = connection.info.parameter_status("server_version")
    return f"PostgreSQL {version}, {', '.join(names)} on"


def fresh_topics(here: Servers, *, partitions: int) -> KafkaSettings:
    """Topics and a group with names of their own."""
    prefix = f"b-{uuid.uuid4().hex[:8]}"
    kafka = KafkaSettings(
        bootstrap_servers=here.broker.bootstrap_servers,
        group_id=prefix,
        chunks_topic=f"{prefix}.coil.chunks",
        verdicts_topic=f"{prefix}.coil.verdicts",
        feedback_topic=f"{prefix}.operator.feedback",
        models_topic=f"{prefix}.model.events",
        partitions=partitions,
    )
    with admin(kafka) as client:
        create_topics(client, kafka)
    return kafka


@contextmanager
def fresh_database(here: Servers) -> Iterator[str]:
    """A migrated database, dropped afterwards."""
    name = f"b{uuid.uuid4().hex[:8]}"
    dsn = create_database(here.dsn, name)
    try:
        migrate(dsn)
        yield dsn
    finally:
        drop_database(here.dsn, name)


def simulated_coils(coils: int, *, seed: int = 1) -> Iterator[list[bytes]]:
    """Each coil's events, in structured JSON."""
    for block in simulate(coils, seed=seed, line=LINE):
        events: dict[str, list[bytes]] = {}
        for coil_id, line in event_lines(block):
            events.setdefault(coil_id, []).append(line)
        yield from events.values()


def interleaved(coils: Iterable[Sequence[bytes]], at_once: int = COILS_AT_ONCE) -> Iterator[bytes]:
    """Events of as many lines in turn, each with a coil of its own."""
    waiting = iter(coils)
    running = deque(iter(coil) for coil in islice(waiting, at_once))
    while running:
        coil = running.popleft()
        event = next(coil, None)
        if event is not None:
            yield event
            running.append(coil)
        elif (other := next(waiting, None)) is not None:
            running.append(iter(other))


def message_bytes(lines: Sequence[bytes]) -> tuple[float, float]:
    """Mean bytes of value and of headers of these events as messages."""
    messages: list[Message] = [binary_message(line) for line in lines]
    values = sum(len(value) for _, value, _ in messages)
    headers = sum(len(name) + len(given) for _, _, all_of in messages for name, given in all_of)
    return values / len(messages), headers / len(messages)


def three_members(folder: Path) -> Path:
    """An ensemble of the three shipped members on scale `limits`, with the shipped threshold."""
    shipped = EnsembleManifest.model_validate_json((SHIPPED / "ensemble.json").read_bytes())
    write_ensemble(
        folder,
        name="three",
        version="bench",
        members=[SHIPPED / name for name in THREE],
        thresholds={"limits": shipped.thresholds["limits"]},
        limits=shipped.limits,
    )
    return folder


def environment(settings: Settings) -> dict[str, str]:
    """Settings as a service reads them from its environment; everything else of ours in it is left out."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COILFLOW_")}
    given: Mapping[str, object] = settings.model_dump(mode="json", exclude_unset=True)
    return kept | {
        f"COILFLOW_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in given.items()
        if value is not None
    }


@dataclass(slots=True)
class Service:
    """One process under measurement; what it logs goes to a file."""

    command: tuple[str, ...]
    settings: Settings
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Start it, or start it again."""
        with self.log.open("ab") as errors:
            self.process = subprocess.Popen(
                self.command, env=environment(self.settings), stdout=subprocess.PIPE, stderr=errors, bufsize=0
            )

    def said(self) -> dict[str, float]:
        """The next line that it prints, JSON."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], _SAY_S)
        line = self.process.stdout.readline() if ready else b""
        if not line:
            raise AssertionError(f"{' '.join(self.command)} says nothing: {self._last()}")
        return dict(json.loads(line))

    def kill(self) -> None:
        """Kill it, as the kernel does when memory runs out."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Stop it as an operator does."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.communicate(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def check(self) -> None:
        """Raise AssertionError where it has ended by itself."""
        assert self.process.poll() is None, f"{' '.join(self.command)} ended: {self._last()}"

    def _last(self) -> str:
        return " | ".join(self.log.read_text(errors="replace").splitlines()[-15:])


def worker_command(*, instance_id: str | None = None) -> tuple[str, ...]:
    """The shipped command."""
    command = (str(Path(sys.executable).with_name("coilflow")), "worker", "assess")
    return command if instance_id is None else (*command, "--instance-id", instance_id)


def wait_for(
    what: Callable[[], bool], *, services: Sequence[Service] = (), limit_s: float, every_s: float = 0.2
) -> None:
    """Wait until it is so; AssertionError where a service ends before, or after so many seconds."""
    deadline = time.monotonic() + limit_s
    while not what():
        for service in services:
            service.check()
        assert time.monotonic() < deadline, f"not done after {limit_s:.0f} s"
        time.sleep(every_s)


def cpu_s(pid: int) -> float:
    """Processor seconds of a process and its children, those that ended too."""
    total = 0.0
    process = psutil.Process(pid)
    for one in [process, *process.children(recursive=True)]:
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total
