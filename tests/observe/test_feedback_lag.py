"""How far a feedback worker is behind: what it has not read, and what it holds while the database is away."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from kafka import KafkaProducer
from prometheus_client import REGISTRY

from flows.kafka import feedback_session
from flows.kafka.client import producer
from flows.kafka.feedback_worker import run_feedback_worker
from flows.kafka.local_broker import LocalBroker
from flows.kafka.produce import binary_message
from schemas.errors import StoreUnavailableError
from schemas.settings import Settings
from schemas.stream_settings import KafkaSettings
from store.connection import connect
from tests.fix_kafka import KafkaTopics, fresh_topics
from tests.streams.lines import event
from tests.waiting import wait_until


@contextmanager
def working(kafka: KafkaSettings, dsn: str) -> Iterator[None]:
    """A feedback worker while the block lasts."""
    stop, settings = threading.Event(), Settings(kafka=kafka)
    thread = threading.Thread(
        target=run_feedback_worker, args=(settings,), kwargs={"dsn": dsn, "instance_id": None, "stop": stop}
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def send(kafka: KafkaSettings, words: int) -> None:
    """Send so many words."""
    sender: KafkaProducer = producer(kafka)
    for number in range(words):
        said = {"label": "OK", "operator": "anna", "given_at": datetime.now(UTC).isoformat()}
        key, value, headers = binary_message(event("operator.feedback", str(number), number, **said))
        sender.send(kafka.feedback_topic, key=key, value=value, headers=headers)
    sender.flush()
    sender.close()


def lag(kafka: KafkaSettings) -> float | None:
    """Of the one partition; None where nobody shows it."""
    return REGISTRY.get_sample_value("coilflow_lag_messages", {"topic": kafka.feedback_topic, "partition": "0"})


def test_what_is_held_while_the_database_is_away_is_lag_until_it_is_stored(
    kafka_topics: KafkaTopics, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka, away, store = kafka_topics(partitions=1), threading.Event(), feedback_session._stored

    def stored(*args: Any, **kwargs: Any) -> Any:
        if away.is_set():
            raise StoreUnavailableError("it is away", remedy="wait")
        return store(*args, **kwargs)

    monkeypatch.setattr(feedback_session, "_stored", stored)
    monkeypatch.setattr(feedback_session, "_LOOK_EVERY_S", 0.1)
    away.set()
    with working(kafka, database):
        wait_until(lambda: lag(kafka) == 0)
        send(kafka, 5)
        wait_until(lambda: lag(kafka) == 5)
        away.clear()
        wait_until(lambda: lag(kafka) == 0)
    assert lag(kafka) is None, "another worker may have the partition now"


def test_a_broker_that_is_away_is_counted_as_what_is_tried_again(
    private_broker: LocalBroker, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lag that a worker shows is as old as the broker's last answer: without this count nobody would know."""
    monkeypatch.setattr(feedback_session, "_LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(feedback_session, "_LOOK_TIMEOUT_MS", 200)

    def failures() -> float:
        return REGISTRY.get_sample_value("coilflow_commit_failures_total", {"why": "broker"}) or 0.0

    kafka = fresh_topics(private_broker.bootstrap_servers, partitions=1)
    with working(kafka, database):
        wait_until(lambda: lag(kafka) == 0)
        before = failures()
        os.kill(private_broker.pid, signal.SIGSTOP)
        try:
            wait_until(lambda: failures() >= before + 3)
        finally:
            os.kill(private_broker.pid, signal.SIGCONT)
        send(kafka, 1)
        wait_until(lambda: stored(database) == 1)


def stored(dsn: str) -> int:
    """How many words the database has."""
    with connect(dsn) as connection:
        [row] = connection.execute("select count(*) as words from coilflow.feedback").fetchall()
    return int(row["words"])
