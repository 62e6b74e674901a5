"""While the database is away nobody is let in, nobody is signed out, and everybody is told when to come again."""

import httpx
import pytest

from console.rest.access import SESSION_COOKIE
from console.rest.service import Service
from schemas.access import Role, Scope
from store.pool import borrowed
from tests.access.given import add_person, browser, csrf_of, session_of, sign_in
from tests.access.test_foreign_pages import WRITE
from tests.rest.given import bearer


def assert_told_to_come_again(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) > 0
    assert "set-cookie" not in answer.headers


def test_a_person_is_neither_let_in_nor_signed_out(address: str, database: str, service: Service) -> None:
    add_person(database, "anna")
    token = session_of(database, "berta", Role.ENGINEER)
    with browser(address, token) as known, browser(address) as unknown:
        csrf = csrf_of(known)
        service.pool.close()
        for path in ("/", "/docs", "/sign-in", "/sign-in?once=x"):
            assert_told_to_come_again(known.get(path))
        assert_told_to_come_again(known.post(WRITE, json={"why": "x"}, headers={"x-csrf-token": csrf}))
        assert_told_to_come_again(known.post("/sign-out", data={"csrf_token": csrf}))
        assert [kept.value for kept in known.cookies.jar if kept.name == SESSION_COOKIE] == [token]
        assert_told_to_come_again(sign_in(unknown, "anna"))


def test_one_that_vanished_without_a_word_is_noticed_within_half_a_minute(service: Service) -> None:
    with borrowed(service.pool) as connection:
        assert connection.info.get_parameters()["tcp_user_timeout"] == "25000"


@pytest.mark.parametrize("path", ["/api/v1/coils", "/api/v1/stream", "/openapi.json"])
def test_a_key_opens_nothing(address: str, database: str, service: Service, path: str) -> None:
    key = bearer(database, Scope.READ)
    service.pool.close()
    with httpx.Client(base_url=address, timeout=120) as client:
        answer = client.get(path, headers=key)
        assert_told_to_come_again(answer)
        assert answer.headers["content-type"] == "application/problem+json"
        assert client.get("/healthz").status_code == 200
