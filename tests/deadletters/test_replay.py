"""Dead letters are sent through again as they came, and once."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from kafka import TopicPartition

from flows.kafka.client import reader
from schemas.stream_settings import KafkaSettings
from store.connection import Connection
from store.deadletters import fingerprint
from tests.deadletters.conftest import HEADERS, LINES, Command, from_inbox, kept, message, state, whole_coil
from tests.fix_kafka import KafkaTopics

ENDED = "update coilflow.dead_letters set state = 'resolved' where dead_letter_id = %s"


@pytest.fixture
def kafka(kafka_topics: KafkaTopics, monkeypatch: pytest.MonkeyPatch) -> KafkaSettings:
    made = kafka_topics()
    monkeypatch.setenv("COILFLOW_KAFKA__BOOTSTRAP_SERVERS", str(made.bootstrap_servers))
    return made


def arrived(kafka: KafkaSettings) -> list[Any]:
    """Every message of the topic, in order within a partition."""
    consumer = reader(kafka)
    try:
        places = [TopicPartition(kafka.chunks_topic, partition) for partition in range(kafka.partitions)]
        consumer.assign(places)
        ends = consumer.end_offsets(places)
        consumer.seek_to_beginning(*places)
        found: list[Any] = []
        while any(consumer.position(place) < ends[place] for place in places):
            for records in consumer.poll(timeout_ms=1000).values():
                found += records
        return found
    finally:
        consumer.close()


def test_a_message_is_sent_with_its_key_headers_and_bytes_and_only_once(
    command: Command, connection: Connection, kafka: KafkaSettings
) -> None:
    given = message(5, topic=kafka.chunks_topic)
    [letter] = kept(connection, given)
    first, second = command("replay", letter), command("replay", letter)
    assert (first.code, second.code) == (0, 1)
    assert "it is replayed" in second.out
    [record] = arrived(kafka)
    assert (record.key, record.value) == (b"linz/7", given.original)
    assert [tuple(header) for header in record.headers] == [
        *HEADERS,
        ("coilflow-replay-of", fingerprint(given).encode()),
    ]
    assert state(connection, letter) == "replayed"
    assert command("replay", letter, "--again").code == 0
    assert len(arrived(kafka)) == 2


def test_a_coil_is_sent_event_by_event_under_its_key(
    command: Command, connection: Connection, kafka: KafkaSettings
) -> None:
    [letter] = kept(connection, whole_coil(9, topic=kafka.chunks_topic))
    assert command("replay", "--coil", "7").code == 0
    records = arrived(kafka)
    assert [record.value for record in records] == LINES
    assert {record.key for record in records} == {b"linz/7"}
    assert len({record.partition for record in records}) == 1
    assert ("content-type", b"application/cloudevents+json") in [tuple(header) for header in records[0].headers]
    assert state(connection, letter) == "replayed"


def test_a_dry_run_says_what_it_would_send_and_sends_nothing(
    command: Command, connection: Connection, kafka: KafkaSettings
) -> None:
    letters = kept(connection, message(5, topic=kafka.chunks_topic), whole_coil(9, topic=kafka.chunks_topic))
    ran = command("replay", "--all", "--dry-run")
    assert ran.code == 0
    assert f"would send: the message as it came to topic {kafka.chunks_topic}" in ran.out
    assert f"would send: {len(LINES)} events to topic {kafka.chunks_topic}" in ran.out
    assert arrived(kafka) == []
    assert [state(connection, letter) for letter in letters] == ["new", "new"]


def test_filters_choose_and_what_is_resolved_stays(
    command: Command, connection: Connection, kafka: KafkaSettings
) -> None:
    other = replace(message(6, topic=kafka.chunks_topic), step="assemble")
    one, two, three = kept(
        connection, message(5, topic=kafka.chunks_topic), other, message(7, topic=kafka.chunks_topic)
    )
    connection.execute(ENDED, [one])
    ran = command("replay", "--step", "decode", "--topic", kafka.chunks_topic, "--since", "1h")
    assert ran.code == 0
    assert [state(connection, letter) for letter in (one, two, three)] == ["resolved", "new", "replayed"]
    assert len(arrived(kafka)) == 1


def test_a_broker_that_is_away_leaves_the_letter_new(
    command: Command, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COILFLOW_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    [letter] = kept(connection, message(5))
    ran = command("replay", letter)
    assert ran.code == 1
    assert "127.0.0.1:1" in ran.err
    assert state(connection, letter) == "new"


def test_what_came_without_kafka_goes_into_the_inbox(command: Command, connection: Connection) -> None:
    [letter] = kept(connection, from_inbox())
    assert "events to the inbox" in command("replay", letter, "--dry-run").out
    assert command("replay", letter).code == 0
    assert [row["event"] for row in inbox(connection)] == LINES
    assert command("replay", letter).code == 1
    assert len(list(inbox(connection))) == len(LINES)
    assert state(connection, letter) == "replayed"


def inbox(connection: Connection) -> Iterator[Any]:
    return iter(connection.execute("select event from coilflow.inbox order by inbox_id").fetchall())


def test_what_is_no_event_is_refused_with_the_reason(command: Command, connection: Connection) -> None:
    table = replace(from_inbox(), original=b"SID,ZnMin\n7,100\n", place="coils.csv, line 2")
    nothing = replace(message(8), original=b"")
    first, second = kept(connection, table, nothing)
    ran = command("replay", "--all")
    assert ran.code == 1
    assert "mend the source and read that again" in ran.out
    assert "it has no bytes that could be sent" in ran.out
    assert [state(connection, letter) for letter in (first, second)] == ["new", "new"]


@pytest.mark.parametrize("arguments", [(), ("--again",), ("--all", "--again"), ("--since", "x")])
def test_a_replay_of_nothing_in_particular_is_wrong_use(command: Command, arguments: tuple[str, ...]) -> None:
    assert command("replay", *arguments).code == 2


def test_an_id_that_is_not_there_is_said(command: Command) -> None:
    ran = command("replay", 42)
    assert ran.code == 1
    assert "there is no dead letter 42" in ran.err
