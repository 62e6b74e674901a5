"""Chunk events onto a topic, as a line's gateway would send them: CloudEvents in Kafka's binary mode, keyed by coil."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any
from urllib.parse import quote

import orjson
from kafka import KafkaProducer

_STRETCH = 2_000  # events between two looks at what the brokers acknowledged: the client's own buffer has no bound
_NO_HEADER = frozenset({"data", "datacontenttype"})

Message = tuple[bytes, bytes, list[tuple[str, bytes]]]  # key, value, headers


def coil_key(plant: str, coil_id: str) -> bytes:
    """The key of everything about a coil, `plant/coil_id` percent-encoded: one partition has all of it, in order."""
    return f"{quote(plant, safe='')}/{quote(coil_id, safe='')}".encode()


def binary_message(line: bytes) -> Message:
    """Key, value and headers of an event in CloudEvents' binary mode (Kafka protocol binding 1.0.2, section 3.2).

    Args:
        line: the event in structured JSON, as `plant.events` writes it; its data name `plant` and `coil_id`.
    """
    event: dict[str, Any] = orjson.loads(line)
    data = event["data"]
    return coil_key(data["plant"], data["coil_id"]), orjson.dumps(data), binary_headers(event)


def binary_headers(event: Mapping[str, Any]) -> list[tuple[str, bytes]]:
    """Headers of an event in binary mode: each attribute as `ce_*`, and its data's type as `content-type`."""
    headers = [
        (f"ce_{name}", _text(value).encode())
        for name, value in event.items()
        if name not in _NO_HEADER and value is not None
    ]
    headers.append(("content-type", str(event.get("datacontenttype", "application/json")).encode()))
    return headers


def produce_events(producer: KafkaProducer, topic: str, lines: Iterable[bytes]) -> int:
    """Send events to a topic in their order and wait until the brokers have them; returns how many.

    Args:
        producer: see `flows.kafka.client.producer`.
        topic: of the chunk events.
        lines: events in structured JSON.

    Raises:
        KafkaError: an event did not arrive; `flows.kafka.client.broker_errors` makes a BrokerError of it.
    """
    sent = 0
    events = iter(lines)
    while stretch := list(islice(events, _STRETCH)):
        arriving = []
        for line in stretch:
            key, value, headers = binary_message(line)
            arriving.append(producer.send(topic, key=key, value=value, headers=headers))
        producer.flush()
        for future in arriving:
            future.get()
        sent += len(stretch)
    return sent


def _text(value: object) -> str:
    """An attribute in CloudEvents' canonical string form (1.0.2, type system)."""
    return str(value).lower() if isinstance(value, bool) else str(value)
