"""Producing: what a line's gateway sends arrives whole, in order a coil, and at once on one partition a coil."""

import orjson
import pytest
from kafka import TopicPartition

from flows.kafka.client import broker_errors, producer, reader
from flows.kafka.produce import binary_message, coil_key, produce_events
from plant.events import event_lines
from plant.line import simulate
from schemas.errors import BrokerError
from tests.fix_kafka import KafkaTopics

LINE = (
    b'{"specversion":"1.0","id":"7-1","source":"/gauge","type":"coil.chunk","subject":"7","time":null,'
    b'"datacontenttype":"application/json","lastchunk":true,"data":{"plant":"Werk 1/A","coil_id":"7\xc3\xa4","x":1}}\n'
)


def test_an_event_becomes_a_message_in_binary_mode() -> None:
    key, value, headers = binary_message(LINE)
    assert key == b"Werk%201%2FA/7%C3%A4"
    assert value == '{"plant":"Werk 1/A","coil_id":"7ä","x":1}'.encode()
    assert headers == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"7-1"),
        ("ce_source", b"/gauge"),
        ("ce_type", b"coil.chunk"),
        ("ce_subject", b"7"),
        ("ce_lastchunk", b"true"),
        ("content-type", b"application/json"),
    ]


def test_coils_whose_names_only_look_alike_have_different_keys() -> None:
    assert coil_key("a/b", "c") != coil_key("a", "b/c")


def test_a_simulated_shift_arrives_whole_and_each_coil_in_order_on_one_partition(kafka_topics: KafkaTopics) -> None:
    kafka = kafka_topics(partitions=3)
    lines = [line for block in simulate(4, seed=1) for _, line in event_lines(block)]
    sender = producer(kafka)
    assert produce_events(sender, kafka.chunks_topic, lines) == len(lines)
    sender.close()

    partitions = [TopicPartition(kafka.chunks_topic, number) for number in range(3)]
    arrived: dict[str, list[tuple[int, bytes]]] = {}
    consumer = reader(kafka)
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    ends = consumer.end_offsets(partitions)
    while any(consumer.position(partition) < ends[partition] for partition in partitions):
        for records in consumer.poll(timeout_ms=500).values():
            for record in records:
                arrived.setdefault(record.key.decode(), []).append((record.partition, record.value))
    consumer.close()

    sent: dict[str, list[bytes]] = {}
    for line in lines:
        key, value, _ = binary_message(line)
        sent.setdefault(key.decode(), []).append(value)
    assert {key: [value for _, value in messages] for key, messages in arrived.items()} == sent
    assert all(len({partition for partition, _ in messages}) == 1 for messages in arrived.values())


def test_an_event_that_the_topic_refuses_is_an_error(kafka_topics: KafkaTopics) -> None:
    kafka = kafka_topics(largest_message_bytes=1000)
    big = orjson.dumps({"type": "x", "data": {"plant": "p", "coil_id": "c", "numbers": list(range(9999))}})
    sender = producer(kafka)
    with pytest.raises(BrokerError, match="MessageSizeTooLarge"), broker_errors(kafka):
        produce_events(sender, kafka.chunks_topic, [big])
    sender.close()
