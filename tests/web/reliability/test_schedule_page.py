"""The page Schedule: jobs and their runs, who leads, why and why not; to run, pause and resume."""

import re

from playwright.sync_api import Locator, Page, expect

from store.connection import Connection
from store.schedule import last_fires
from store.schedules import schedules
from tests.retraining.given import NOON, leading
from tests.web.conftest import Line

WHY = "the gauge is being repaired"


def test_a_job_is_paused_with_a_reason_and_resumed(page: Page, connection: Connection) -> None:
    page.goto("/schedule")
    page.get_by_role("link", name="Pause retrain").click()
    page.get_by_label("Why").fill(WHY)
    page.get_by_role("button", name="Pause retrain").click()
    expect(page.locator(".note")).to_contain_text("by ana since")
    expect(page.locator(".note")).to_contain_text(WHY)
    paused = schedules(connection, now=NOON)["retrain"]
    assert (paused.paused_by, paused.paused_why) == ("ana", WHY)
    page.goto("/schedule")
    expect(_row(page, "retrain")).to_contain_text("paused by ana")
    page.get_by_role("link", name="Resume retrain").click()
    page.get_by_label("Why").fill("repaired")
    page.get_by_role("button", name="Resume retrain").click()
    expect(page.get_by_role("link", name="Pause")).to_be_visible()
    assert schedules(connection, now=NOON)["retrain"].paused_at is None


def test_a_run_is_asked_for_by_keyboard_and_waits_for_the_leader(page: Page, connection: Connection) -> None:
    page.goto("/schedule/retrain")
    page.get_by_role("link", name="Run now").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Why").focus()
    page.keyboard.type(WHY)
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Runs", exact=True).get_by_role("row").nth(1)).to_contain_text("due")
    newest = last_fires(connection, "retrain", most=1)[0]
    assert (newest.state, newest.requested_by, newest.why) == ("due", "http", f"{WHY} (ana)")


def test_jobs_show_when_they_run_in_words_and_how_the_last_runs_went(page: Page) -> None:
    page.goto("/schedule")
    row = _row(page, "retrain")
    expect(row).to_contain_text("at 01:00 on Sunday")
    expect(row).to_contain_text("no successor is due")
    expect(row).to_contain_text("1 min 15 s")
    expect(row.get_by_role("img")).to_have_accessible_name(
        "last 3 runs, 1 failed or missed, the longest took 1 min 15 s"
    )
    page.goto("/schedule/retrain")
    runs = page.get_by_role("region", name="Runs", exact=True)
    assert [text.strip() for text in runs.locator("td .state").all_inner_texts()] == [
        "committed",
        "failed",
        "committed",
    ]


def test_why_nothing_was_trained_is_told_with_what_it_rests_on(page: Page) -> None:
    page.goto("/schedule/retrain")
    decisions = page.get_by_role("region", name="Decisions of retrain")
    expect(decisions).to_contain_text("agreement 95.0% over the window, within the bound 75.0%")
    decisions.get_by_text("What it rests on").click()
    expect(decisions.locator("pre")).to_contain_text('"labelled": 160')


def test_who_leads_is_told_and_that_nobody_does(page: Page, line: Line) -> None:
    page.goto("/schedule")
    expect(page.locator(".note").first).to_contain_text("No scheduler leads")
    with leading(line.dsn):
        page.reload()
        expect(page.locator(".note").first).to_contain_text(re.compile(r"given leads since .* \(epoch 2\)"))


def test_open_alarms_are_told_with_what_to_do(page: Page) -> None:
    page.goto("/schedule")
    expect(page.get_by_role("region", name="Open alarms")).to_contain_text("look at")


def _row(page: Page, job: str) -> Locator:
    return page.get_by_role("region", name="Jobs", exact=True).get_by_role("row", name=re.compile(f"^{job}"))
