"""Kafka clients from settings: the one place that knows their addresses, passwords, certificates and sizes."""

import logging
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    AuthorizationError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    RequestTimedOutError,
    SaslAuthenticationFailedError,
)
from kafka.net.compat import KafkaNetClient
from kafka.structs import MemberState

from schemas.errors import BrokerError
from schemas.stream_settings import KafkaSettings

LARGEST_REQUEST_BYTES = 104_857_600  # what brokers take by default (socket.request.max.bytes)
_ANSWER_TIMEOUT_S = 10.0  # until a broker answers a first request
# A broker's answer holds as much at most, or one larger batch: memory is bounded, and a large message passes.
_FETCH_BYTES = 16 * 1024 * 1024
_FETCH_PARTITION_BYTES = 2 * 1024 * 1024
_RECORDS_PER_POLL = 5000  # about forty coils: one batch of the models and of the database
_ADDRESS = "check COILFLOW_KAFKA__BOOTSTRAP_SERVERS and COILFLOW_KAFKA__SECURITY_PROTOCOL, and that the brokers run"
_CREDENTIALS = "check COILFLOW_KAFKA__SASL_MECHANISM, COILFLOW_KAFKA__SASL_USERNAME and COILFLOW_KAFKA__SASL_PASSWORD"

_Client = TypeVar("_Client")


def consumer(
    kafka: KafkaSettings, *, instance_id: str | None, assignor: CooperativeStickyAssignor | None = None
) -> KafkaConsumer:
    """Make the consumer of a worker: in the group, by cooperative rebalances, without positions of Kafka's own.

    It has not subscribed yet. Positions are the database's: it never commits by itself, and a position that the log no
    longer holds raises `OffsetOutOfRangeError` instead of skipping to where there is something.

    Args:
        kafka: settings of the brokers.
        instance_id: name of a static member, which keeps its partitions over a restart; None: a dynamic one.
        assignor: to keep, where its `member_assignment` has to be forgotten when partitions were lost.

    Raises:
        BrokerError: no broker answers, or it refuses; or kafka-python is one that coilflow does not know.
    """
    session_ms = round(kafka.session_timeout_s * 1000)
    return _member(
        kafka,
        group_id=kafka.group_id,
        group_instance_id=instance_id,
        partition_assignment_strategy=[assignor or CooperativeStickyAssignor()],
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=session_ms // 3,  # so two may be lost
        max_poll_records=_RECORDS_PER_POLL,
        **_reading(kafka),
    )


def group_consumer(kafka: KafkaSettings, topic: str, *, instance_id: str | None) -> KafkaConsumer:
    """Make a consumer of a topic whose messages are each taken alone: its positions are Kafka's, one group a topic.

    It has not subscribed yet, and commits nothing by itself. A new group, or one whose position the log no longer
    holds, begins at the oldest message there is: what is read twice has to change nothing.

    Args:
        kafka: settings of the brokers; the group is named after theirs and the topic.
        topic: that it will read.
        instance_id: name of a static member; None: a dynamic one.

    Raises:
        BrokerError: no broker answers, or it refuses; or kafka-python is one that coilflow does not know.
    """
    session_ms = round(kafka.session_timeout_s * 1000)
    return _member(
        kafka,
        **{
            **_reading(kafka),
            "group_id": f"{kafka.group_id}.{topic}",
            "group_instance_id": instance_id,
            "auto_offset_reset": "earliest",
            "session_timeout_ms": session_ms,
            "heartbeat_interval_ms": session_ms // 3,
            "max_poll_records": _RECORDS_PER_POLL,
        },
    )


