"""The console of tests/web, on a database with a story."""

import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from models.ensemble import Ensemble
from schemas.access import Role
from schemas.settings import Settings
from store.databases import create_database, drop_database
from tests.web.conftest import Line
from tests.web.given import session_of, signed_in_page
from tests.web.reliability.given import fill_story


@pytest.fixture(scope="session")
def line_that_ran(
    postgres_server: str, ensemble: Ensemble, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Line]:
    """To be copied."""
    name = f"coilflow_test_{uuid.uuid4().hex[:12]}"
    dsn = create_database(postgres_server, name)
    try:
        yield Line(dsn=name, keys=fill_story(dsn, ensemble, settings, tmp_path_factory.mktemp("ensembles")))
    finally:
        drop_database(postgres_server, name)


@pytest.fixture
def page(browser: Browser, console: str, line: Line) -> Iterator[Page]:
    """A window of the engineer ana, in which nothing may go wrong."""
    with signed_in_page(browser, console, session_of(line.dsn, "ana", Role.ENGINEER)) as (opened, _):
        yield opened
