"""A real Kafka for tests: `COILFLOW_TEST_KAFKA` where set, else a local broker; fresh topics and a group a test."""

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from flows.kafka.client import admin
from flows.kafka.local_broker import LocalBroker, local_broker
from flows.kafka.topics import create_topics
from schemas.errors import BrokerError
from schemas.stream_settings import KafkaSettings

VARIABLE = "COILFLOW_TEST_KAFKA"

KafkaTopics = Callable[..., KafkaSettings]


def pytest_report_header() -> str:
    """Say which Kafka the tests run on."""
    return f"kafka: {os.environ.get(VARIABLE) or f'a local broker ({VARIABLE} is not set)'}"


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[str]:
    """Bootstrap servers of a broker on which topics may be made; without one, the test is skipped."""
    given = os.environ.get(VARIABLE)
    if given is not None:
        yield given
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coilflow-test-kafka-")))
        yield _started(stack, folder).bootstrap_servers


@pytest.fixture
def kafka_topics(kafka_server: str) -> KafkaTopics:
    """Make fresh topics and a group with names of their own; `kafka_topics(partitions=3, ...)` are `KafkaSettings`.

    Nothing is removed afterwards: names never meet.
    """
    return lambda **settings: fresh_topics(kafka_server, **settings)


@pytest.fixture
def private_broker(tmp_path: Path) -> Iterator[LocalBroker]:
    """A broker for one test alone, which may kill and restart it; `fresh_topics` makes topics on it."""
    with ExitStack() as stack:
        yield _started(stack, tmp_path / "kafka")


def fresh_topics(bootstrap_servers: str, **settings: Any) -> KafkaSettings:
    """Settings of topics and a group with names of their own, made as `coilflow doctor --fix` makes them."""
    prefix = f"t-{uuid.uuid4().hex[:10]}"
    kafka = KafkaSettings(
        **{
            "bootstrap_servers": bootstrap_servers,
            "group_id": f"{prefix}.coilflow",
            "chunks_topic": f"{prefix}.coil.chunks",
            "verdicts_topic": f"{prefix}.coil.verdicts",
            "feedback_topic": f"{prefix}.operator.feedback",
            "models_topic": f"{prefix}.model.events",
            "partitions": 3,
            **settings,
        }
    )
    with admin(kafka) as client:
        create_topics(client, kafka)
    return kafka


def _started(stack: ExitStack, folder: Path) -> LocalBroker:
    try:
        return stack.enter_context(local_broker(folder))
    except BrokerError as error:
        pytest.skip(f"{error}; {error.remedy}")
