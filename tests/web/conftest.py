"""A console with its page on a free port, a database in which a line has run, and Debian's Chromium."""

import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from psycopg import sql
from psycopg.conninfo import make_conninfo

from console.rest.service import running_service
from flows.served import always
from flows.serving import serving_ensemble
from models.ensemble import Ensemble
from processors.decode import decode_message
from schemas.access import Role
from schemas.coils import CoilKey
from schemas.console_settings import ConsoleSettings
from schemas.settings import Settings
from schemas.stream_settings import StreamSettings
from store.connection import Connection, connect, parameters_of
from store.databases import create_database, drop_database
from tests.rest.given import served
from tests.web.given import MOST_MS, Seen, fill, session_of, signed_in_page

CHROMIUM = "COILFLOW_TEST_CHROMIUM"
expect.set_options(timeout=MOST_MS)  # a busy machine proves nothing


@dataclass(frozen=True, kw_only=True)
class Line:
    """A database in which a line has run, and its coils, the oldest first."""

    dsn: str
    keys: tuple[CoilKey, ...]


@dataclass(frozen=True, kw_only=True)
class Window:
    """A page of somebody who is signed in."""

    page: Page
    seen: Seen
    name: str


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Of the console; nothing waits long, and nobody asks too often."""
    return Settings(
        data_dir=tmp_path_factory.mktemp("coilflow"),
        threads=1,
        stream=StreamSettings(settle_s=0.05),
        console=ConsoleSettings(requests_a_minute=1_000_000, anonymous_requests_a_minute=1_000_000),
    )


@pytest.fixture(scope="session")
def ensemble(settings: Settings) -> Ensemble:
    """The shipped one."""
    return serving_ensemble(settings)


@pytest.fixture(scope="session")
def line_that_ran(postgres_server: str, ensemble: Ensemble, settings: Settings) -> Iterator[Line]:
    """To be copied: to judge its coils takes seconds, a copy a tenth of one."""
    name = f"coilflow_test_{uuid.uuid4().hex[:12]}"
    dsn = create_database(postgres_server, name)
    try:
        yield Line(dsn=name, keys=fill(dsn, ensemble, settings))
    finally:
        drop_database(postgres_server, name)


@pytest.fixture
def line(postgres_server: str, line_that_ran: Line) -> Iterator[Line]:
    """A copy for one test."""
    name = f"coilflow_test_{uuid.uuid4().hex[:12]}"
    with connect(postgres_server) as server:
        copy = sql.SQL("create database {} template {}")
        server.execute(copy.format(sql.Identifier(name), sql.Identifier(line_that_ran.dsn)))
    try:
        dsn = make_conninfo("", **{**parameters_of(postgres_server), "dbname": name})
        yield Line(dsn=dsn, keys=line_that_ran.keys)
    finally:
        drop_database(postgres_server, name)


@pytest.fixture
def connection(line: Line) -> Iterator[Connection]:
    """A connection to the line's database."""
    with connect(line.dsn) as opened:
        yield opened


@pytest.fixture
def console(line: Line, ensemble: Ensemble, settings: Settings) -> Iterator[str]:
    """Address of a console on the line's database."""
    with (
        running_service(
            line.dsn, always(ensemble), settings, decode=decode_message, connections=8, wait_s=5.0
        ) as service,
        served(service) as address,
    ):
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium: that of `COILFLOW_TEST_CHROMIUM`, else the one that is installed; without one the test is skipped.

    Of one module, because its event loop lets no other run in this thread.
    """
    found = os.environ.get(CHROMIUM) or shutil.which("chromium")
    if found is None:
        pytest.skip(f"no Chromium: install Debian's `chromium`, or name one by {CHROMIUM}")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=Path(found), args=["--no-sandbox"])
        try:
            yield opened
        finally:
            opened.close()


@pytest.fixture
def operator(browser: Browser, console: str, line: Line) -> Iterator[Window]:
    """A window of the operator mia."""
    with signed_in_page(browser, console, session_of(line.dsn, "mia", Role.OPERATOR)) as (page, seen):
        yield Window(page=page, seen=seen, name="mia")
