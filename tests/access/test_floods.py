"""Large bodies, slow clients and many requests get nowhere, and keep nobody else waiting."""

import itertools
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from limits.aio.storage import memory

from console.rest import connections, rates
from console.rest.guards import LARGEST_BODY_BYTES, LARGEST_EVENTS_BYTES
from console.rest.service import Service
from schemas.access import Role, Scope
from schemas.console_settings import ConsoleSettings
from tests.access.conftest import SETTINGS
from tests.access.given import browser, session_of
from tests.rest.given import bearer, served
from tests.waiting import wait_until

MIB = 2**20
HUNDRED_MB = 100 * 10**6
WHY = "/api/v1/schedule/retrain/requests"
EVENTS = "/api/v1/events"
BATCH = {"content-type": "application/cloudevents-batch+json"}
PATIENCE_S = 120.0
get, post = partial(httpx.get, timeout=PATIENCE_S), partial(httpx.post, timeout=PATIENCE_S)


@pytest.fixture(name="engineer")
def _engineer(database: str) -> dict[str, str]:
    return bearer(database, Scope.OPERATE, Scope.EVENTS, Scope.READ) | BATCH


@pytest.mark.parametrize("path", [EVENTS, WHY, "/sign-in", "/none"])
def test_a_hundred_megabytes_are_refused_before_they_come(address: str, engineer: dict[str, str], path: str) -> None:
    with connected(address) as sender:
        sender.sendall(head("POST", path, engineer | {"content-length": str(HUNDRED_MB)}))
        assert answer_of(sender).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(("path", "most"), [(EVENTS, LARGEST_EVENTS_BYTES), (WHY, LARGEST_BODY_BYTES)])
def test_what_does_not_say_how_large_it_is_is_read_no_further_than_its_limit(
    address: str, engineer: dict[str, str], path: str, most: int
) -> None:
    sent, before = 0, psutil.Process(os.getpid()).memory_info().rss

    def parts() -> Iterator[bytes]:
        nonlocal sent
        while sent < HUNDRED_MB:
            yield b" " * MIB
            sent += MIB

    try:
        answer = post(address + path, content=parts(), headers=engineer)
    except httpx.WriteError:
        answer = None
    assert answer is None or (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    grown = psutil.Process(os.getpid()).memory_info().rss - before
    assert grown < 2 * most + 50 * MIB, f"{grown / MIB:.0f} MiB more"


def test_the_largest_that_is_taken_is_taken(address: str, engineer: dict[str, str]) -> None:
    largest = b"[" + b" " * (LARGEST_EVENTS_BYTES - 2) + b"]"
    assert post(address + EVENTS, content=largest, headers=engineer).status_code == 202
    one_more = post(address + EVENTS, content=b" " * (LARGEST_EVENTS_BYTES + 1), headers=engineer)
    assert (one_more.status_code, "8 MiB" in one_more.json()["detail"]) == (413, True)
    asked = post(address + WHY, content=b" " * (LARGEST_BODY_BYTES + 1), headers=engineer)
    assert (asked.status_code, "1 MiB" in asked.json()["detail"]) == (413, True)


@pytest.fixture(name="impatient")
def _impatient(service: Service) -> Iterator[str]:
    settings = SETTINGS.model_copy(update={"console": ConsoleSettings(body_s=0.5)})
    with served(replace(service, settings=settings)) as listening:
        yield listening


@pytest.mark.parametrize("path", [EVENTS, WHY])
def test_a_body_that_trickles_is_given_up_and_others_are_served_meanwhile(
    impatient: str, engineer: dict[str, str], path: str
) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(connected(impatient)) for _ in range(30)]
        for one in slow:
            one.sendall(head("POST", path, engineer | {"content-length": "1000"}) + b"[")
        trickling = threading.Event()
        thread = threading.Thread(target=trickle, args=(slow, trickling))
        thread.start()
        try:
            assert get(f"{impatient}/openapi.json", headers=engineer).status_code == 200
            for one in slow:
                said = answer_of(one)
                assert said.startswith(b"HTTP/1.1 408 "), said[:100]
                assert b"application/problem+json" in said
        finally:
            trickling.set()
            thread.join()


