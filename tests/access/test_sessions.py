"""A person is who signed in, as long as the session lasts, and nobody else is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from urllib.parse import urlsplit

import argon2
import httpx
import pytest

from console.rest.access import SESSION_COOKIE
from console.rest.service import Service
from schemas.access import Role
from schemas.console_settings import ConsoleSettings
from store.connection import connect
from store.sessions import follow_link, link_for_engineer, signed_in
from store.users import disable_user, enable_user, set_password, set_role
from tests.access.conftest import SETTINGS
from tests.access.given import LIFETIME, PASSWORD, add_person, browser, csrf_of, session_of, sign_in
from tests.rest.given import served

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def is_signed_in(client: httpx.Client) -> bool:
    return client.get("/docs").status_code == 200


def test_who_signs_in_gets_a_session_that_scripts_and_other_pages_do_not_reach(address: str, database: str) -> None:
    add_person(database, "Änne")
    with browser(address) as client:
        assert not is_signed_in(client)
        answer = sign_in(client, "änne", next="/docs?x=1")
        assert (answer.status_code, answer.headers["location"]) == (303, "/docs?x=1")
        kept = answer.headers["set-cookie"].lower()
        assert "httponly" in kept
        assert "samesite=strict" in kept
        assert "path=/" in kept
        assert is_signed_in(client)


def test_a_page_asked_for_without_a_session_is_shown_after_signing_in(address: str, database: str) -> None:
    add_person(database, "anna")
    with browser(address) as client:
        led = client.get("/docs?deep=a%2Fb")
        assert led.status_code == 303
        form = client.get(led.headers["location"])
        assert 'value="/docs?deep=a%2Fb"' in form.text
        assert sign_in(client, "anna", next="/docs?deep=a%2Fb").headers["location"] == "/docs?deep=a%2Fb"


def test_a_page_that_a_foreign_page_links_to_asks_again_for_itself(address: str) -> None:
    with browser(address) as client:
        answer = client.get('/docs?a="><script>', headers={"sec-fetch-site": "cross-site"})
        assert answer.status_code == 200
        assert 'content="0; url=/docs?a=%22%3E%3Cscript%3E"' in answer.text


def test_a_wrong_name_and_a_wrong_password_are_told_and_worked_at_alike(
    address: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_person(database, "anna")
    checked: list[str] = []
    verify = argon2.PasswordHasher.verify

    def counted(hasher: argon2.PasswordHasher, kept: str, password: str) -> bool:
        checked.append(kept.rpartition("$")[0].rpartition("$")[0])  # the parameters without salt and hash
        return bool(verify(hasher, kept, password))

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted)
    with browser(address) as client:
        tries = [("anna", "wrong password!"), ("nobody", PASSWORD), ("' or 1=1 --", PASSWORD), ("\x00", PASSWORD)]
        answers = [sign_in(client, *names) for names in tries]
        assert {(answer.status_code, answer.text) for answer in answers} == {(403, answers[0].text)}
        assert "nobody of that name with that password" in answers[0].text
        assert not client.cookies
    assert len(checked) == len(tries)
    assert len(set(checked)) == 1


@pytest.mark.parametrize("name", ["anna", "nobody"])
def test_passwords_are_not_tried_out(address: str, database: str, name: str) -> None:
    add_person(database, "anna")
    with browser(address) as client:
        tried = [sign_in(client, name, "wrong password!").status_code for _ in range(10)]
        assert tried == [403] * 10
        refused = sign_in(client, name.upper())
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        assert "one name from one address" in refused.text


def test_who_tries_a_name_out_does_not_keep_out_whose_it_is(service: Service, database: str) -> None:
    add_person(database, "anna")
    console = ConsoleSettings(proxies=(IPv4Network("127.0.0.1"),), failed_sign_ins=1)
    with served(replace(service, settings=SETTINGS.model_copy(update={"console": console}))) as address:
        with browser(address) as mallory:
            mallory.headers["x-forwarded-for"] = "203.0.113.1"
            assert [sign_in(mallory, "anna", "wrong password!").status_code for _ in range(11)] == [403] + [429] * 10
        with browser(address) as anna:
            anna.headers["x-forwarded-for"] = "203.0.113.2"
            assert sign_in(anna, "anna").status_code == 303
        with browser(address) as many:
            told = []
            for number in range(11):
                many.headers["x-forwarded-for"] = f"203.0.113.{number + 10}"
                told.append(sign_in(many, "anna", "wrong password!").status_code)
            assert told == [403] * 10 + [429]


def test_a_session_that_was_planted_is_not_taken_over(address: str, database: str) -> None:
    add_person(database, "anna")
    planted = session_of(database, "mallory", Role.VIEWER)
    with browser(address, planted) as client:
        assert client.get("/sign-in").status_code == 303
        sign_in(client, "anna")
        got = client.cookies.get(SESSION_COOKIE, domain=urlsplit(address).hostname)
        assert got != planted
    with browser(address, planted) as thief:
        assert not is_signed_in(thief)


def test_a_cookie_stolen_before_signing_out_is_worth_nothing_after(address: str, database: str) -> None:
    token = session_of(database, "anna", Role.VIEWER)
    with browser(address, token) as client, browser(address, token) as thief:
        assert is_signed_in(thief)
        answer = client.post("/sign-out", data={"csrf_token": csrf_of(client)})
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert 'coilflow_session=""' in answer.headers["set-cookie"]
        assert not is_signed_in(thief)


def test_a_session_ends_when_nobody_comes_and_at_the_latest_after_its_whole_life(database: str) -> None:
    token = session_of(database, "anna", Role.VIEWER, began=NOW)
    with connect(database) as connection:

        def lasts(hours: float) -> bool:
            now = NOW + timedelta(hours=hours)
            return signed_in(connection, token, lifetime=LIFETIME, now=now) is not None

        assert [lasts(hours) for hours in (7.9, 15.8, 23.7, 24.1)] == [True, True, True, False]
        assert signed_in(connection, token + "x", lifetime=LIFETIME, now=NOW) is None
    idle = session_of(database, "berta", Role.VIEWER, began=NOW)
    with connect(database) as connection:
        assert signed_in(connection, idle, lifetime=LIFETIME, now=NOW + timedelta(hours=8.1)) is None


def test_an_expired_session_is_led_to_the_form(address: str, database: str) -> None:
    token = session_of(database, "anna", Role.VIEWER, began=datetime.now(UTC) - timedelta(hours=9))
    with browser(address, token) as client:
        assert client.get("/docs").headers["location"] == "/sign-in?next=%2Fdocs"
        assert client.get("/sign-in").status_code == 200


def test_who_is_disabled_or_gets_another_password_is_signed_out(address: str, database: str) -> None:
    tokens = {name: session_of(database, name, Role.VIEWER) for name in ("anna", "berta")}
    clients = {name: browser(address, token) for name, token in tokens.items()}
    with clients["anna"], clients["berta"], connect(database) as connection:
        assert all(map(is_signed_in, clients.values()))
        disable_user(connection, "ANNA", now=NOW)
        set_password(connection, "berta", password_hash="other")  # noqa: S106
        assert not any(map(is_signed_in, clients.values()))
        enable_user(connection, "anna", now=NOW)
        assert not is_signed_in(clients["anna"])


def test_a_role_counts_from_the_next_request_on(address: str, database: str) -> None:
    token = session_of(database, "anna", Role.VIEWER)
    with browser(address, token) as client, connect(database) as connection:
        asking = {"headers": {"x-csrf-token": csrf_of(client)}, "json": {"why": "x"}}
        assert client.post("/api/v1/schedule/retrain/requests", **asking).status_code == 403  # type: ignore[arg-type]
        set_role(connection, "anna", Role.ENGINEER)
        assert client.post("/api/v1/schedule/retrain/requests", **asking).status_code == 503  # type: ignore[arg-type]


def test_a_link_signs_in_once_within_ten_minutes(address: str, database: str) -> None:
    with connect(database) as connection:
        once = link_for_engineer(connection, "local", now=datetime.now(UTC))
        late = link_for_engineer(connection, "local", now=NOW)
        assert once
        assert late
        assert follow_link(connection, late, now=NOW + timedelta(minutes=10, seconds=1)) is None
        assert follow_link(connection, "made up", now=NOW) is None
    with browser(address) as client, browser(address) as second:
        answer = client.get("/sign-in", params={"once": once})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert is_signed_in(client)
        again = second.get("/sign-in", params={"once": once})
        assert again.status_code == 403
        assert "used already" in again.text
        assert not is_signed_in(second)


@pytest.mark.parametrize(
    "place",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example",
     "javascript:alert(1)", "", "evil.example", "/\r\nSet-Cookie: a=b", "///evil.example"],
)  # fmt: skip
def test_signing_in_leads_nowhere_else(address: str, database: str, place: str) -> None:
    token = session_of(database, "anna", Role.VIEWER)
    with browser(address, token) as client:
        assert client.get("/sign-in", params={"next": place}).headers["location"] == "/"
    with browser(address) as client:
        form = client.get("/sign-in", params={"next": place})
        assert '<input type="hidden" name="next" value="/">' in form.text
    add_person(database, "berta")
    with browser(address) as client:
        assert sign_in(client, "berta", next=place).headers["location"] == "/"
