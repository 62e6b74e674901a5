"""Requests made to be read for long, or twice in two ways, are refused before anything reads them."""

import asyncio
from typing import Any

import httpx
import pytest

from console.passwords import hash_password, is_password
from console.rest.guards import known_names_only, own_cookies_only
from schemas.access import Role, Scope
from tests.access.given import PASSWORD, browser, session_of, sign_in
from tests.access.test_floods import EVENTS, WHY, answer_of, connected, head
from tests.rest.given import bearer

KIB = 2**10


@pytest.mark.parametrize("path", ["/sign-in", "/theme", WHY])
def test_a_form_that_names_its_codec_is_not_read(address: str, database: str, path: str) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="password"\r\n\r\na-' + b"b" * 50 * KIB + b"\r\n--x--\r\n"
    kind = {"content-type": "Multipart/form-data; boundary=x; charset=punycode"}
    key = bearer(database, Scope.OPERATE) if path == WHY else {}
    answer = httpx.post(address + path, content=body, headers=kind | key, timeout=120)
    assert (answer.status_code, answer.headers["content-type"]) == (415, "application/problem+json")


def test_a_body_that_ends_in_two_places_is_refused_with_its_connection(address: str) -> None:
    twice = head("POST", "/sign-in", {"content-length": "3", "transfer-encoding": "chunked"})
    with connected(address) as sender:
        sender.sendall(twice + b"0\r\n\r\n" + head("GET", "/healthz", {}))
        said = b""
        while part := sender.recv(64 * KIB):
            said += part
    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("path", [EVENTS, WHY, "/sign-out", "/models/do/freeze", "/none"])
def test_who_is_not_known_is_refused_before_a_byte_of_a_body_came(address: str, path: str) -> None:
    for shown in ({}, {"authorization": "Bearer cfk_none"}, {"cookie": "coilflow_session=none"}):
        with connected(address) as sender:
            sender.sendall(head("POST", path, shown | {"content-type": "application/json", "content-length": "1000"}))
            assert answer_of(sender).startswith(b"HTTP/1.1 401 ")


def test_a_form_that_all_may_send_is_short(address: str) -> None:
    with browser(address) as client:
        assert client.post("/theme", data={"theme": "dark", "next": "/" + "x" * 60 * KIB}).status_code == 303
        answer = client.post("/theme", data={"theme": "dark", "next": "/" + "x" * 65 * KIB})
    assert (answer.status_code, "64 KiB" in answer.text) == (413, True)


def test_cookies_of_others_on_this_host_are_not_read(address: str, database: str) -> None:
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.extend(scope["headers"])

    sent = [(b"cookie", b'a="' + b"\\" * KIB + b'"; coilflow_theme=dark;coilflow_session=abc'), (b"cookie", b"b=1")]
    asyncio.run(own_cookies_only(app)({"type": "http", "headers": sent}, None, None))  # type: ignore[arg-type]
    assert heard == [(b"cookie", b"coilflow_theme=dark; coilflow_session=abc"), (b"cookie", b"")]
    with browser(address, session_of(database, "anna", Role.VIEWER)) as client:
        client.cookies.set("grafana", '"a\\054b"')
        assert client.get("/docs").status_code == 200


@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "https://evil.example"}], ids=str)
def test_a_made_up_key_opens_no_form_to_foreign_pages(address: str, headers: dict[str, str]) -> None:
    with browser(address) as client:
        for made_up in ({}, {"authorization": "Bearer cfk_none"}):
            client.headers.update(headers | made_up)
            assert sign_in(client, "anna").status_code in (403, 421)
            assert "nobody of that name" not in sign_in(client, "anna").text
            assert client.post("/theme", data={"theme": "dark"}).status_code in (403, 421)


def test_a_name_is_known_with_its_port_too() -> None:
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.append(scope["path"])

    guarded = known_names_only(app, names=["Coilflow.plant.:8321"])
    scope = {"type": "http", "path": "/", "headers": [(b"host", b"coilflow.PLANT:443")]}
    asyncio.run(guarded(scope, None, None))  # type: ignore[arg-type]
    assert heard == ["/"]


def test_what_is_no_text_is_not_a_password() -> None:
    kept = hash_password(PASSWORD)
    assert is_password(PASSWORD, kept)
    for typed in (f"{PASSWORD}\udcff", "\ud800", f"{PASSWORD}\x00", "", PASSWORD + " " * 2000):
        assert not is_password(typed, kept)
        assert not is_password(typed, None)
