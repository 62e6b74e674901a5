"""`coilflow worker feedback` on a real Kafka and a real PostgreSQL: each word once, whatever fails."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from prometheus_client import REGISTRY
from psycopg import sql

from flows.kafka.client import group_consumer, poll, producer
from flows.kafka.feedback_worker import run_feedback_worker
from flows.kafka.produce import binary_message
from schemas.errors import LogError
from schemas.settings import Settings
from schemas.stream_settings import KafkaSettings
from store.connection import Connection, connect
from tests.fix_kafka import KafkaTopics
from tests.waiting import wait_until

Header = tuple[str, bytes]
Sent = tuple[bytes, list[Header]]


def event(number: int, **data: object) -> dict[str, Any]:
    said = {"plant": "linz", "coil_id": str(number), "label": "OK", "operator": "anna"}
    given_at = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    return {
        "specversion": "1.0",
        "type": "operator.feedback",
        "source": "/mes",
        "id": f"w{number}",
        "data": {**said, "given_at": given_at, **data},
    }


def binary(said: dict[str, Any]) -> Sent:
    _, value, headers = binary_message(orjson.dumps(said))
    return value, headers


def structured(said: dict[str, Any]) -> Sent:
    return orjson.dumps(said), [("content-type", b"application/cloudevents+json")]


class Line:
    """A topic, a database and the workers on them."""

    def __init__(self, kafka: KafkaSettings, dsn: str, sender: KafkaProducer) -> None:
        self.settings = Settings(kafka=kafka, destinations=(f"kafka:{kafka.verdicts_topic}",))
        self.dsn, self.kafka, self.sender = dsn, kafka, sender

    def send(self, messages: Sequence[Sent]) -> None:
        """Send messages and wait until the brokers have them."""
        futures = [
            self.sender.send(self.kafka.feedback_topic, key=str(i).encode(), value=value, headers=headers)
            for i, (value, headers) in enumerate(messages)
        ]
        self.sender.flush()
        for future in futures:
            future.get()

    @contextmanager
    def worker(self) -> Iterator[None]:
        """Run a worker while the block lasts; raises what it raises."""
        stop, failed = threading.Event(), list[BaseException]()

        def work() -> None:
            try:
                run_feedback_worker(self.settings, dsn=self.dsn, instance_id=None, stop=stop)
            except Exception as error:  # noqa: BLE001 - raised again in the test
                failed.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        if failed:
            raise failed[0]

    def unread(self) -> int:
        """Messages that the group has not noted as done."""
        consumer: KafkaConsumer = group_consumer(self.kafka, self.kafka.feedback_topic, instance_id=None)
        try:
            places = [TopicPartition(self.kafka.feedback_topic, n) for n in range(self.kafka.partitions)]
            ends = consumer.end_offsets(places)
            return sum(ends[place] - (consumer.committed(place) or 0) for place in places)
        finally:
            consumer.close(autocommit=False)


@pytest.fixture
def line(kafka_topics: KafkaTopics, database: str) -> Iterator[Line]:
    kafka = kafka_topics(session_timeout_s=6)
    sender = producer(kafka)
    yield Line(kafka, database, sender)
    sender.close()


def count(connection: Connection, table: str = "feedback") -> int:
    return connection.execute(sql.SQL("select from coilflow.{}").format(sql.Identifier(table))).rowcount


def test_every_word_is_stored_once_and_the_group_knows_how_far_it_is(line: Line, connection: Connection) -> None:
    words = [binary(event(n)) for n in range(30)] + [structured(event(n)) for n in range(30)]
    line.send(words)
    with line.worker(), line.worker():
        wait_until(lambda: count(connection) == 30)
        wait_until(lambda: line.unread() == 0)
        line.send([binary(event(n)) for n in range(30, 40)])
        wait_until(lambda: count(connection) == 40)
    assert count(connection, "dead_letters") == 0
    assert line.unread() == 0


def test_what_was_stored_and_not_noted_comes_again_and_changes_nothing(line: Line, connection: Connection) -> None:
    line.send([binary(event(n)) for n in range(9)])
    with line.worker():
        wait_until(lambda: line.unread() == 0)
    moved = line.kafka.model_copy(update={"group_id": f"{line.kafka.group_id}-again"})
    again = Line(moved, line.dsn, line.sender)
    with again.worker():
        wait_until(lambda: again.unread() == 0)
    assert count(connection) == 9


def test_a_bad_message_is_a_dead_letter_as_it_came_and_holds_back_no_other(line: Line, connection: Connection) -> None:
    ahead = (datetime.now(UTC) + timedelta(minutes=30)).isoformat()
    bad = [
        (b"\xff no json", [("ce_type", b"operator.feedback"), ("trace", b"\x00\x01")]),
        binary(event(1, label="SCRAP")),
        binary(event(2, given_at=ahead)),
        binary({**event(3), "type": "coil.chunk"}),
        binary(event(4, plant="")),
        (b"", []),
    ]
    line.send([*bad, binary(event(9))])
    with line.worker():
        wait_until(lambda: line.unread() == 0)
    assert count(connection) == 1
    rows = connection.execute("select * from coilflow.dead_letters order by dead_letter_id").fetchall()
    assert sorted(bytes(row["original"]) for row in rows) == sorted(value for value, _ in bad)
    assert {row["kafka_topic"] for row in rows} == {line.kafka.feedback_topic}
    assert {(row["step"], row["whole_coil"], row["coil_id"]) for row in rows} == {("decode", False, None)}
    [traced] = [row for row in rows if bytes(row["original"]) == b"\xff no json"]
    assert [name for name, _ in traced["headers"]] == ["ce_type", "trace"]
    assert "label" in next(row["error"] for row in rows if b"SCRAP" in bytes(row["original"]))
    late = next(row for row in rows if ahead.encode() in bytes(row["original"]))
    assert "yet to come" in late["error"]
    assert "clock" in late["remedy"]
    announced = connection.execute("select destination from coilflow.outbox").fetchall()
    assert {row["destination"] for row in announced} == {f"kafka:{line.kafka.feedback_topic}.dead-letter"}
    assert len(announced) == len(bad)


def test_a_word_that_the_database_refuses_is_a_dead_letter_alone(line: Line, connection: Connection) -> None:
    connection.execute(
        "create function coilflow.refuse() returns trigger language plpgsql as "
        "$$ begin raise check_violation using message = 'no poison here'; end $$"
    )
    connection.execute(
        "create trigger poison before insert on coilflow.feedback for each row when (new.note = 'poison') "
        "execute function coilflow.refuse()"
    )
    line.send([binary(event(n, note="poison" if n in (3, 7) else "fine")) for n in range(12)])
    with line.worker():
        wait_until(lambda: line.unread() == 0)
    assert count(connection) == 10
    rows = connection.execute("select step, error from coilflow.dead_letters").fetchall()
    assert [row["step"] for row in rows] == ["store", "store"]
    assert "no poison here" in rows[0]["error"]


@contextmanager
def away(server: Connection, name: str) -> Iterator[None]:
    """Let no worker reach a database while the block lasts."""
    ours = "from pg_stat_activity where datname = %s and application_name like 'coilflow feedback%%'"
    server.execute(sql.SQL("alter database {} allow_connections false").format(sql.Identifier(name)))
    server.execute(sql.SQL("select pg_terminate_backend(pid) " + ours), [name])
    wait_until(lambda: server.execute(sql.SQL("select " + ours), [name]).rowcount == 0)
    yield
    server.execute(sql.SQL("alter database {} allow_connections true").format(sql.Identifier(name)))


def waits() -> float:
    """How often a worker here found no database."""
    return REGISTRY.get_sample_value("coilflow_commit_failures_total", {"why": "database"}) or 0.0


def test_a_database_that_is_away_is_waited_for_and_nothing_is_lost(
    line: Line, connection: Connection, postgres_server: str
) -> None:
    with line.worker(), connect(postgres_server) as server:
        line.send([binary(event(n)) for n in range(5)])
        wait_until(lambda: count(connection) == 5)
        with away(server, connection.info.dbname):
            before = waits()
            line.send([binary(event(n)) for n in range(5, 12)])
            wait_until(lambda: waits() > before)
            assert count(connection) == 5
        wait_until(lambda: count(connection) == 12)
        wait_until(lambda: line.unread() == 0)


def test_a_rebalance_while_the_database_is_away_makes_no_worker_wait_for_ever(
    line: Line, connection: Connection, postgres_server: str
) -> None:
    other: KafkaConsumer = group_consumer(line.kafka, line.kafka.feedback_topic, instance_id=None)
    with line.worker(), connect(postgres_server) as server:
        line.send([binary(event(n)) for n in range(5)])
        wait_until(lambda: count(connection) == 5)
        with away(server, connection.info.dbname):
            before = waits()
            line.send([binary(event(n)) for n in range(5, 12)])
            wait_until(lambda: waits() > before)
            other.subscribe([line.kafka.feedback_topic])
            wait_until(lambda: poll(other, timeout_ms=50) or other.assignment())
            other.close(autocommit=False)  # the worker has given some up, and gets all back
        wait_until(lambda: count(connection) == 12)
        wait_until(lambda: line.unread() == 0)


def test_thousands_at_once_are_taken_in_batches(line: Line, connection: Connection) -> None:
    line.send([binary(event(n % 11_000)) for n in range(12_000)])
    with line.worker(), line.worker():
        wait_until(lambda: line.unread() == 0, 120)
    assert count(connection) == 11_000
    assert connection.execute("select from coilflow.coil_labels where label = 'OK'").rowcount == 11_000


def test_without_its_topic_it_says_what_to_do(kafka_server: str, database: str) -> None:
    kafka = KafkaSettings(bootstrap_servers=kafka_server, feedback_topic="never-made")
    with pytest.raises(LogError, match="no topic never-made"):
        run_feedback_worker(Settings(kafka=kafka), dsn=database, instance_id=None, stop=threading.Event())
