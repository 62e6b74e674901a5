"""What another page makes a browser send changes nothing, and shows it nothing."""

import httpx
import pytest

from schemas.access import Role, Scope
from tests.access.given import browser, csrf_of, session_of
from tests.rest.given import bearer

WRITE = "/api/v1/schedule/retrain/requests"
DONE = 503  # it got through: there is no scheduler


@pytest.fixture(name="token")
def _token(database: str) -> str:
    return session_of(database, "anna", Role.ENGINEER)


def test_a_write_needs_the_token_of_this_very_session(address: str, database: str, token: str) -> None:
    other = session_of(database, "berta", Role.ENGINEER)
    with browser(address, token) as client, browser(address, other) as second:
        for forged in ({}, {"x-csrf-token": ""}, {"x-csrf-token": "0" * 64}, {"x-csrf-token": csrf_of(second)}):
            answer = client.post(WRITE, json={"why": "x"}, headers=forged)
            assert answer.status_code == 403, forged
            assert answer.headers["content-type"] == "application/problem+json"
        assert client.post(WRITE, json={"why": "x"}, headers={"x-csrf-token": csrf_of(client)}).status_code == DONE


def test_the_token_of_a_form_counts_where_the_form_is_sent(address: str, token: str) -> None:
    with browser(address, token) as client:
        for sent in ({}, {"csrf_token": "0" * 64}):
            assert client.post("/sign-out", data=sent).status_code == 403
        query = client.post(f"/sign-out?csrf_token={csrf_of(client)}")
        assert query.status_code == 403
        assert client.post("/sign-out", data={"csrf_token": csrf_of(client)}).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": ""},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": ""},
    ],
    ids=str,
)
def test_a_foreign_origin_is_refused_even_with_the_right_token(
    address: str, token: str, headers: dict[str, str]
) -> None:
    with browser(address, token) as client:
        known = {"x-csrf-token": csrf_of(client)}
        refused = client.post(WRITE, json={"why": "x"}, headers=known | headers)
        assert (refused.status_code, "another origin" in refused.text) == (403, True)
    with browser(address) as nobody:
        assert nobody.post("/sign-in", data={"name": "anna", "password": "x"}, headers=headers).status_code == 403


def test_its_own_origin_is_heard(address: str, token: str) -> None:
    with browser(address, token) as client:
        known = {"x-csrf-token": csrf_of(client)}
        for own in ({"origin": address}, {"sec-fetch-site": "same-origin", "origin": address}):
            assert client.post(WRITE, json={"why": "x"}, headers=known | own).status_code == DONE


def test_a_key_needs_no_token_and_no_origin(address: str, database: str) -> None:
    headers = bearer(database, Scope.OPERATE) | {"origin": "https://mes.example"}
    assert httpx.post(address + WRITE, json={"why": "x"}, headers=headers, timeout=120).status_code == DONE


def test_no_other_origin_is_let_read(address: str, token: str) -> None:
    with browser(address, token) as client:
        asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
        for answer in (client.get("/openapi.json", headers=asked), client.options(WRITE, headers=asked)):
            assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", ["/sign-in", "/docs", "/api/v1/coils/a/1", "/static/x/coilflow.css"])
def test_a_name_that_is_not_ours_is_not_heard(address: str, token: str, path: str) -> None:
    with browser(address, token) as client:
        for name in ("evil.example", "evil.example:8321", "127.0.0.1.evil.example", "localhost.evil.example", ""):
            answer = client.get(path, headers={"host": name})
            assert answer.status_code in (400, 421), name
        for name in ("127.0.0.1", "localhost:1", "[::1]:8321", "COILFLOW.plant.:443"):
            assert client.get(path, headers={"host": name}).status_code not in (400, 421), name


def test_machines_call_it_by_any_name(address: str, database: str) -> None:
    by_name = {"host": "coilflow.svc"}
    for path in ("/healthz", "/readyz", "/metrics"):
        assert httpx.get(address + path, headers=by_name, timeout=120).status_code == 200
    headers = bearer(database, Scope.READ) | by_name
    assert httpx.get(f"{address}/openapi.json", headers=headers, timeout=120).status_code == 200