def poll(consumer: KafkaConsumer, *, timeout_ms: int) -> dict[TopicPartition, list[ConsumerRecord]]:
    """Poll as a member of a group, and let no join that outlasts one poll be forgotten.

    Where changed metadata alone asked for the join, kafka-python 3.0.12 does not come back to it: the member has given
    its partitions up and never gets any, nor does it beat, until it is started again. Java's client did so until
    KAFKA-9815, and asks for the join again since.

    Args:
        consumer: subscribed, of a group.
        timeout_ms: to wait for messages.

    Raises:
        KafkaError: the client gave up.
    """
    if consumer.group_metadata().state is MemberState.REBALANCING:
        consumer._coordinator.request_rejoin()  # there is no other way to ask
    polled: dict[TopicPartition, list[ConsumerRecord]] = consumer.poll(timeout_ms=timeout_ms)
    return polled


def reader(kafka: KafkaSettings) -> KafkaConsumer:
    """Make a consumer without a group, for partitions that the caller assigns; raises BrokerError."""
    return _open(KafkaConsumer, kafka, group_id=None, **_reading(kafka))


def producer(kafka: KafkaSettings) -> KafkaProducer:
    """Make a producer that loses and repeats nothing while it lives: idempotent, and acknowledged by all replicas.

    Its messages may be as large as a request: topics have limits of their own, which count compressed bytes.

    Raises:
        BrokerError: no broker answers, or it refuses.
    """
    return _open(
        KafkaProducer,
        kafka,
        acks="all",
        enable_idempotence=True,
        compression_type="zstd",  # the tightest, so what fitted into a topic fits into its dead-letter topic
        linger_ms=5,
        batch_size=65_536,
        max_request_size=LARGEST_REQUEST_BYTES,
        max_block_ms=round(_ANSWER_TIMEOUT_S * 1000),
        request_timeout_ms=round(_ANSWER_TIMEOUT_S * 1000),
        delivery_timeout_ms=round(2 * _ANSWER_TIMEOUT_S * 1000),  # then a message has failed, and its sender knows
    )


@contextmanager
def admin(kafka: KafkaSettings) -> Iterator[KafkaAdminClient]:
    """Yield an administrator's client while the block lasts; raises BrokerError, also for what fails in the block."""
    client = _open(KafkaAdminClient, kafka)
    try:
        with broker_errors(kafka):
            yield client
    finally:
        client.close()


@contextmanager
def broker_errors(kafka: KafkaSettings) -> Iterator[None]:
    """Raise what Kafka's client raises in the block as BrokerError, which names the brokers and the remedy."""
    try:
        yield
    except SaslAuthenticationFailedError as error:
        who = f"user {kafka.sasl_username}"
        raise BrokerError(f"Kafka at {kafka.bootstrap_servers} does not let {who} in", remedy=_CREDENTIALS) from error
    except AuthorizationError as error:
        raise BrokerError(
            f"Kafka at {kafka.bootstrap_servers} does not allow it: {type(error).__name__}",
            remedy="give this user the right to read, write and describe the topics and the group",
        ) from error
    except KafkaTimeoutError as error:
        raise BrokerError(f"Kafka at {kafka.bootstrap_servers} does not answer", remedy=_ADDRESS) from error
    except KafkaConnectionError as error:
        why = str(error).removeprefix("KafkaConnectionError: ")
        raise BrokerError(f"Kafka at {kafka.bootstrap_servers} cannot be reached: {why}", remedy=_ADDRESS) from error
    except KafkaError as error:
        raise BrokerError(f"Kafka at {kafka.bootstrap_servers}: {_sentence(error)}", remedy=_ADDRESS) from error


def _member(kafka: KafkaSettings, **settings: object) -> KafkaConsumer:
    """A consumer of a group, of which `poll` can ask what it has to: that is looked at now, not within a rebalance."""
    made = _open(KafkaConsumer, kafka, **settings)
    if not callable(getattr(getattr(made, "_coordinator", None), "request_rejoin", None)):
        made.close(autocommit=False)
        raise BrokerError(
            f"kafka-python {version('kafka-python')} cannot be asked to join a group again",
            remedy="install one that can: pip install 'kafka-python>=3.0.9,<4'",
        )
    return made


