"""Of every page of the reliability team: who may do what, what cannot break it, and that nobody is kept out."""

import re

import pytest
from playwright.sync_api import Browser

from schemas.access import Role
from store.connection import Connection
from store.deadletters import Wanted, list_dead_letters
from store.registered import automation, model_changes
from store.schedules import schedules
from tests.retraining.given import NOON
from tests.web.conftest import Line
from tests.web.given import session_of, signed_in_page, weight_of
from tests.web.reliability.given import HOSTILE, as_somebody, serious, token_of

PAGES = (
    "/models",
    "/models/champion",
    "/models/faces@1",
    "/models/do/rollback",
    "/models/do/promote?version=waiting",
    "/schedule",
    "/schedule/retrain",
    "/schedule/retrain/pause",
    "/data",
    "/data?plant=linz",
    "/data/drift?plant=linz&quantity=below",
    "/data/dead-letters",
    "/data/dead-letters/2",
    "/data/dead-letters/3/replay",
)
WRITES = {
    "/models/do/rollback": {"plant": "", "stands": "successor"},
    "/models/do/promote": {"version": "waiting", "plant": "", "stands": "successor"},
    "/models/do/reject": {"version": "waiting", "plant": "", "stands": "candidate"},
    "/models/do/freeze": {"stands": "False"},
    "/models/do/unfreeze": {"stands": "False"},
    "/schedule/retrain/run": {},
    "/schedule/retrain/pause": {},
    "/schedule/retrain/resume": {},
    "/data/dead-letters/1/replay": {},
    "/data/dead-letters/1/discard": {},
}
NOT_THERE = (
    "/models/nobody",
    "/models/do/promote?version=nobody",
    "/schedule/nobody",
    "/schedule/nobody/pause",
    "/data/drift?plant=nobody&quantity=x",
    "/data/dead-letters/999",
    "/models/%00",
    "/models/do/promote?version=%00",
    "/models/do/promote?version=waiting&plant=%00",
    "/schedule/%00",
    "/data/drift?plant=%00&quantity=%00",
    "/models/'; drop table coilflow.coils; --",
)
_MOST_BYTES = 300_000


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_page(browser: Browser, console: str, line: Line, theme: str) -> None:
    cookies = session_of(line.dsn, "ana", Role.ENGINEER)
    with signed_in_page(browser, console, cookies, dark=theme == "dark") as (page, _):
        for path in PAGES:
            page.goto(path)
            for details in page.locator("main details").all()[:6]:
                details.evaluate("one => { one.open = true }")
            assert (path, serious(page)) == (path, [])


def test_every_page_weighs_less_than_300_kb_with_everything(browser: Browser, console: str, line: Line) -> None:
    with signed_in_page(browser, console, session_of(line.dsn, "ana", Role.ENGINEER)) as (page, _):
        for path in PAGES:
            assert (path, 20_000 < weight_of(page, path) < _MOST_BYTES) == (path, True)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_who_may_only_look_can_neither_ask_nor_do(console: str, line: Line, connection: Connection, role: Role) -> None:
    before = _stands(connection)
    with as_somebody(console, line.dsn, role, name="vi") as vi:
        token = token_of(vi)
        for path, fields in WRITES.items():
            assert (path, vi.get(path).status_code) == (path, 403)
            assert (path, vi.post(path, data=token | fields | {"why": "because"}).status_code) == (path, 403)
    assert _stands(connection) == before


def test_a_write_from_another_page_is_refused(console: str, line: Line, connection: Connection) -> None:
    before = _stands(connection)
    with as_somebody(console, line.dsn, Role.ENGINEER) as ana:
        for path, fields in WRITES.items():
            assert (path, ana.post(path, data=fields | {"why": "because"}).status_code) == (path, 403)
    assert _stands(connection) == before


def test_who_is_not_signed_in_sees_nothing(console: str, line: Line) -> None:
    with as_somebody(console, line.dsn, Role.VIEWER) as client:
        client.cookies.clear()
        for path in PAGES:
            answer = client.get(path)
            assert (path, answer.status_code) == (path, 303)
            assert answer.headers["location"].startswith("/sign-in?next=")


def test_viewers_see_every_page_and_no_way_to_change_anything(browser: Browser, console: str, line: Line) -> None:
    with signed_in_page(browser, console, session_of(line.dsn, "vi", Role.VIEWER)) as (page, _):
        for path in PAGES:
            if "/do/" in path or path.endswith(("/pause", "/replay")):
                continue
            page.goto(path)
            assert page.locator("main form[method=post]").count() == 0
            assert page.locator("main a[href*='/do/'], main a[href$='/pause'], main a[href$='/replay']").count() == 0


def test_pages_hold_what_others_wrote_as_text(console: str, line: Line) -> None:
    with as_somebody(console, line.dsn, Role.ENGINEER) as ana:
        pages = {path: ana.get(path).text for path in PAGES}
    assert sum("document.title=" in text for text in pages.values()) >= 7
    for path, text in pages.items():
        assert HOSTILE not in text
        assert "<img src=x" not in text
        assert not re.search(r"<[^>]+\s(style|on\w+)=", text), path
        assert not re.search(r"<script(?![^>]*\ssrc=)", text), path


def test_what_is_not_there_is_said_so_and_breaks_nothing(console: str, line: Line) -> None:
    with as_somebody(console, line.dsn, Role.ENGINEER) as ana:
        assert {path: ana.get(path).status_code for path in NOT_THERE} == dict.fromkeys(NOT_THERE, 404)
        assert [ana.get(path).status_code for path in ("/data?plant=%00", "/data/dead-letters?step=%00")] == [200, 200]


def _stands(connection: Connection) -> list[object]:
    return [
        len(model_changes(connection)),
        automation(connection).frozen,
        schedules(connection, now=NOON)["retrain"].paused_at,
        [one.state for one in list_dead_letters(connection, Wanted())],
        connection.execute("select count(*) as fires from coilflow.fires").fetchall(),
    ]
