"""What an operator says of a coil by the page is in the score that the page shows next."""

from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from flows.score_models import score_models
from models.ensemble import Ensemble
from schemas.access import Role
from schemas.scores import ALL
from schemas.settings import Settings
from store.connection import Connection
from store.scores import ModelScore, latest_scores
from tests.web.conftest import Line
from tests.web.given import session_of, signed_in_page, words_on


def score(connection: Connection, settings: Settings) -> ModelScore:
    """What the job `score` comes to now, of the ensemble that serves."""
    score_models(connection, settings, datetime.now(UTC))
    [found] = [one for one in latest_scores(connection) if one.subject.kind == "ensemble" and one.slice == ALL]
    return found


def told(page: Page) -> Locator:
    """What the page says of the ensemble."""
    return page.get_by_role("region", name="Versions").get_by_role("row").nth(1)


@pytest.mark.parametrize("by_keys", [False, True], ids=["mouse", "keyboard"])
def test_a_word_on_the_newest_coil_changes_the_score(
    browser: Browser,
    console: str,
    line: Line,
    ensemble: Ensemble,
    connection: Connection,
    settings: Settings,
    *,
    by_keys: bool,
) -> None:
    before = score(connection, settings).score
    newest = line.keys[-1]
    with signed_in_page(browser, console, session_of(line.dsn, "mia", Role.OPERATOR)) as (page, _):
        page.goto("/models")
        expect(told(page).get_by_role("cell").nth(5)).to_have_text(str(before.evaluated))
        if by_keys:
            for key in ("g", "l"):
                page.keyboard.press(key)
            expect(page.locator("#pulse")).to_have_text("live")
            for key in ("j", "Enter"):
                page.keyboard.press(key)
            page.wait_for_url(f"**/{newest.coil_id}")
            page.keyboard.press("n")
        else:
            page.get_by_role("link", name="Line").click()
            page.get_by_role("link", name=newest.coil_id, exact=True).first.click()
            page.get_by_role("button", name="NOK", exact=True).click()
        expect(page.get_by_role("status")).to_contain_text("You said NOK")
        assert words_on(connection, newest) == [("mia", "NOK")]
        after = score(connection, settings).score
        if by_keys:
            for key in ("g", "m"):
                page.keyboard.press(key)
        else:
            page.get_by_role("link", name="Models").click()
        expect(told(page).get_by_role("cell").nth(5)).to_have_text(str(before.evaluated + 1))
        assert after.rates.agreement != before.rates.agreement
        assert after.rates.agreement.value is not None
        expect(told(page)).to_contain_text(f"{100 * after.rates.agreement.value:.1f} %")
