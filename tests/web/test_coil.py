"""A coil's page tells all of it, and takes an operator's word by a click or by keys alone."""

import re

import pytest
from playwright.sync_api import Browser, expect

from schemas.access import Role
from schemas.coils import CoilKey
from schemas.verdicts import Label
from store.connection import Connection
from tests.web.conftest import Line, Window
from tests.web.given import labelled, session_of, signed_in_page, texts, warn, words_on


@pytest.fixture
def nok(connection: Connection) -> CoilKey:
    """A coil that the models call NOK, and of which nobody has spoken."""
    return next(key for key in labelled(connection, Label.NOK) if not words_on(connection, key))


def test_a_coil_is_opened_from_the_line_and_called_nok_in_two_clicks_and_undone_by_a_third(
    operator: Window, connection: Connection, nok: CoilKey
) -> None:
    page = operator.page
    page.goto("/")
    page.get_by_role("link", name=nok.coil_id, exact=True).last.click()
    page.get_by_role("button", name="NOK", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("You said NOK")
    assert words_on(connection, nok) == [("mia", "NOK")]
    page.get_by_role("button", name="Undo: I meant OK").click()
    expect(page.get_by_role("status")).to_contain_text("You said OK")
    assert words_on(connection, nok) == [("mia", "NOK"), ("mia", "OK")]
    expect(page.get_by_role("table", name="What people said: OK")).to_contain_text("corrected")


def test_feedback_is_given_by_keys_alone_with_kind_and_place(
    operator: Window, connection: Connection, nok: CoilKey
) -> None:
    page = operator.page
    page.goto(f"/coils/{nok.plant}/{nok.coil_id}")
    for field, keys in (
        ("Kind", "thin_edge"),
        ("Face", "b"),
        ("From, m", "20"),
        ("To, m", "60"),
        ("Note", "no n, no o"),
    ):
        page.get_by_role("group").get_by_label(field).focus()
        page.keyboard.type(keys)
    expect(page.locator('.marks[data-face="bottom"] .drawn')).to_have_count(1)
    expect(page.locator('.marks[data-face="top"] .drawn')).to_have_count(0)
    page.get_by_role("heading", level=1).evaluate("e => document.activeElement.blur()")
    page.keyboard.press("n")
    expect(page.get_by_role("status")).to_contain_text("You said NOK")
    [word] = connection.execute(
        "select label, defect_kind, face, from_m, to_m, note, revision is not null as of_revision"
        " from coilflow.feedback where coil_id = %s",
        [nok.coil_id],
    ).fetchall()
    assert list(word.values()) == ["NOK", "thin_edge", "bottom", 20.0, 60.0, "no n, no o", True]
    expect(page.locator('.marks[data-face="bottom"] .word')).to_have_count(1)


def test_a_place_is_drawn_with_the_mouse(operator: Window, nok: CoilKey) -> None:
    page = operator.page
    page.goto(f"/coils/{nok.plant}/{nok.coil_id}")
    face = page.locator(".heat-map.top")
    length_m = float(page.locator(".heat").get_attribute("data-length-m") or 0)
    box = face.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 60, steps=4)
    page.mouse.up()
    expect(page.get_by_role("combobox", name="Face")).to_have_value("top")
    assert float(page.get_by_label("From, m").input_value()) == pytest.approx(0.5 * length_m, abs=2)
    assert float(page.get_by_label("To, m").input_value()) == pytest.approx(0.75 * length_m, abs=2)
    page.get_by_role("button", name="Clear the place").click()
    expect(page.locator(".drawn")).to_have_count(0)


def test_the_explanation_is_laid_over_the_map_and_taken_away_by_a_key(operator: Window, nok: CoilKey) -> None:
    page = operator.page
    page.goto(f"/coils/{nok.plant}/{nok.coil_id}")
    page.keyboard.press("e")
    expect(page.get_by_role("heading", name="What drove the verdict")).to_be_visible()
    assert page.locator(".marks .for, .marks .against").count() == page.locator(".regions li").count() > 0
    page.keyboard.press("e")
    expect(page.get_by_role("heading", name="What drove the verdict")).to_have_count(0)
    expect(page.locator(".marks .for, .marks .against")).to_have_count(0)


