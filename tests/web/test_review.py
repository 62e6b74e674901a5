"""The queue of coils to look at is worked through by keys: an answer brings the next one."""

import pytest
from playwright.sync_api import Page, expect

from console.web import review
from store.connection import Connection
from store.labels import review_queue
from tests.web.conftest import Line, Window
from tests.web.given import texts, words_on


@pytest.fixture
def page(operator: Window) -> Page:
    """The queue."""
    operator.page.goto("/review")
    return operator.page


def marked(page: Page) -> str:
    """The coil on which the reader stands."""
    return page.locator(".card.here a.open").inner_text()


def test_the_queue_is_answered_by_keys_and_the_next_coil_comes(page: Page, line: Line, connection: Connection) -> None:
    queue = texts(page, ".card a.open")
    by_id = {key.coil_id: key for key in line.keys}
    for key in ("j", "j", "j", "k"):
        page.keyboard.press(key)
    assert marked(page) == queue[2]
    page.keyboard.press("n")
    expect(page.get_by_role("status")).to_contain_text(f"Coil {queue[2]}: you said NOK")
    assert words_on(connection, by_id[queue[2]])[-1] == ("mia", "NOK")
    assert marked(page) == queue[3]
    page.keyboard.press("o")
    expect(page.get_by_role("status")).to_contain_text(f"Coil {queue[3]}: you said OK")
    assert words_on(connection, by_id[queue[3]])[-1] == ("mia", "OK")
    assert marked(page) == queue[4]
    assert not {queue[2], queue[3]} & set(texts(page, ".card a.open"))
    page.keyboard.press("u")
    expect(page.get_by_role("status")).to_contain_text(f"Coil {queue[3]}: you said NOK")
    assert words_on(connection, by_id[queue[3]]) == [("mia", "OK"), ("mia", "NOK")]


def test_a_dispute_shows_both_voices_and_is_settled(page: Page, line: Line, connection: Connection) -> None:
    disputed = line.keys[2]
    card = page.locator(".card").first
    assert texts(page, ".card a.open")[0] == disputed.coil_id
    expect(card.get_by_role("list", name="What people said")).to_contain_text("jo OK")
    expect(card.get_by_role("list", name="What people said")).to_contain_text("ada NOK")
    expect(card.get_by_role("list", name="What people said")).to_contain_text("thin at the edge")
    card.get_by_role("button", name="Settle: NOK").click()
    expect(page.get_by_role("status")).to_contain_text(f"Coil {disputed.coil_id}: you said NOK")
    row = connection.execute(
        "select label, disputed, settled from coilflow.coil_labels where coil_id = %s", [disputed.coil_id]
    ).fetchone()
    assert row == {"label": "NOK", "disputed": False, "settled": True}


def test_a_second_look_is_not_told_what_models_and_people_said(page: Page, line: Line) -> None:
    page.get_by_role("link", name="Second pair of eyes").click()
    [card] = page.locator(".card").all()
    assert card.locator("a.open").inner_text() == line.keys[3].coil_id
    said = card.inner_text()
    assert "A second pair of eyes" in said
    assert "NOK from" not in said
    assert "jo" not in said.split()
    assert card.locator(".chip").count() == 0
    page.keyboard.press("Enter")
    expect(page.get_by_text("second pair of eyes")).to_be_visible()


def test_an_empty_queue_says_what_comes_there(operator: Window, connection: Connection, line: Line) -> None:
    connection.execute("delete from coilflow.second_reviews")
    operator.page.goto("/review?why=second")
    expect(operator.page.get_by_text("Nothing waits for you of this kind")).to_be_visible()


@pytest.mark.parametrize("why", ["", "?why=review"])
def test_every_coil_of_the_queue_is_on_one_page_of_it(
    operator: Window, connection: Connection, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr(review, "_CARDS", 2)
    page = operator.page
    page.goto(f"/review{why}")
    shown = [*texts(page, ".card a.open")]
    while page.get_by_role("link", name="More coils").count():
        page.get_by_role("link", name="More coils").focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/review?*cursor=*")
        expect(page.locator(".card a.open").first).not_to_have_text(shown[-2])
        shown += texts(page, ".card a.open")
    asked = [one.key.coil_id for one in review_queue(connection) if not why or one.why == "review"]
    assert shown == asked
    assert len(shown) > 4


def test_who_answers_on_a_later_page_stays_on_it(operator: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review, "_CARDS", 3)
    page = operator.page
    page.goto("/review")
    page.get_by_role("link", name="More coils").click()
    page.wait_for_url("**/review?*cursor=*")
    first, second = texts(page, ".card a.open")[:2]
    page.keyboard.press("n")
    expect(page.get_by_role("status")).to_contain_text(f"Coil {first}: you said NOK")
    assert marked(page) == second
    assert texts(page, ".card a.open")[0] == second