def test_a_head_that_never_ends_is_given_up(
    address: str, engineer: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_HEAD_S", 0.5)
    with ExitStack() as stack:
        silent, slow, second = (stack.enter_context(connected(address)) for _ in range(3))
        slow.sendall(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n")
        second.sendall(head("GET", "/healthz", {}))
        first = second.recv(MIB)
        assert first.startswith(b"HTTP/1.1 200 ")
        while not first.endswith(b"}"):
            first += second.recv(MIB)
        second.sendall(b"GET /healthz HTTP/1.1\r\nhost: 127.")
        trickling = threading.Event()
        thread = threading.Thread(target=trickle, args=([slow, second], trickling))
        thread.start()
        try:
            for one in (silent, slow, second):
                assert answer_of(one) == b""
        finally:
            trickling.set()
            thread.join()
    assert get(f"{address}/openapi.json", headers=engineer).status_code == 200


def test_who_does_not_take_the_answer_is_given_up(
    address: str, engineer: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_TAKE_S", 0.5)
    place = urlsplit(address)
    with socket.socket() as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sender.connect((place.hostname, place.port))
        sender.sendall(head("GET", "/docs/swagger-ui-bundle.js", engineer) * 4)
        ours = sender.getpeername()
        wait_until(lambda: any(one.laddr == ours and one.status == "ESTABLISHED" for one in open_connections()))
        wait_until(lambda: not any(one.laddr == ours and one.status == "ESTABLISHED" for one in open_connections()))


def test_a_request_after_another_on_one_connection_is_answered(address: str, engineer: dict[str, str]) -> None:
    with httpx.Client(base_url=address, headers=engineer, timeout=PATIENCE_S) as client:
        assert [client.get("/openapi.json").status_code for _ in range(3)] == [200] * 3
        assert client.post(WHY, content=b" " * (LARGEST_BODY_BYTES + 1)).status_code == 413
        assert client.get("/openapi.json").status_code == 200


@pytest.fixture(name="narrow")
def _narrow(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    stopped = SimpleNamespace(time=lambda: 1e9)  # the counts do not begin anew while a test is slow
    monkeypatch.setattr(memory, "time", stopped)
    monkeypatch.setattr(rates, "time", stopped)
    limits = ConsoleSettings(requests_a_minute=5, event_requests_a_minute=8, anonymous_requests_a_minute=6)
    with served(replace(service, settings=SETTINGS.model_copy(update={"console": limits}))) as listening:
        yield listening


def test_a_key_asks_no_more_often_than_it_may_and_events_are_counted_apart(
    narrow: str, database: str, engineer: dict[str, str]
) -> None:
    def ask(key: dict[str, str]) -> httpx.Response:
        return get(f"{narrow}/openapi.json", headers=key)

    answers = [ask(engineer) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[-1].headers["retry-after"] == "60"
    assert answers[-1].headers["content-type"] == "application/problem+json"
    assert ask(bearer(database, Scope.READ)).status_code == 200
    sent = [post(narrow + EVENTS, content=b"[]", headers=engineer) for _ in range(9)]
    assert [answer.status_code for answer in sent] == [202] * 8 + [429]


def test_sessions_of_one_person_count_together(narrow: str, database: str) -> None:
    token = session_of(database, "anna", Role.VIEWER)
    with browser(narrow, token) as client:
        assert [client.get("/docs").status_code for _ in range(6)] == [200] * 5 + [429]


def test_who_has_no_key_is_counted_by_address(narrow: str) -> None:
    answers = [get(f"{narrow}/openapi.json") for _ in range(7)]
    assert [answer.status_code for answer in answers] == [401] * 6 + [429]
    assert get(f"{narrow}/sign-in").status_code == 429
    assert get(f"{narrow}/healthz").status_code == 200


def open_connections() -> list[Any]:
    """Of this process."""
    return list(psutil.Process(os.getpid()).net_connections("tcp"))


def connected(address: str) -> socket.socket:
    place = urlsplit(address)
    return socket.create_connection((str(place.hostname), int(place.port or 0)), timeout=PATIENCE_S)


def head(method: str, path: str, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer_of(sender: socket.socket) -> bytes:
    """All until the console closes the connection, or its answer is whole."""
    said = b""
    try:
        while part := sender.recv(MIB):
            said += part
            if b"\r\n\r\n" in said and said.endswith(b"}"):
                break
    except ConnectionResetError:
        pass
    return said


def trickle(slow: list[socket.socket], done: threading.Event) -> None:
    """A byte of each now and then, as long as the console takes them."""
    for number in itertools.count():
        if done.wait(0.05):
            return
        try:
            slow[number % len(slow)].sendall(b" ")
        except OSError:
            continue
