"""The demonstration through a real broker: a simulated line sends, a worker judges, a relay announces."""

import json
import os
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import orjson
from kafka import TopicPartition

from flows.demo import LINE
from flows.kafka.client import admin, broker_errors, producer, reader
from flows.kafka.local_broker import local_broker
from flows.kafka.produce import produce_events
from flows.kafka.topics import create_topics
from plant.events import event_lines
from plant.line import simulate
from schemas.coils import CoilKey, Truth
from schemas.errors import CoilflowError
from schemas.settings import Settings
from schemas.stream_settings import KafkaSettings
from store.coils import Counts, counts, missing_coils
from store.connection import connect
from store.migrations import migrate

_SILENCE_S = 120.0  # without a coil decided or announced, the demonstration is given up
_LOOK_S = 0.1
_STOP_S = 15.0
_SETTLE_S = 2.0  # instead of ten: here nothing comes late


@dataclass(frozen=True, kw_only=True, slots=True)
class _Service:
    name: str  # "worker assess"
    process: subprocess.Popen[bytes]
    log: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class KafkaShift:
    """What a demonstration through Kafka showed."""

    counts: Counts
    lost: int  # coils of the simulator that the database knows neither a verdict nor a dead letter of
    announced: int  # coils with a verdict on the topic of verdicts
    agreed: int  # verdicts on that topic that say what the simulated expert said
    events: int
    send_s: float  # simulating and sending
    decide_s: float  # from the first event sent to the last coil decided
    brokers: str


def run_kafka_shift(
    coils: int,
    *,
    seed: int,
    dsn: str,
    settings: Settings,
    command: Sequence[str],
    on_coils: Callable[[int], None],
) -> KafkaShift:
    """Send a simulated shift to fresh topics, have it judged and announced by processes, and count what came out.

    Args:
        coils: how many coils the shift has.
        seed: of the simulation.
        dsn: an empty database.
        settings: its brokers are used where it names some, else a local one is started.
        command: that runs `coilflow` here.
        on_coils: told how many more coils were sent or decided.

    Raises:
        BrokerError: there is no broker, and none can be started.
        CoilflowError: the worker or the relay ended early, or nothing happens any more.
    """
    migrate(dsn)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coilflow-demo-")))
        servers = settings.kafka.bootstrap_servers
        if servers is None:
            servers = stack.enter_context(local_broker(folder / "kafka")).bootstrap_servers
        kafka = _fresh_topics(settings.kafka, servers)
        services = tuple(
            stack.enter_context(_service([*command, *arguments], _environment(kafka, dsn), folder))
            for arguments in (("worker", "assess"), ("bridge", "outbox"))
        )
        begun = time.perf_counter()
        made: dict[CoilKey, Truth | None] = {}
        events = _send(kafka, coils, seed, made, on_coils)
        sent = time.perf_counter()
        with connect(dsn) as connection:
            look = partial(counts, connection)
            _wait(look, services, lambda now: now.coils >= coils and not now.open, on_coils)
            decided = time.perf_counter()
            stored = _wait(look, services, lambda now: not now.unpublished, None)
            lost = missing_coils(connection, list(made))
        labels = _announced(kafka)
    return KafkaShift(
        counts=stored,
        lost=lost,
        announced=len(labels),
        agreed=sum(made.get(key) == label for key, label in labels.items()),
        events=events,
        send_s=sent - begun,
        decide_s=decided - begun,
        brokers=servers,
    )


def _fresh_topics(kafka: KafkaSettings, servers: str) -> KafkaSettings:
    prefix = f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"
    names = {
        name: f"{prefix}.{getattr(kafka, name)}"
        for name in ("group_id", "chunks_topic", "verdicts_topic", "feedback_topic", "models_topic")
    }
    fresh = kafka.model_copy(update={"bootstrap_servers": servers, **names})
    with admin(fresh) as brokers:
        create_topics(brokers, fresh)
    return fresh


