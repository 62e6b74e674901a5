"""The line's page shows coils as they come, and never moves under somebody who reads."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, Route, expect

from models.ensemble import Ensemble
from schemas.coils import CoilKey
from schemas.settings import Settings
from schemas.verdicts import Label
from store.changes import prune_changes
from store.connection import Connection
from tests.web.conftest import Line, Window
from tests.web.given import labelled, run_line, texts, warn

STREAM = "**/api/v1/stream*"
LOST = "not connected: tries again"
AT_ONCE_MS = 40_000  # sooner than a page looks anew by itself
MOST_CONNECTIONS = 6  # that a browser opens to one host


@pytest.fixture
def page(operator: Window) -> Page:
    """The line, open and connected."""
    operator.page.goto("/")
    expect(operator.page.locator("#pulse")).to_have_text("live")
    return operator.page


def come(line: Line, ensemble: Ensemble, settings: Settings) -> CoilKey:
    """More coils come; the newest of them."""
    return run_line(line.dsn, ensemble, settings, coils=2, seed=99, every=timedelta(seconds=1))[-1]


def test_coils_arrive_by_themselves_and_are_told(
    page: Page, line: Line, ensemble: Ensemble, settings: Settings
) -> None:
    before = texts(page, "#rows a.open")
    newest = come(line, ensemble, settings)
    expect(page.locator("#rows a.open").first).to_have_text(newest.coil_id)
    expect(page.locator("#newest .newest-id")).to_have_text(newest.coil_id)
    expect(page.locator("#summary")).to_have_text(re.compile(rf"Coil {newest.coil_id}: (OK|NOK|UNDECIDED)"))
    assert texts(page, "#rows a.open")[2:] == before[: len(before) - 2]


def test_a_paused_list_stays_as_it_is_until_it_goes_on(
    page: Page, line: Line, ensemble: Ensemble, settings: Settings
) -> None:
    before = texts(page, "#rows a.open")
    page.keyboard.press("p")
    newest = come(line, ensemble, settings)
    expect(page.get_by_role("button", name="2 new coils: show them")).to_be_visible()
    assert texts(page, "#rows a.open") == before
    page.keyboard.press("p")
    expect(page.locator("#rows a.open").first).to_have_text(newest.coil_id)


def test_a_list_in_which_somebody_stands_stays_as_it_is_until_it_is_asked_for_more(
    page: Page, line: Line, ensemble: Ensemble, settings: Settings
) -> None:
    page.keyboard.press("j")
    page.keyboard.press("j")
    before = texts(page, "#rows a.open")
    newest = come(line, ensemble, settings)
    button = page.get_by_role("button", name="2 new coils: show them")
    expect(button).to_be_visible()
    assert texts(page, "#rows a.open") == before
    assert texts(page, "#rows .here a.open") == [before[1]]
    button.click()
    expect(page.locator("#rows a.open").first).to_have_text(newest.coil_id)
    page.keyboard.press("j")
    page.keyboard.press("Escape")
    expect(page.locator("#rows .here")).to_have_count(0)


def test_a_coil_is_opened_by_keys_alone(page: Page) -> None:
    second = texts(page, "#rows a.open")[1]
    for key in ("j", "j", "j", "k", "Enter"):
        page.keyboard.press(key)
    expect(page).to_have_url(re.compile(rf"/coils/plant-1/{second}$"))


def test_letters_can_be_turned_off(page: Page) -> None:
    page.keyboard.press("?")
    page.get_by_label("Letters act as keys").uncheck()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("j")
    assert page.locator("#rows .here").count() == 0
    page.reload()
    page.keyboard.press("j")
    assert page.locator("#rows .here").count() == 0


def test_filters_show_what_they_say_and_pages_follow_each_other(page: Page, line: Line, connection: Connection) -> None:
    page.get_by_label("Label").select_option("NOK")
    page.get_by_role("button", name="Show", exact=True).click()
    assert texts(page, "#rows a.open") == [key.coil_id for key in labelled(connection, Label.NOK)]
    page.get_by_role("link", name="Clear").click()
    first = texts(page, "#rows a.open")
    page.get_by_role("link", name="Older coils").click()
    assert [*first, *texts(page, "#rows a.open")] == [key.coil_id for key in reversed(line.keys)]
    page.get_by_label("Coil begins with").fill(first[0])
    page.get_by_label("Coil begins with").press("Enter")
    assert texts(page, "#rows a.open") == [first[0]]


def test_an_open_coil_that_is_out_of_its_band_is_warned_of(page: Page, connection: Connection) -> None:
    warn(connection, CoilKey(plant="plant-1", coil_id="still-runs"))
    expect(page.locator("#warned")).to_contain_text(
        "still-runs still runs: top face below 100 g/m² over 42 m, at worst 82 g/m²"
    )


def test_the_shift_is_counted(page: Page, connection: Connection) -> None:
    counted = connection.execute(
        "select count(*) from coilflow.verdicts where decided_at > (select max(decided_at) from coilflow.verdicts)"
        " - interval '8 hours' group by label"
    ).fetchall()
    assert sum(int(text) for text in texts(page, "#shift dd")[:3]) == sum(row["count"] for row in counted)


def test_a_coil_that_comes_between_the_page_and_its_stream_is_not_missed(
    operator: Window, line: Line, ensemble: Ensemble, settings: Settings
) -> None:
    page = operator.page
    came: list[CoilKey] = []

    def late(route: Route) -> None:
        if not came:
            came.append(come(line, ensemble, settings))
        route.continue_()

    page.route(STREAM, late)
    page.goto("/")
    expect(page.locator("#pulse")).to_have_text("live")
    expect(page.locator("#rows a.open").first).to_have_text(came[0].coil_id, timeout=AT_ONCE_MS)


def test_the_page_says_when_it_is_not_connected(operator: Window) -> None:
    page = operator.page
    page.route(STREAM, lambda route: route.abort())
    page.goto("/")
    expect(page.locator("#pulse")).to_have_text(LOST)
    page.keyboard.press("p")
    expect(page.locator("#pulse")).to_have_text(LOST)
    page.keyboard.press("p")
    page.unroute(STREAM)
    expect(page.locator("#pulse")).to_have_text("live")
    operator.seen.faults.clear()  # the browser complains of what was taken from it here


def test_after_a_broken_connection_the_page_says_so_and_catches_up(
    operator: Window, page: Page, line: Line, ensemble: Ensemble, settings: Settings
) -> None:
    page.context.set_offline(offline=True)
    expect(page.locator("#pulse")).to_have_text(LOST)
    newest = come(line, ensemble, settings)
    page.context.set_offline(offline=False)
    expect(page.locator("#pulse")).to_have_text("live")
    expect(page.locator("#rows a.open").first).to_have_text(newest.coil_id)
    operator.seen.faults.clear()


def test_a_stream_that_stays_open_over_a_database_that_is_away_is_not_called_live(operator: Window) -> None:
    page = operator.page
    page.clock.install()
    page.goto("/")
    expect(page.locator("#pulse")).to_have_text("live")
    page.route("**/", lambda route: route.fulfill(status=503))
    page.clock.run_for(61_000)
    expect(page.locator("#pulse")).to_have_text(LOST)
    page.unroute("**/")
    page.clock.run_for(6_000)
    expect(page.locator("#pulse")).to_have_text("live")
    operator.seen.faults.clear()


def test_what_broke_off_and_is_not_known_any_more_is_read_anew(
    operator: Window, line: Line, connection: Connection, ensemble: Ensemble, settings: Settings
) -> None:
    page = operator.page
    came: list[CoilKey] = []

    def late(route: Route) -> None:
        if not came:
            came.append(come(line, ensemble, settings))
            prune_changes(connection, before=datetime.now(UTC) + timedelta(days=1), rows=1_000_000)
        route.continue_()

    page.route(STREAM, late)
    page.goto("/")
    expect(page.locator("#pulse")).to_have_text("live")
    expect(page.locator("#rows a.open").first).to_have_text(came[0].coil_id, timeout=AT_ONCE_MS)


def test_tabs_that_nobody_sees_leave_the_others_their_connections_and_catch_up_when_they_are_seen(
    operator: Window, line: Line, ensemble: Ensemble, settings: Settings
) -> None:
    tabs = [operator.page.context.new_page() for _ in range(MOST_CONNECTIONS + 1)]
    for tab in tabs:
        tab.goto("/")
        expect(tab.locator("#pulse")).to_have_text("live")
        see(tab, seen=False)
    newest = come(line, ensemble, settings)
    operator.page.goto("/")
    expect(operator.page.locator("#pulse")).to_have_text("live")
    assert texts(tabs[0], "#rows a.open")[0] != newest.coil_id
    see(tabs[0], seen=True)
    expect(tabs[0].locator("#rows a.open").first).to_have_text(newest.coil_id)
    expect(tabs[0].locator("#pulse")).to_have_text("live")


def see(tab: Page, *, seen: bool) -> None:
    """Bring a tab to the front, or another before it."""
    tab.evaluate(
        "hidden => { Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        not seen,
    )
