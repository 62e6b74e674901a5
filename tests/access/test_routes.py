"""Who may use which route: a table, and every role and every scope of a key tried on each."""

import re
import socket
from types import SimpleNamespace
from typing import cast
from urllib.parse import quote, urlsplit

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from console.rest.app import create_app
from console.rest.service import Service
from schemas.access import ROLE_SCOPES, Role, Scope
from schemas.settings import Settings
from store.coils import counts
from store.connection import connect
from tests.access.given import browser, csrf_of, session_of
from tests.rest.given import bearer

OPEN = None
# Write a new route here, with the scope that it needs: without a line the test fails.
TABLE: dict[str, Scope | None] = {
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "HEAD /healthz": OPEN,
    "HEAD /readyz": OPEN,
    "GET /metrics": OPEN,
    "GET /static/{digest}/{name}": OPEN,
    "GET /sign-in": OPEN,
    "POST /sign-in": OPEN,
    "POST /theme": OPEN,
    "POST /sign-out": Scope.READ,
    "GET /openapi.json": Scope.READ,
    "GET /docs": Scope.READ,
    "GET /docs/{name}": Scope.READ,
    "POST /api/v1/events": Scope.EVENTS,
    "GET /api/v1/coils": Scope.READ,
    "GET /api/v1/stream": Scope.READ,
    "GET /api/v1/coils/{plant}/{coil_id}": Scope.READ,
    "GET /api/v1/coils/{plant}/{coil_id}/verdict": Scope.READ,
    "GET /api/v1/coils/{plant}/{coil_id}/matrix": Scope.READ,
    "GET /api/v1/coils/{plant}/{coil_id}/picture": Scope.READ,
    "GET /api/v1/coils/{plant}/{coil_id}/explanation": Scope.READ,
    "GET /api/v1/coils/{plant}/{coil_id}/similar": Scope.READ,
    "GET /api/v1/coils/{plant}/{coil_id}/feedback": Scope.READ,
    "POST /api/v1/coils/{plant}/{coil_id}/feedback": Scope.FEEDBACK,
    "GET /api/v1/reviews": Scope.READ,
    "POST /api/v1/reviews/{plant}/{coil_id}/settle": Scope.FEEDBACK,
    "GET /api/v1/models": Scope.READ,
    "GET /api/v1/models/{version}": Scope.READ,
    "GET /api/v1/models/{version}/scores": Scope.READ,
    "POST /api/v1/models/{version}/promote": Scope.MODELS,
    "POST /api/v1/models/{version}/shadow": Scope.MODELS,
    "POST /api/v1/models/{version}/reject": Scope.MODELS,
    "POST /api/v1/models/rollback": Scope.MODELS,
    "POST /api/v1/models/freeze": Scope.MODELS,
    "POST /api/v1/models/unfreeze": Scope.MODELS,
    "GET /api/v1/drift": Scope.READ,
    "GET /api/v1/schedule": Scope.READ,
    "GET /api/v1/schedule/{job}": Scope.READ,
    "GET /api/v1/schedule/{job}/runs": Scope.READ,
    "GET /api/v1/schedule/{job}/decisions": Scope.READ,
    "POST /api/v1/schedule/{job}/requests": Scope.OPERATE,
    "POST /api/v1/schedule/{job}/pause": Scope.OPERATE,
    "POST /api/v1/schedule/{job}/resume": Scope.OPERATE,
    "GET /api/v1/dead-letters": Scope.READ,
    "GET /api/v1/dead-letters/{dead_letter_id}": Scope.READ,
    "POST /api/v1/dead-letters/{dead_letter_id}/replay": Scope.OPERATE,
    "POST /api/v1/dead-letters/{dead_letter_id}/discard": Scope.OPERATE,
    "GET /api/v1/audits/coils/{plant}/{coil_id}": Scope.READ,
    "GET /api/v1/audits/models/{version}": Scope.READ,
    "GET /": Scope.READ,
    "GET /coils/{plant}/{coil_id}": Scope.READ,
    "GET /coils/{plant}/{coil_id}/map.png": Scope.READ,
    "GET /legend.png": Scope.READ,
    "POST /coils/{plant}/{coil_id}/feedback": Scope.FEEDBACK,
    "GET /review": Scope.READ,
    "GET /models": Scope.READ,
    "GET /models/{version}": Scope.READ,
    "GET /models/do/{action}": Scope.MODELS,
    "POST /models/do/{action}": Scope.MODELS,
    "GET /schedule": Scope.READ,
    "GET /schedule/{job}": Scope.READ,
    "GET /schedule/{job}/{action}": Scope.OPERATE,
    "POST /schedule/{job}/{action}": Scope.OPERATE,
    "GET /data": Scope.READ,
    "GET /data/drift": Scope.READ,
    "GET /data/dead-letters": Scope.READ,
    "GET /data/dead-letters/{letter_id}": Scope.READ,
    "GET /data/dead-letters/{letter_id}/original": Scope.READ,
    "GET /data/dead-letters/{letter_id}/{action}": Scope.OPERATE,
    "POST /data/dead-letters/{letter_id}/{action}": Scope.OPERATE,
}
WHO = [None, *Role, *Scope]
REFUSED = (HTTP_UNKNOWN, HTTP_FORBIDDEN) = (401, 403)


