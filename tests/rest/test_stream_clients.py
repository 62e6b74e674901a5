"""Clients of the event stream come and go, stand still and are let go, and none of it costs the others an event."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from console.feed import Listener, News, told
from console.rest import connections, stream
from console.rest.service import Service
from schemas.access import Scope
from schemas.errors import StoreUnavailableError
from schemas.verdicts import Label
from store.changes import Change, ModelChange, Row, Snapshot, current_snapshot
from store.connection import Connection
from tests.rest.given import bearer, client_with
from tests.rest.hearing import STREAM, hearing
from tests.rest.test_stream import judge
from tests.store.given import NOON
from tests.waiting import wait_until

BEGINS = Snapshot(xmin=3, xmax=3, running=())
EVENT = told(
    Change(
        kind="model_change",
        row=Row(3, 1),
        data=ModelChange(
            plant=None, ensemble_version=None, ensemble=None, change="frozen", worker=None, who="anna", why="", at=NOON
        ),
    ),
    seen=BEGINS,
    until=BEGINS,
)
POLLERS = (
    "select count(*) as n from pg_stat_activity where application_name = 'coilflow event streams' and datname = %s"
)


def test_who_may_not_read_is_told_nothing(client: httpx.Client, database: str) -> None:
    for scopes, status in (((), 401), ((Scope.EVENTS,), 403)):
        with client_with(client, database, *scopes) as other:
            assert other.get(STREAM).status_code == status


def test_many_clients_are_told_by_one_connection(client: httpx.Client, connection: Connection) -> None:
    with hearing(client) as a, hearing(client) as b, hearing(client) as c, hearing(client) as d, hearing(client) as e:
        judge(connection, "1")
        wait_until(lambda: all(one.coils() == ["1"] for one in (a, b, c, d, e)))
        [counted] = connection.execute(POLLERS, (connection.info.dbname,)).fetchall()
    assert counted["n"] == 1


def test_a_client_that_takes_nothing_is_cut_off_and_the_others_go_on(
    client: httpx.Client, connection: Connection, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_TAKE_S", 0.3)
    monkeypatch.setattr("console.feed.MOST_WAITING", 50)
    at = httpx.URL(client.base_url)
    with hearing(client) as heard, socket.socket() as still:
        still.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        still.connect((at.host, at.port))
        asked = f"GET {STREAM} HTTP/1.1\r\nHost: {at.host}\r\nAuthorization: {client.headers['authorization']}\r\n\r\n"
        still.sendall(asked.encode())
        wait_until(lambda: service.feed.listening == 2)
        number = 0
        while service.feed.listening == 2:
            judge(connection, *(f"{number}-{nth}" for nth in range(10)), reasons=("doubt: " + "x" * 20_000,))
            number += 1
            wait_until(lambda: len(heard.events) == 10 * number)  # noqa: B023 - asked within the round
        judge(connection, "last")
        wait_until(lambda: heard.coils()[-1] == "last")
    assert len(set(heard.coils())) == len(heard.events) == 10 * number + 1


def test_what_waits_for_a_client_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.feed.MOST_WAITING", 3)

    async def heard() -> tuple[int, bool, News | None]:
        listener = Listener(begins=BEGINS, loop=asyncio.get_running_loop())
        two = News(events=(EVENT, EVENT), place=str(BEGINS))
        listener.hear(two)
        waiting = listener.waiting
        listener.hear(two)
        return waiting, listener.ended, await listener.next_news(most_s=1)

    assert asyncio.run(heard()) == (2, True, None)


def test_a_broken_database_connection_loses_nothing(client: httpx.Client, connection: Connection) -> None:
    with hearing(client) as heard:
        judge(connection, "1")
        wait_until(lambda: heard.coils() == ["1"])
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'coilflow event streams'"
        )
        judge(connection, "2")
        wait_until(lambda: heard.coils() == ["1", "2"])


def test_who_is_cut_off_while_it_is_told_what_it_missed_keeps_its_place(
    client: httpx.Client, connection: Connection, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = str(current_snapshot(connection))
    judge(connection, "missed")

    def away(*_: object, **__: object) -> None:
        service.feed.let_go()
        raise StoreUnavailableError("the database is away", remedy="wait")

    with monkeypatch.context() as patched:
        patched.setattr(stream, "changes_between", away)
        told_nothing = client.get(STREAM, params={"after": place})  # which ends by itself
    assert "id:" not in told_nothing.text
    with hearing(client, last=place) as again:
        wait_until(lambda: again.events)
    assert again.coils() == ["missed"]


def test_a_silent_client_keeps_its_place(
    client: httpx.Client, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_HEARTBEAT_S", 0.05)
    with hearing(client, label="NOK") as bad:
        begins = bad.place
        judge(connection, "1")
        wait_until(lambda: bad.place != begins)
    assert bad.events == []
    with hearing(client, last=bad.place) as again:
        judge(connection, "2", label=Label.NOK)
        wait_until(lambda: again.events)
    assert again.coils() == ["2"]


def test_a_stream_ends_after_a_time_so_that_who_listens_is_looked_at_again(
    client: httpx.Client, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_HEARTBEAT_S", 0.05)
    monkeypatch.setattr(stream, "_MOST_S", 0.1)
    with hearing(client) as heard:
        wait_until(lambda: heard.ended)
    monkeypatch.undo()
    judge(connection, "1")
    with hearing(client, last=heard.place) as again:
        wait_until(lambda: again.coils() == ["1"])


def test_many_changes_of_one_transaction_are_told_piece_by_piece(
    client: httpx.Client, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.feed._AT_ONCE", 7)
    monkeypatch.setattr(stream, "_AT_ONCE", 5)
    begins = str(current_snapshot(connection))
    wanted = [f"{nth:02}" for nth in range(30)]
    with hearing(client) as heard:
        judge(connection, *wanted)
        wait_until(lambda: len(heard.events) == 30)
    assert heard.coils() == wanted
    with hearing(client, last=begins) as again:
        wait_until(lambda: len(again.events) == 30)
    assert again.coils() == wanted


def test_who_missed_too_much_is_told_to_look_anew(
    client: httpx.Client, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_AT_ONCE", 5)
    monkeypatch.setattr(stream, "_MOST_MISSED", 10)
    begins = str(current_snapshot(connection))
    judge(connection, *(f"{nth:02}" for nth in range(30)))
    with hearing(client, last=begins) as heard:
        wait_until(lambda: heard.events and heard.events[-1][0] == "reset")
        judge(connection, "after")
        wait_until(lambda: heard.events[-1][0] == "verdict")
    assert heard.coils() == [*(f"{nth:02}" for nth in range(10)), "after"]


def test_who_comes_while_the_console_stops_is_sent_away_at_once(client: httpx.Client, service: Service) -> None:
    service.feed.end()
    answer = client.get(STREAM)
    assert (answer.status_code, "the console stops" in answer.json()["detail"]) == (503, True)


def test_streams_end_when_the_console_is_told_to_stop(database: str, connection: Connection, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from console.cli import main; main()", "console", "--port", "0"]
    environment = os.environ | {"COILFLOW_DATA_DIR": str(tmp_path), "COILFLOW_DATABASE_DSN": database}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        with process.stderr as said:
            found = re.search(r"http://127\.0\.0\.1:\d+", said.readline())
            assert found
            for line in said:
                if "startup complete" in line:
                    break
            headers = bearer(database, Scope.READ)
            with httpx.Client(base_url=found.group(), headers=headers) as client, hearing(client) as heard:
                judge(connection, "1")
                wait_until(lambda: heard.events)
                process.send_signal(signal.SIGTERM)
                wait_until(lambda: heard.ended)
                assert process.wait(30) == 0
            complaints = said.read()
        assert "timeout graceful shutdown exceeded" not in complaints
        assert "without completing response" not in complaints
    finally:
        process.kill()
        process.wait()