def test_keys_go_to_the_neighbours_but_not_while_somebody_types(operator: Window, nok: CoilKey) -> None:
    page = operator.page
    page.goto(f"/coils/{nok.plant}/{nok.coil_id}")
    page.get_by_label("Note").focus()
    page.keyboard.type("jk on")
    assert page.url.endswith(nok.coil_id)
    page.get_by_role("heading", level=1).evaluate("e => document.activeElement.blur()")
    page.keyboard.press("j")
    page.wait_for_url(re.compile(r"/coils/.*(?<!" + nok.coil_id + ")$"))
    page.keyboard.press("k")
    page.wait_for_url(f"**/{nok.coil_id}")


def test_coils_that_look_alike_and_what_the_map_reads_are_shown(operator: Window, nok: CoilKey) -> None:
    page = operator.page
    page.goto(f"/coils/{nok.plant}/{nok.coil_id}")
    expect(page.locator(".similar li")).to_have_count(6)
    page.locator(".heat-map.bottom").hover()
    expect(page.locator("#readout")).to_have_text(re.compile(r"bottom face, \d+ m, sensor 5: (\d+ g/m²|not measured)"))


def test_it_works_without_javascript(
    browser: Browser, console: str, line: Line, connection: Connection, nok: CoilKey
) -> None:
    cookies = session_of(line.dsn, "mia", Role.OPERATOR)
    with signed_in_page(browser, console, cookies, script=False) as (page, _):
        page.goto(f"/coils/{nok.plant}/{nok.coil_id}")
        page.get_by_role("button", name="OK", exact=True).click()
        expect(page.get_by_role("status")).to_contain_text("You said OK")
        assert words_on(connection, nok) == [("mia", "OK")]


def test_who_looks_on_sees_no_buttons(browser: Browser, console: str, line: Line, nok: CoilKey) -> None:
    with signed_in_page(browser, console, session_of(line.dsn, "vic", Role.VIEWER)) as (page, _):
        page.goto(f"/coils/{nok.plant}/{nok.coil_id}")
        expect(page.get_by_text("Your role looks on")).to_be_visible()
        expect(page.get_by_role("button", name="NOK", exact=True)).to_have_count(0)


def test_a_second_look_shows_neither_verdict_nor_words(operator: Window, line: Line) -> None:
    page, key = operator.page, line.keys[3]
    page.goto(f"/coils/{key.plant}/{key.coil_id}?blind=1")
    expect(page.get_by_text("second pair of eyes")).to_be_visible()
    assert page.locator(".chip").count() == 0
    assert "p(NOK)" not in page.content()
    assert not texts(page, "td")


def test_an_open_coil_that_is_out_of_its_band_says_so(operator: Window, connection: Connection) -> None:
    key = CoilKey(plant="plant-1", coil_id="still-runs")
    warn(connection, key)
    operator.page.goto(f"/coils/{key.plant}/{key.coil_id}")
    expect(operator.page.get_by_role("region", name="Doubts, and what to do")).to_contain_text(
        "Early warning: the coil is out of its band already: top face below 100 g/m² over 42 m, at worst 82 g/m²"
    )
    expect(operator.page.get_by_text("No verdict yet: the coil is open.")).to_be_visible()


def test_a_coil_of_which_people_spoke_says_so_beside_its_verdict_and_asks_no_more(
    operator: Window, line: Line, connection: Connection, nok: CoilKey
) -> None:
    page = operator.page
    doubts = page.get_by_role("region", name="Doubts, and what to do")
    page.goto(f"/coils/{nok.plant}/{nok.coil_id}")
    expect(doubts).to_contain_text("Confirm it, or say that it is OK.")
    expect(doubts).to_contain_text("p(NOK) 0.")
    page.keyboard.press("n")
    expect(page.get_by_role("region", name="Verdict")).to_contain_text("people say NOK")
    expect(doubts).not_to_contain_text("Confirm it")
    page.goto(f"/coils/{line.keys[2].plant}/{line.keys[2].coil_id}")
    expect(page.get_by_role("region", name="Verdict")).to_contain_text("people differ")
    expect(doubts).to_contain_text("People differ")
