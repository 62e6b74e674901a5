"""To Kafka: events in CloudEvents' binary mode, dead letters with their own bytes and the headers of KIP-1034."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import orjson
from kafka import KafkaProducer
from kafka.errors import InvalidRecordError, KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from flows.kafka.client import broker_errors, producer
from flows.kafka.produce import binary_headers
from flows.outbox.outcomes import SENT, Outcome, Publish, failed, refused
from schemas.errors import BrokerError
from schemas.stream_settings import KafkaSettings
from store.outbox import DeadLetterToSend, OutboxRow

_CLOSE_S = 5.0
_THE_RECORD = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidRecordError)  # no retry makes it smaller
EVENT_ID_HEADER = "coilflow.event.id"  # of a dead letter: its other headers are the original's and KIP-1034's

Message = tuple[bytes | None, bytes, list[tuple[str, bytes]]]  # key, value, headers


@contextmanager
def kafka_publisher(topic: str, kafka: KafkaSettings) -> Iterator[Publish]:
    """Publish to a topic; raises BrokerError where no broker answers or the topic is not there."""
    sender = _Sender(topic, kafka)
    try:
        sender.connected()
        yield partial(_publish, sender)
    finally:
        sender.close()


def kafka_message(row: OutboxRow) -> Message:
    """Key, value and headers of a row.

    An event goes in binary mode (Kafka protocol binding of CloudEvents 1.0.2, section 3.2): attributes as `ce_*`
    headers, `content-type`, its data as the value. A dead letter keeps key, value and headers, byte for byte; after
    them come the headers of KIP-1034, and `coilflow.event.id` by which a repeat is recognised.
    """
    if row.dead_letter is not None:
        letter = row.dead_letter
        own = [*error_headers(letter), (EVENT_ID_HEADER, str(row.event_id).encode())]
        return letter.key, letter.original, [*letter.headers, *own]
    event = row.event or {}
    more = [(name, str(value).encode()) for name, value in row.headers.items()]
    return row.key.encode(), orjson.dumps(event.get("data")), [*binary_headers(event), *more]


def error_headers(letter: DeadLetterToSend) -> list[tuple[str, bytes]]:
    """What was wrong, under the names of Kafka Streams' dead letters (KIP-1034).

    A reject is a value and no exception: `exception` names the step, and `stacktrace` holds the remedy. Topic,
    partition and offset are left out where the input did not come from Kafka.
    """
    said: dict[str, Any] = {
        "exception": f"coilflow.{letter.step}",
        "message": letter.error,
        "stacktrace": letter.remedy,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
    }
    return [(f"__streams.errors.{name}", str(value).encode()) for name, value in said.items() if value is not None]


class _Sender:
    """A producer, and a new one once a broker refused a message: an idempotent one sends nothing after that.

    Args:
        topic: to send to.
        kafka: settings of the brokers.
    """

    def __init__(self, topic: str, kafka: KafkaSettings) -> None:
        self._topic = topic
        self._kafka = kafka
        self._producer: KafkaProducer | None = None

    def connected(self) -> KafkaProducer:
        """The producer, made where there is none; raises BrokerError."""
        if self._producer is None:
            self._producer = producer(self._kafka)
            with broker_errors(self._kafka):
                self._producer.partitions_for(self._topic)
        return self._producer

    def close(self) -> None:
        """Disconnect."""
        if self._producer is not None:
            self._producer.close(timeout=_CLOSE_S)
            self._producer = None

    def send(self, rows: Sequence[OutboxRow]) -> list[Outcome]:
        """Send rows and wait for the acknowledgements; raises BrokerError."""
        connected = self.connected()
        outcomes: dict[int, Outcome] = {}
        arriving = {}
        for row in rows:
            key, value, headers = kafka_message(row)
            try:
                arriving[row.outbox_id] = connected.send(self._topic, key=key, value=value, headers=headers)
            except KafkaError as error:
                outcomes[row.outbox_id] = _outcome(error)
        connected.flush()  # within the delivery timeout every message has arrived or failed
        for outbox_id, future in arriving.items():
            try:
                future.get()
            except KafkaError as error:
                outcomes[outbox_id] = _outcome(error)
            else:
                outcomes[outbox_id] = SENT
        if any(outcome.kind == "refused" for outcome in outcomes.values()):
            self.close()
        return [outcomes[row.outbox_id] for row in rows]


def _publish(sender: _Sender, rows: Sequence[OutboxRow]) -> Sequence[Outcome]:
    outcomes: list[Outcome] = []
    try:
        together = sender.send(rows)
        for row, outcome in zip(rows, together, strict=True):
            # One message that is too large takes others with it: alone, each shows whether it was the one.
            alone = outcome.kind == "refused" and len(rows) > 1
            outcomes.append(sender.send([row])[0] if alone else outcome)
    except BrokerError as error:
        outcomes += [failed(str(error))] * (len(rows) - len(outcomes))
    return outcomes


def _outcome(error: KafkaError) -> Outcome:
    said = f"{type(error).__name__}: {error}"
    return refused(said) if isinstance(error, _THE_RECORD) else failed(said)
