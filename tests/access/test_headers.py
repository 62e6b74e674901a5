"""Every answer says what a browser may do with it, and no page needs anything from elsewhere."""

import re
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network

import httpx
import pytest
from playwright.sync_api import ConsoleMessage, Request, sync_playwright

from console.rest import health
from console.rest.access import SESSION_COOKIE
from console.rest.guards import SECURITY_HEADERS
from console.rest.service import Service
from schemas.access import Role
from schemas.console_settings import ConsoleSettings
from tests.access.conftest import SETTINGS
from tests.access.given import add_person, browser, session_of, sign_in
from tests.rest.given import served

PROXIED = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"}


@pytest.mark.parametrize(
    ("path", "status"),
    [("/healthz", 200), ("/metrics", 200), ("/sign-in", 200), ("/docs", 303), ("/openapi.json", 303),
     ("/api/v1/coils/a/1", 401), ("/static/x/none.css", 404), ("/none", 404), ("/sign-out", 405)],
)  # fmt: skip
def test_every_kind_of_answer_is_secured(address: str, path: str, status: int) -> None:
    with browser(address) as client:
        answer = client.get(path)
    assert answer.status_code == status
    assert_secured(answer)
    assert "strict-transport-security" not in answer.headers
    assert "server" not in answer.headers


def test_an_error_that_nobody_expected_tells_nothing_and_is_secured(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise RuntimeError("the inside")

    monkeypatch.setattr(health, "generate_latest", fails)
    answer = httpx.get(f"{address}/metrics", timeout=120)
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "inside" not in answer.text
    assert_secured(answer)


def assert_secured(answer: httpx.Response) -> None:
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers.get_list(name) == [value], name


def test_a_page_and_its_files_come_from_here_alone(address: str, database: str) -> None:
    with browser(address, session_of(database, "anna", Role.VIEWER)) as client:
        page = client.get("/docs")
        assert "script-src" not in page.headers["content-security-policy"]
        named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(named) >= 4
        for place in named:
            assert place.startswith("/")
            assert client.get(place).status_code == 200


@pytest.fixture(name="proxied")
def _proxied(service: Service) -> Iterator[str]:
    settings = SETTINGS.model_copy(
        update={"console": ConsoleSettings(proxies=(IPv4Network("127.0.0.1"),), failed_sign_ins=1)}
    )
    with served(replace(service, settings=settings)) as listening:
        yield listening


def test_behind_a_proxy_with_tls_browsers_stay_with_tls(proxied: str, database: str) -> None:
    add_person(database, "anna")
    with browser(proxied) as client:
        client.headers.update(PROXIED)
        assert "max-age" in client.get("/sign-in").headers["strict-transport-security"]
        assert "; secure" in sign_in(client, "anna").headers["set-cookie"].lower()


def test_who_is_behind_a_proxy_is_told_apart_and_nobody_else_is_believed(proxied: str, address: str) -> None:
    with browser(proxied) as client:
        for number in range(10):
            sign_in(client, f"a{number}", "wrong password!")
        assert sign_in(client, "another").status_code == 429
        assert client.post("/sign-in", data={"name": "b", "password": "x"}, headers=PROXIED).status_code == 403
    with browser(address) as client:  # has no proxy
        client.headers.update(PROXIED)
        assert "strict-transport-security" not in client.get("/sign-in").headers


def test_the_pages_of_the_api_work_offline_in_a_browser(address: str, database: str) -> None:
    token = session_of(database, "anna", Role.VIEWER)
    said: list[str] = []

    def tell_errors(message: ConsoleMessage) -> None:
        if message.type == "error":
            said.append(message.text)

    def tell_foreign(request: Request) -> None:
        if not request.url.startswith((address, "data:")):
            said.append(request.url)

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = chromium.new_page()
        page.set_default_timeout(300_000)
        page.context.add_cookies([{"name": SESSION_COOKIE, "value": token, "url": address}])
        page.on("console", tell_errors)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", tell_foreign)
        page.goto(f"{address}/docs")
        page.get_by_text("/api/v1/events").first.wait_for()
        chromium.close()
    assert said == []
