"""The Kafka host of feedback: `run_feedback_worker` takes operators' words in until it is told to stop."""

import os
import random
import socket
import threading
import time

import structlog
from kafka.errors import KafkaError

from flows.kafka.database import Database, backoff_s
from flows.kafka.feedback_session import FeedbackSession
from flows.kafka.metrics import COMMIT_FAILURES
from flows.tracing import Tracing
from schemas.errors import BrokerError
from schemas.settings import Settings

_STEADY_S = 60.0  # a session that lasted so long did not fail at its start

log = structlog.get_logger("coilflow.feedback")


def run_feedback_worker(
    settings: Settings,
    *,
    dsn: str,
    instance_id: str | None,
    stop: threading.Event,
    tracing: Tracing | None = None,
) -> None:
    """Take the messages of `settings.kafka.feedback_topic` in until `stop` is set, each word once.

    Any number of workers may run, start, stop and die; each has partitions of its own. Kafka is told how far they got
    after the database has it.

    Args:
        settings: brokers and topic; whether dead letters are announced.
        dsn: of a database of this version.
        instance_id: makes this worker a static member, which gets the same partitions after a quick restart.
        stop: set to end.
        tracing: of coils; None: nobody asks.

    Raises:
        BrokerError: the brokers cannot be reached at the start.
        LogError: the topic is not there.
        StoreError: the database cannot be reached at the start, or is of another version.
    """
    owner = instance_id or f"{socket.gethostname()}-{os.getpid()}"
    database = Database(dsn, application_name=f"coilflow feedback {owner}"[:63])
    failures, joined, began_s = 0, False, 0.0
    try:
        database.connection()
        while not stop.is_set():
            try:
                session = FeedbackSession(settings, database, instance_id=instance_id, tracing=tracing)
                joined, began_s = True, time.monotonic()
                session.run(stop)
            except (KafkaError, BrokerError) as error:
                if not joined:
                    raise
                failures = 1 if time.monotonic() - began_s > _STEADY_S else failures + 1
                wait_s = backoff_s(failures, jitter=random.random())  # noqa: S311 - not a secret
                COMMIT_FAILURES.labels("broker").inc()
                log.warning("starting over", why=str(error), again_in_s=round(wait_s, 1))
                stop.wait(wait_s)
    finally:
        database.close()
