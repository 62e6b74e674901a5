"""The page Data: drift, the gauge, people, the balance of coils, and dead letters."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from schemas.access import Role
from schemas.coils import CoilKey
from store.connection import Connection
from store.courses import coil_balance
from store.deadletters import Wanted, dead_letter, list_dead_letters
from store.verdicts import verdict_of
from tests.waiting import wait_until
from tests.web.conftest import Line
from tests.web.reliability.given import PLANT, as_somebody, tab_to


def test_every_coil_is_accounted_for(page: Page, connection: Connection) -> None:
    page.goto("/data")
    told = page.get_by_role("region", name="Every coil accounted for")
    for one in coil_balance(connection):
        row = told.get_by_role("row", name=re.compile(f"^{one.plant}"))
        assert row.locator("td.number").all_inner_texts() == [
            str(one.seen),
            str(one.decided),
            str(one.open),
            str(one.dead_lettered),
        ]
        expect(row).to_contain_text("holds")
        assert one.seen == one.decided + one.open + one.dead_lettered


def test_what_drifted_stands_first_with_its_course_and_bound(page: Page) -> None:
    page.goto(f"/data?plant={PLANT}")
    drift = page.get_by_role("region", name="Drift, quantity by quantity")
    first = drift.get_by_role("row").nth(1)
    expect(first).to_contain_text("Below the band")
    expect(first).to_contain_text("drifted")
    first.get_by_role("link").click()
    chart = page.locator("#psi")
    chart.get_by_text("as a table").click()
    assert chart.locator("tbody tr").count() == 12
    expect(chart.locator("tbody tr").last).to_contain_text("0.55")
    expect(chart.locator(".bound-said")).to_have_text("drifted above 0.25")


def test_the_gauge_is_a_map_of_both_faces(page: Page) -> None:
    page.goto("/data?plant=plant-1")
    sensors = page.get_by_role("region", name="Map of the sensors")
    assert sensors.locator("td").count() == 18
    expect(page.get_by_text("The last 12 coils.")).to_be_visible()
    page.goto(f"/data?plant={PLANT}")
    expect(page.get_by_text("matrices alone tell nothing of it")).to_be_visible()


def test_words_of_people_are_counted_by_day(page: Page, connection: Connection) -> None:
    page.goto("/data")
    page.locator("#feedback").get_by_text("as a table").click()
    counts = page.locator("#feedback tbody td").all_inner_texts()
    [row] = connection.execute("select count(*) as words from coilflow.feedback").fetchall()
    assert sum(map(int, counts)) == row["words"]


def test_a_dead_letter_is_sent_again_and_its_coil_judged(page: Page, connection: Connection) -> None:
    letter = _letter(connection, "77")
    page.goto("/data")
    page.get_by_role("link", name="new dead letters of score").click()
    page.get_by_role("link", name=f"Send dead letter {letter} again").click()
    expect(page.get_by_text(re.compile("coilflow sends \\d+ events to the inbox"))).to_be_visible()
    page.get_by_label("Why").fill("the model is back")
    page.get_by_role("button", name=f"Send dead letter {letter} again").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("replayed|resolved"))
    wait_until(lambda: verdict_of(connection, CoilKey(plant=PLANT, coil_id="77")) is not None)
    found = dead_letter(connection, letter)
    assert found is not None
    assert (found.letter.handled_by, found.letter.handled_why) == ("ana", "the model is back")


def test_a_dead_letter_is_sent_again_by_keyboard_alone(page: Page, connection: Connection) -> None:
    letter = _letter(connection, "77")
    page.goto("/")
    for key in ("g", "d"):
        page.keyboard.press(key)
    page.wait_for_url("**/data")
    for name, place in (
        ("new dead letters of score", "**/dead-letters?*"),
        (f"Send dead letter {letter} again", "**/replay"),
    ):
        tab_to(page, name)
        page.keyboard.press("Enter")
        page.wait_for_url(place)
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Send dead letter {letter} again?")
    tab_to(page, "why")
    page.keyboard.type("the model is back")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("replayed|resolved"))
    wait_until(lambda: verdict_of(connection, CoilKey(plant=PLANT, coil_id="77")) is not None)


def test_a_dead_letter_is_discarded_by_keyboard(page: Page, connection: Connection) -> None:
    letter = _letter(connection, "79")
    page.goto(f"/data/dead-letters/{letter}")
    page.get_by_role("link", name="Discard").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Why").focus()
    page.keyboard.type("a test")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("discarded")
    expect(page.get_by_text("Discarded by ana")).to_be_visible()
    found = dead_letter(connection, letter)
    assert found is not None
    assert found.letter.state == "discarded"


def test_what_cannot_be_sent_says_why_and_stays(console: str, line: Line, connection: Connection) -> None:
    letter = _letter(connection, "79")
    with as_somebody(console, line.dsn, Role.ENGINEER) as ana:
        page = ana.get(f"/data/dead-letters/{letter}").text
        token = page.partition('name="csrf-token" content="')[2].partition('"')[0]
        answer = ana.post(f"/data/dead-letters/{letter}/replay", data={"csrf_token": token, "why": "again"})
    assert answer.status_code == 409
    assert "It cannot be sent" in answer.text
    found = dead_letter(connection, letter)
    assert found is not None
    assert (found.letter.state, found.letter.handled_by) == ("new", None)


def test_bytes_are_shown_in_hexadecimal_and_come_as_they_came(
    page: Page, connection: Connection, tmp_path: Path
) -> None:
    letter = _letter(connection, "79")
    page.goto(f"/data/dead-letters/{letter}")
    expect(page.locator("pre")).to_contain_text("00000010  10 11 12 13")
    with page.expect_download() as begun:
        page.get_by_role("link", name="Download").click()
    begun.value.save_as(tmp_path / "original")
    assert (tmp_path / "original").read_bytes() == bytes(range(256)) * 3


def test_letters_come_page_by_page_and_by_step(page: Page) -> None:
    page.goto("/data/dead-letters")
    page.get_by_label("Step").select_option("decode")
    page.get_by_role("button", name="Show").click()
    rows = page.get_by_role("region", name="Dead letters, the newest first").locator("tbody tr")
    expect(rows).to_have_count(2)


def _letter(connection: Connection, coil_id: str) -> int:
    [found] = list_dead_letters(connection, Wanted(coil_id=coil_id))
    return found.dead_letter_id
