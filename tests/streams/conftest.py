"""One oracle, one launcher and one producer for all tests of the streams; topics and a database for each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from flows.kafka.client import producer
from schemas.settings import Settings
from schemas.stream_settings import KafkaSettings
from tests.fix_kafka import KafkaTopics
from tests.streams.stand import QUICK, Answers, Stream, StreamMaker

SESSION_TIMEOUT_S = 1.5


@pytest.fixture(scope="session")
def oracle() -> Iterator[Answers]:
    """The oracle, in a process of its own."""
    process = Answers("tests.streams.oracle")
    yield process
    process.end()


@pytest.fixture(scope="session")
def launcher() -> Iterator[Answers]:
    """Starts worker processes."""
    process = Answers("tests.streams.launch")
    yield process
    process.end()


@pytest.fixture(scope="session")
def sender(kafka_server: str) -> Iterator[KafkaProducer]:
    """A line's producer."""
    made = producer(KafkaSettings(bootstrap_servers=kafka_server))
    yield made
    made.close()


@pytest.fixture
def stream(
    kafka_topics: KafkaTopics,
    database: str,
    sender: KafkaProducer,
    oracle: Answers,
    launcher: Answers,
    tmp_path: Path,
) -> StreamMaker:
    """Make a stream; `stream(partitions=2, stream=…)`: kafka's settings by name, the others as they are."""

    def make(*, kafka: KafkaSettings | None = None, partitions: int = 2, **settings: Any) -> Stream:
        topics = kafka or kafka_topics(partitions=partitions, session_timeout_s=SESSION_TIMEOUT_S)
        given = Settings(
            **{
                "data_dir": tmp_path,
                "kafka": topics,
                "stream": QUICK,
                "destinations": (f"kafka:{topics.verdicts_topic}",),
                "threads": 1,
                **settings,
            }
        )
        return Stream(settings=given, dsn=database, sender=sender, oracle=oracle, launcher=launcher, folder=tmp_path)

    return make
