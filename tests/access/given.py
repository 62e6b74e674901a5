"""People at the console, each with what their browser keeps."""

import re
from datetime import UTC, datetime, timedelta

import httpx

from console.passwords import hash_password
from console.rest.access import SESSION_COOKIE
from schemas.access import Role
from store.connection import connect
from store.sessions import Lifetime, start_session
from store.users import add_user

PASSWORD = "correct horse battery staple"  # noqa: S105 - of a test
LIFETIME = Lifetime(idle=timedelta(hours=8), whole=timedelta(hours=24))


def add_person(dsn: str, name: str, role: Role = Role.ENGINEER) -> None:
    """Who may sign in with PASSWORD."""
    with connect(dsn) as connection:
        add_user(connection, name, role, password_hash=hash_password(PASSWORD), now=datetime.now(UTC))


def session_of(dsn: str, name: str, role: Role, *, began: datetime | None = None) -> str:
    """The token of a new session of a new person, who has no password."""
    began = began or datetime.now(UTC)
    with connect(dsn) as connection:
        user_id = add_user(connection, name, role, password_hash="none", now=began)  # noqa: S106
        token = start_session(connection, user_id, password_hash=None, instead_of=None, lifetime=LIFETIME, now=began)
    assert token is not None
    return token


def browser(address: str, token: str | None = None) -> httpx.Client:
    """What keeps cookies and asks for pages; with a token, of who is signed in."""
    cookies = {} if token is None else {SESSION_COOKIE: token}
    return httpx.Client(base_url=address, cookies=cookies, headers={"accept": "text/html"}, timeout=120)


def csrf_of(client: httpx.Client) -> str:
    """The token of the session's pages."""
    found = re.search(r'<meta name="csrf-token" content="([0-9a-f]*)">', client.get("/docs").text)
    assert found
    return found.group(1)


def sign_in(client: httpx.Client, name: str, password: str = PASSWORD, **more: str) -> httpx.Response:
    """Send the form."""
    return client.post("/sign-in", data={"name": name, "password": password, **more})
