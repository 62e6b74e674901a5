"""The Kafka host: `run` assesses the coils of the topic until it is told to stop."""

import gc
import os
import random
import socket
import threading
import time
import uuid

import structlog
from kafka.errors import KafkaError

from flows.kafka.database import Database, backoff_s
from flows.kafka.metrics import COMMIT_FAILURES
from flows.kafka.session import Session
from flows.served import Current
from flows.tracing import Tracing
from processors.decode import Decoder
from schemas.errors import BrokerError, NotOwnerError
from schemas.settings import Settings

_STEADY_S = 60.0  # a session that lasted so long did not fail at its start
# A poll makes some ten thousand containers, which the collector's default would walk through forty times.
_GC_THRESHOLD = (200_000, 10, 10)

log = structlog.get_logger("coilflow.kafka")


def run_worker(
    settings: Settings,
    current: Current,
    decode: Decoder,
    *,
    dsn: str,
    instance_id: str | None,
    stop: threading.Event,
    tracing: Tracing | None = None,
) -> None:
    """Assess the coils of `settings.kafka.chunks_topic` until `stop` is set: one verdict a revision of a coil.

    Any number of workers may run, start, stop and die; each has partitions of its own. A worker that another was put
    in place of, because it was frozen or cut off, drops what it holds and joins the group anew.

    Args:
        settings: brokers, topic, rules of the stream, tolerance profiles, destinations.
        current: what serves, asked once a batch.
        decode: reads a message.
        dsn: of a database of this version.
        instance_id: makes this worker a static member, which gets the same partitions after a quick restart.
        stop: set to end.
        tracing: of coils; None: nobody asks.

    Raises:
        BrokerError: the brokers cannot be reached at the start.
        LogError: the topic is not there, or ends before a stored position.
        StoreError: the database cannot be reached at the start, or refused for good.
    """
    owner = instance_id or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    database = Database(dsn, application_name=f"coilflow worker {owner}"[:63])
    failures, joined, began_s = 0, False, 0.0
    gc.freeze()  # libraries and models stay; of the rest, nearly all is freed by its last reference
    gc.set_threshold(*_GC_THRESHOLD)
    try:
        database.connection()
        while not stop.is_set():
            try:
                session = Session(
                    settings, current, database, decode, owner=owner, instance_id=instance_id, tracing=tracing
                )
                joined, began_s = True, time.monotonic()
                session.run(stop)
            except NotOwnerError as error:
                log.warning("starting over", why=str(error))
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