def _environment(kafka: KafkaSettings, dsn: str) -> dict[str, str]:
    """Of a service: what it should not take from this machine's settings."""
    ours = {
        "DATABASE_DSN": dsn,
        "MODE": "announce",
        "DESTINATIONS": json.dumps([f"kafka:{kafka.verdicts_topic}"]),
        "STREAM__SETTLE_S": str(_SETTLE_S),
        **{
            f"KAFKA__{name.upper()}": str(getattr(kafka, name))
            for name in (
                "bootstrap_servers",
                "group_id",
                "chunks_topic",
                "verdicts_topic",
                "feedback_topic",
                "models_topic",
            )
        },
    }
    kept = {name: value for name, value in os.environ.items() if name.upper() != "COILFLOW_METRICS_PORT"}  # two want it
    return kept | {f"COILFLOW_{name}": value for name, value in ours.items()}


@contextmanager
def _service(command: Sequence[str], environment: dict[str, str], folder: Path) -> Iterator[_Service]:
    """A process of coilflow while the block lasts."""
    name = " ".join(command[-2:])
    log = folder / f"{name.replace(' ', '-')}.log"
    with log.open("wb") as said:
        process = subprocess.Popen(  # noqa: S603 - this very command
            command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
    try:
        yield _Service(name=name, process=process, log=log)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _send(
    kafka: KafkaSettings, coils: int, seed: int, made: dict[CoilKey, Truth | None], on_coils: Callable[[int], None]
) -> int:
    """Simulate and send; fills `made` with the coils, returns the number of events."""
    sender = producer(kafka)
    sent = 0
    try:
        with broker_errors(kafka):
            for block in simulate(coils, seed=seed, line=LINE):
                made.update((header.key, header.label) for header in block.headers)
                sent += produce_events(sender, kafka.chunks_topic, (line for _, line in event_lines(block)))
                on_coils(len(block))
    finally:
        sender.close(timeout=_STOP_S)
    return sent


def _wait(
    look: Callable[[], Counts],
    services: Sequence[_Service],
    done: Callable[[Counts], bool],
    on_coils: Callable[[int], None] | None,
) -> Counts:
    """Look until it is done; raises CoilflowError where a service ended or nothing changes any more."""
    now = look()
    settled = 0
    changed_at = time.monotonic()
    while True:
        if on_coils is not None:
            on_coils(now.coils - now.open - settled)
        settled = now.coils - now.open
        if done(now):
            return now
        for service in services:
            if service.process.poll() is not None:
                raise CoilflowError(
                    f"coilflow {service.name} ended: {_last_line(service.log)}", remedy="run `coilflow doctor`"
                )
        if time.monotonic() - changed_at > _SILENCE_S:
            raise CoilflowError(
                f"nothing was decided or announced for {_SILENCE_S:.0f} s: {now.coils} coils are known, "
                f"{now.open} of them open, and {now.unpublished} announcements wait",
                remedy="run `coilflow doctor`; a machine under load may need fewer coils",
            )
        time.sleep(_LOOK_S)
        before, now = now, look()
        if now != before:
            changed_at = time.monotonic()


def _announced(kafka: KafkaSettings) -> dict[CoilKey, str]:
    """The last verdict of each coil on the topic of verdicts."""
    consumer = reader(kafka)
    labels: dict[CoilKey, str] = {}
    try:
        with broker_errors(kafka):
            numbers = consumer.partitions_for_topic(kafka.verdicts_topic) or set()
            partitions = [TopicPartition(kafka.verdicts_topic, number) for number in sorted(numbers)]
            ends = consumer.end_offsets(partitions)
            consumer.assign(partitions)
            consumer.seek_to_beginning()
            while any(consumer.position(partition) < ends[partition] for partition in partitions):
                for records in consumer.poll(timeout_ms=1000).values():
                    for record in records:
                        if ("ce_type", b"coil.verdict") in record.headers:
                            verdict = orjson.loads(record.value)
                            key = CoilKey(plant=verdict["plant"], coil_id=verdict["coil_id"])
                            labels[key] = verdict["label"]
    finally:
        consumer.close()
    return labels


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
