"""`coilflow bridge outbox`: runs until it is told to stop, and says what it does."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import pytest

from store.connection import Connection
from tests.outbox.given import announce, eventually, unpublished
from tests.outbox.test_webhook import MES, SECRET, Receiver, receiver

__all__ = ["receiver"]  # a fixture


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def command(database: str, receiver: Receiver, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", "from console.cli import main; main()", "bridge", "outbox", *arguments],
        env={
            **os.environ,
            "COILFLOW_DATABASE_DSN": database,
            "COILFLOW_DESTINATIONS": f'["{MES}"]',
            "COILFLOW_WEBHOOKS": orjson.dumps({"mes": {"url": receiver.webhook.url, "secret": SECRET}}).decode(),
            **environment,
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_publishes_shows_its_metrics_and_stops_cleanly(
    receiver: Receiver, connection: Connection, database: str, number: signal.Signals
) -> None:
    announce(connection, "1", to=(MES,))
    port = free_port()
    with command(database, receiver, COILFLOW_METRICS_PORT=str(port)) as process:
        eventually(lambda: unpublished(connection) == 0)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            metrics = answer.read().decode()
        labels = '{messaging_destination_name="mes",messaging_system="webhook"}'
        assert f"messaging_client_sent_messages_total{labels} 1.0" in metrics
        assert f"coilflow_outbox_lag_seconds{labels}" in metrics
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0
    lines = [orjson.loads(line) for line in said.splitlines()]
    assert [line["event"] for line in lines] == ["the relay runs", "the relay has stopped"]
    assert SECRET not in said
    assert all(line["level"] == "info" and line["timestamp"].endswith("+00:00") for line in lines)
    held = connection.execute(
        "select count(*) as n from pg_locks where locktype = 'advisory'"
        " and database = (select oid from pg_database where datname = current_database())"
    ).fetchone()
    assert held == {"n": 0}


def test_a_second_relay_takes_over_from_one_that_is_killed(
    receiver: Receiver, connection: Connection, database: str
) -> None:
    with command(database, receiver) as first, command(database, receiver):
        announce(connection, *map(str, range(20)), to=(MES,))
        eventually(lambda: unpublished(connection) == 0)
        first.kill()
        announce(connection, *map(str, range(20, 60)), to=(MES,))
        eventually(lambda: unpublished(connection) == 0)
    assert set(receiver.coils) == set(map(str, range(60)))


def test_refused_rows_are_sent_again_on_request(receiver: Receiver, connection: Connection, database: str) -> None:
    announce(connection, "1", to=(MES,))
    connection.execute("update coilflow.outbox set refused_at = now(), refusal = '400', attempts = 8")
    with command(database, receiver, "--retry-refused"):
        eventually(lambda: unpublished(connection) == 0)
    assert receiver.coils == ["1"]
