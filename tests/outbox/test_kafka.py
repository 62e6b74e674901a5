"""Kafka gets events in CloudEvents' binary mode, and dead letters as they came."""

import hashlib
from functools import partial

import orjson
from kafka import TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from flows.kafka.client import reader
from flows.kafka.local_broker import LocalBroker
from flows.kafka.topics import dead_letter_topic
from flows.outbox.publish import open_publisher
from flows.outbox.relay import Relay
from schemas.settings import Settings
from schemas.stream_settings import KafkaSettings
from store.connection import Connection
from store.outbox_keys import slot_of
from tests.fix_kafka import KafkaTopics, fresh_topics
from tests.outbox.given import HASTY, announce, eventually, running, unpublished
from tests.store.given import decided

REVISIONS = ("r1", "r2", "r3")
NOISE = bytes(range(256)) * 4


def relay_to(kafka: KafkaSettings, database: str) -> Relay:
    return Relay(
        database,
        destinations=frozenset({f"kafka:{kafka.verdicts_topic}"}),
        open_publisher=partial(open_publisher, settings=Settings(kafka=kafka)),
        pace=HASTY,
    )


def read_all(kafka: KafkaSettings, topic: str) -> list[ConsumerRecord]:
    consumer = reader(kafka)
    partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    ends = consumer.end_offsets(partitions)
    records = []
    while any(consumer.position(partition) < ends[partition] for partition in partitions):
        for some in consumer.poll(timeout_ms=200).values():
            records += some
    consumer.close()
    return records


def refuse(connection: Connection, topic: str, *, original: bytes, offset: int) -> None:
    """A dead letter and its outbox row, as the worker's transaction stores them."""
    key = f"{topic}/0"
    connection.execute(
        """
        with letter as (
            insert into coilflow.dead_letters (
                fingerprint, step, error, remedy, place, kafka_topic, kafka_partition, kafka_offset, kafka_key, headers,
                original
            )
            values (
                repeat(to_hex(%(offset)s::int8), 64), 'decode', 'it is no JSON', 'send it again', 'there', %(topic)s, 0,
                %(offset)s, '\\x00ff', '[["ce_id", "eA=="], ["trace", "AP8="], ["trace", ""]]', %(original)s
            )
            returning dead_letter_id
        )
        insert into coilflow.outbox (event_id, destination, key, slot, dead_letter_id)
        select gen_random_uuid(), %(destination)s, %(key)s, %(slot)s, dead_letter_id from letter
        """,
        {
            "topic": topic,
            "offset": offset,
            "original": original,
            "destination": f"kafka:{dead_letter_topic(topic)}",
            "key": key,
            "slot": slot_of(key),
        },
    )


def test_events_go_out_in_binary_mode_in_order_on_one_partition_a_coil(
    kafka_topics: KafkaTopics, connection: Connection, database: str
) -> None:
    kafka = kafka_topics()
    coils = [str(number) for number in range(20)]
    with running(relay_to(kafka, database)):
        for revision in REVISIONS:
            announce(connection, *coils, to=(f"kafka:{kafka.verdicts_topic}",), revision=revision)
        eventually(lambda: unpublished(connection) == 0)
    records = read_all(kafka, kafka.verdicts_topic)
    for coil in coils:
        of_coil = [record for record in records if record.key == f"linz/{coil}".encode()]
        assert [orjson.loads(record.value)["revision"] for record in of_coil] == list(REVISIONS)
        assert len({record.partition for record in of_coil}) == 1
    row = connection.execute("select payload from coilflow.outbox where key = 'linz/7' order by outbox_id").fetchone()
    assert row is not None
    first = next(record for record in records if record.key == b"linz/7")
    assert orjson.loads(first.value) == row["payload"]["data"]
    assert dict(first.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": row["payload"]["id"].encode(),
        "ce_source": b"/plants/linz",
        "ce_type": b"coil.verdict",
        "ce_subject": b"7",
        "ce_time": row["payload"]["time"].encode(),
        "content-type": b"application/json",
    }


def test_dead_letters_go_out_byte_for_byte_with_their_headers_and_the_fault(
    kafka_topics: KafkaTopics, connection: Connection, database: str
) -> None:
    kafka = kafka_topics()
    refuse(connection, kafka.chunks_topic, original=NOISE, offset=7)
    with running(relay_to(kafka, database)):
        eventually(lambda: unpublished(connection) == 0)
    [record] = read_all(kafka, dead_letter_topic(kafka.chunks_topic))
    assert (record.key, record.value) == (b"\x00\xff", NOISE)
    row = connection.execute("select event_id from coilflow.outbox").fetchone()
    assert row is not None
    assert record.headers == [
        ("ce_id", b"x"),
        ("trace", b"\x00\xff"),
        ("trace", b""),
        ("__streams.errors.exception", b"coilflow.decode"),
        ("__streams.errors.message", b"it is no JSON"),
        ("__streams.errors.stacktrace", b"send it again"),
        ("__streams.errors.topic", kafka.chunks_topic.encode()),
        ("__streams.errors.partition", b"0"),
        ("__streams.errors.offset", b"7"),
        ("coilflow.event.id", str(row["event_id"]).encode()),
    ]


def test_a_dead_letter_that_the_topic_cannot_hold_is_set_aside_and_blocks_no_other(
    kafka_topics: KafkaTopics, connection: Connection, database: str
) -> None:
    kafka = kafka_topics(largest_message_bytes=1000)
    incompressible = hashlib.shake_256(b"noise").digest(300_000)
    refuse(connection, kafka.chunks_topic, original=incompressible, offset=1)
    refuse(connection, kafka.chunks_topic, original=b"small", offset=2)
    with running(relay_to(kafka, database)):
        eventually(
            lambda: connection.execute("select 1 as found from coilflow.outbox where refused_at is not null").fetchone()
        )
        eventually(lambda: unpublished(connection) == 1)
    records = read_all(kafka, dead_letter_topic(kafka.chunks_topic))
    assert [record.value for record in records] == [b"small"]
    [row] = connection.execute("select refusal from coilflow.outbox where refused_at is not null").fetchall()
    assert "MessageSizeTooLarge" in row["refusal"]


def test_a_broker_that_is_killed_and_restarted_loses_no_verdict_and_no_order(
    private_broker: LocalBroker, connection: Connection, database: str
) -> None:
    kafka = fresh_topics(private_broker.bootstrap_servers)
    destination = f"kafka:{kafka.verdicts_topic}"
    coils = [str(number) for number in range(5)]
    with running(relay_to(kafka, database)):
        announce(connection, *coils, to=(destination,), revision="r1")
        eventually(lambda: unpublished(connection) == 0)
        private_broker.kill()
        announce(connection, *coils, to=(destination,), revision="r2")
        private_broker.start()
        announce(connection, *coils, to=(destination,), revision="r3")
        eventually(lambda: unpublished(connection) == 0)
    records = read_all(kafka, kafka.verdicts_topic)
    for coil in coils:
        revisions = [
            orjson.loads(record.value)["revision"] for record in records if record.key == f"linz/{coil}".encode()
        ]
        assert list(dict.fromkeys(revisions)) == list(REVISIONS)
    assert {record.key for record in records} == {
        f"linz/{decided(coil).verdict.key.coil_id}".encode() for coil in coils
    }
