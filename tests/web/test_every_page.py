"""What holds on each page: people with little sight, slow lines and no network get along, in light and in dark."""

from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from schemas.access import Role
from schemas.verdicts import Label
from store.connection import Connection
from store.labels import list_labels
from tests.web.conftest import Line, Window
from tests.web.given import labelled, session_of, signed_in_page, weight_of

MOST_BYTES = 300_000
_SERIOUS = {"serious", "critical"}

PAGES = ("line", "coil", "explained", "disputed", "blind", "review", "problem")


def place_of(name: str, connection: Connection) -> str:
    """Where a page is."""
    key = labelled(connection, Label.NOK)[0]
    coil = f"/coils/{key.plant}/{key.coil_id}"
    if name == "disputed":
        [found] = list_labels(connection, disputed=True)
        return f"/coils/{found.key.plant}/{found.key.coil_id}"
    places = {"line": "/", "review": "/review", "problem": "/coils/plant-1/never-seen"}
    return {**places, "coil": coil, "explained": f"{coil}?explain=1", "blind": f"{coil}?blind=1"}[name]


def faults_of(page: Page) -> list[str]:
    """What axe-core finds that keeps people out."""
    page.evaluate((files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8"))
    found: dict[str, Any] = page.evaluate("axe.run()")
    return [
        f"{one['id']}: {node['html']}: {node.get('failureSummary')}"
        for one in found["violations"]
        if one["impact"] in _SERIOUS
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(
    browser: Browser, console: str, line: Line, connection: Connection, name: str, *, dark: bool
) -> None:
    place = place_of(name, connection)
    with signed_in_page(browser, console, session_of(line.dsn, "mia", Role.ENGINEER), dark=dark) as (page, seen):
        page.goto(place)
        page.wait_for_load_state("load")
        assert faults_of(page) == []
        if name == "problem":
            seen.faults.clear()  # it is a 404


@pytest.mark.parametrize("name", ["line", "coil", "explained", "blind", "review"])
def test_a_page_weighs_less_than_300_kb_with_everything(operator: Window, connection: Connection, name: str) -> None:
    assert 20_000 < weight_of(operator.page, place_of(name, connection)) < MOST_BYTES


def test_the_theme_is_chosen_kept_and_given_back(operator: Window) -> None:
    page = operator.page
    page.goto("/review")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark").click()
    page.wait_for_url("**/review")
    dark = page.evaluate(ground)
    assert dark != light
    page.goto("/")
    assert page.evaluate(ground) == dark
    assert "dark=1" in (page.locator(".strip img").first.get_attribute("src") or "")
    expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Auto").click()
    expect(page.get_by_role("button", name="Auto")).to_have_attribute("aria-pressed", "true")
    assert page.evaluate(ground) == light


def test_keys_lead_from_page_to_page(operator: Window) -> None:
    page = operator.page
    page.goto("/")
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_url("**/review")
    page.keyboard.press("g")
    page.keyboard.press("l")
    page.wait_for_url("**/")


def test_the_skip_link_leads_past_the_bar(operator: Window) -> None:
    page = operator.page
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_who_is_not_signed_in_is_led_to_where_he_can(browser: Browser, console: str, *, dark: bool) -> None:
    with signed_in_page(browser, console, {}, dark=dark) as (page, seen):
        page.goto("/review")
        page.wait_for_url("**/sign-in?next=*")
        assert faults_of(page) == []
        seen.faults.clear()