class _Reasons(logging.Handler):
    """Keeps the errors that Kafka's client only logs: why it does not get through a first contact, and tries again."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[KafkaError] = []

    def emit(self, record: logging.LogRecord) -> None:
        arguments = record.args if isinstance(record.args, tuple) else ()
        errors = (argument for argument in arguments if isinstance(argument, KafkaError))
        self.errors += [error for error in errors if not isinstance(error, KafkaTimeoutError | RequestTimedOutError)]


def _open(kind: Callable[..., _Client], kafka: KafkaSettings, **settings: object) -> _Client:
    """A client that got through; one that did not is closed, with its thread, and says why."""
    made: list[KafkaNetClient] = []

    def network(**configs: object) -> KafkaNetClient:
        made.append(KafkaNetClient(**configs))
        return made[-1]

    reasons = _Reasons()
    manager_log = logging.getLogger("kafka.net.manager")
    with broker_errors(kafka):
        manager_log.addHandler(reasons)
        try:
            return kind(**_connection(kafka), **settings, kafka_client=network)
        except KafkaError as error:
            for client in made:
                client.close()
            raise _reason(kafka, reasons.errors, error) from error
        finally:
            manager_log.removeHandler(reasons)


def _reason(kafka: KafkaSettings, told: list[KafkaError], last: KafkaError) -> KafkaError:
    """Why no broker let us in; one that refuses a user closes the connection, often before its word is read."""
    closed = kafka.security_protocol.startswith("SASL") and any("disconnected" in str(error) for error in told)
    if closed or any(isinstance(error, SaslAuthenticationFailedError) for error in told):
        return SaslAuthenticationFailedError()
    return told[-1] if told else last


def _connection(kafka: KafkaSettings) -> dict[str, Any]:
    if kafka.bootstrap_servers is None:
        raise BrokerError("no Kafka is configured", remedy="set COILFLOW_KAFKA__BOOTSTRAP_SERVERS to host:port")
    settings: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers.split(","),
        "client_id": "coilflow",
        "security_protocol": kafka.security_protocol,
        "bootstrap_timeout_ms": round(_ANSWER_TIMEOUT_S * 1000),
        "reconnect_backoff_max_ms": 1000,  # a broker that is back is found within a second
        "metadata_max_age_ms": 60_000,  # so are new partitions within a minute
    }
    if kafka.security_protocol.endswith("SSL"):
        settings["ssl_context"] = _tls(kafka)
    if kafka.sasl_mechanism and kafka.sasl_password and kafka.security_protocol.startswith("SASL"):
        settings |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": kafka.sasl_password.get_secret_value(),
        }
    return settings


def _reading(kafka: KafkaSettings) -> dict[str, Any]:
    return {
        "auto_offset_reset": "none",
        "enable_auto_commit": False,
        "isolation_level": "read_committed",  # what a producer took back was never sent
        "allow_auto_create_topics": False,
        "check_crcs": True,
        "fetch_max_bytes": _FETCH_BYTES,
        "max_partition_fetch_bytes": _FETCH_PARTITION_BYTES,
        "receive_message_max_bytes": LARGEST_REQUEST_BYTES + kafka.largest_message_bytes,
    }


def _tls(kafka: KafkaSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=kafka.ssl_cafile)
        if kafka.ssl_certfile is not None:
            context.load_cert_chain(kafka.ssl_certfile, kafka.ssl_keyfile)
    except OSError as error:  # ssl.SSLError too
        raise BrokerError(
            f"the certificates of [kafka] cannot be read ({error.strerror or error})",
            remedy="name PEM files in ssl_cafile, ssl_certfile and ssl_keyfile",
        ) from error
    return context


def _sentence(error: KafkaError) -> str:
    text = str(error)
    return text if text.startswith(type(error).__name__) else f"{type(error).__name__}: {text}"