def routes() -> list[str]:
    """Every route of the app, as the table names it."""
    app = create_app(cast("Service", SimpleNamespace(settings=Settings())))
    contexts = iter_route_contexts(app.routes)
    return [f"{method} {context.path}" for context in contexts for method in sorted(context.methods or ("ANY",))]


def test_the_table_names_every_route_and_no_other() -> None:
    assert sorted(routes()) == sorted(TABLE)


def test_nothing_that_changes_a_coil_a_model_or_a_job_is_open() -> None:
    assert {route for route, needed in TABLE.items() if needed is OPEN and not route.startswith(("GET", "HEAD"))} == {
        "POST /sign-in",
        "POST /theme",
    }


@pytest.mark.parametrize("who", WHO, ids=lambda who: "nobody" if who is None else f"{type(who).__name__}-{who}".lower())
def test_each_may_do_what_is_theirs_and_nothing_else(address: str, database: str, who: Role | Scope | None) -> None:
    told: dict[str, int] = {}
    with caller(address, database, who) as client:
        for route in sorted(TABLE, key=lambda name: name == "POST /sign-out"):  # that last
            method, path = route.split()
            with client.stream(method, re.sub(r"{\w+}", "1", path), json={} if method == "POST" else None) as answer:
                told[route] = answer.status_code
    scopes = ROLE_SCOPES[who] if isinstance(who, Role) else {who} - {None}
    for route, needed in TABLE.items():
        if route == "POST /sign-in":
            assert told[route] == HTTP_FORBIDDEN  # to the wrong password
        elif needed is OPEN or needed in scopes:
            assert told[route] not in REFUSED, route
        else:
            assert told[route] == (HTTP_UNKNOWN if who is None else HTTP_FORBIDDEN), route


def test_a_browser_that_is_not_signed_in_is_led_to_the_form_or_refused(address: str) -> None:
    with browser(address) as client:
        for route in (route for route, needed in TABLE.items() if needed is not OPEN):
            method, path = route.split()
            answer = client.request(method, re.sub(r"{\w+}", "1", path))
            if method == "GET" and not path.startswith("/api/"):
                assert answer.headers["location"].startswith("/sign-in?next="), route
            else:
                assert answer.status_code == HTTP_UNKNOWN, route
                is_page = answer.headers["content-type"].startswith("text/html")
                assert is_page != path.startswith("/api/"), route


@pytest.mark.parametrize(
    "path",
    [
        "/static/x/../../../../schemas/settings.py",
        "/static/x/..%2f..%2fpages.py",
        "/static/x/%2e%2e%2fpages.py",
        "/static/x/....//pages.py",
        "/static/x/..%5cpages.py",
        "/static/x/%252e%252e%252fpages.py",
        "/static//etc/passwd",
        "/static/x/%00coilflow.css",
        "/docs/..%2f..%2fcore.py",
        "/docs/redoc.standalone.js",
    ],
)
def test_no_path_leads_out_of_the_files_of_the_page(address: str, database: str, path: str) -> None:
    place = urlsplit(address)
    key = bearer(database, Scope.READ)["authorization"]
    with socket.create_connection((str(place.hostname), int(place.port or 0)), timeout=120) as sender:  # as it stands
        sender.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: {key}\r\n\r\n".encode())
        assert sender.recv(4096).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("text", ["' or '1'='1", "'); drop table coilflow.coils; -- %s"])
def test_what_looks_like_sql_is_a_name_like_any_other(address: str, database: str, text: str) -> None:
    with caller(address, database, Role.ENGINEER) as client:
        for route, needed in TABLE.items():
            method, path = route.split()
            if needed is not OPEN and path not in ("/sign-out", "/api/v1/stream"):
                body = {"json": {"why": text, "label": text, "note": text}} if method == "POST" else {}
                place = re.sub(r"{\w+}", quote(text, safe=""), path)
                for given in ({}, {"plant": text}, {"cursor": text}):  # REST refuses those that a route does not have
                    answer = client.request(method, place, params=given, **body)  # type: ignore[arg-type]
                    assert answer.status_code < 500 or answer.status_code == 503, (route, answer.text)
        refused = client.post("/sign-in", data={"name": text, "password": text})
        assert refused.status_code == HTTP_FORBIDDEN
    with connect(database) as connection:
        assert counts(connection).coils == 0


def caller(address: str, dsn: str, who: Role | Scope | None) -> httpx.Client:
    """A person of a role, a machine with a key of one scope, or nobody."""
    if isinstance(who, Role):
        token = session_of(dsn, "anna", who)
        with browser(address, token) as first:
            known = {"x-csrf-token": csrf_of(first), "accept": "*/*"}
        client = browser(address, token)
        client.headers.update(known)
        return client
    headers = {} if who is None else bearer(dsn, who)
    return httpx.Client(base_url=address, headers=headers, timeout=120)
