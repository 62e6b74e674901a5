"""The page Models: what serves, how good it is, and how that is changed."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from schemas.access import Role
from schemas.scores import ALL
from schemas.settings import Settings
from store.connection import Connection
from store.registered import automation, model_changes, serving
from store.scores import latest_scores
from tests.registry.given import states
from tests.web.conftest import Line
from tests.web.given import session_of, signed_in_page, texts
from tests.web.reliability.given import as_somebody, tab_to, token_of

WHY = "it calls good coils NOK since the maintenance"
ROLLBACK = "/models/do/rollback"
_TRIAL_MS = 60_000  # of a process of its own that tries an ensemble, on a busy machine
STANDS = {"plant": "", "stands": "successor", "why": WHY}


def test_what_serves_and_every_version_with_its_score_are_told(page: Page, connection: Connection) -> None:
    page.goto("/models")
    row = page.get_by_role("region", name="What serves where").get_by_role("row").nth(1)
    expect(row).to_contain_text("every plant")
    expect(row).to_contain_text("successor")
    [score] = [
        one.score
        for one in latest_scores(connection)
        if (one.subject.version, one.subject.role, one.slice) == ("champion", "champion", ALL)
    ]
    told = page.get_by_role("region", name="Versions").get_by_role("row", name=re.compile("^champion retired"))
    assert score.rates.agreement.value is not None
    expect(told).to_contain_text(f"{100 * score.rates.agreement.value:.1f} %")
    expect(told).to_contain_text(str(score.evaluated))
    assert texts(page, ".descent > ul > li > a") == ["champion"]
    assert texts(page, ".descent > ul > li > ul > li > a") == ["successor"]


def test_a_chart_shows_the_figures_of_the_store_and_tells_what_was_changed_meanwhile(
    page: Page, connection: Connection
) -> None:
    page.goto("/models")
    chart = page.locator("#score-agreement-labelled")
    chart.get_by_text("as a table").click()
    first = chart.locator("tbody tr").first.locator("th, td").all_inner_texts()
    rows = connection.execute(
        "select computed_at, plain -> 'agreement' as figure, tp + fp + fn + tn as coils from coilflow.model_scores"
        " where kind = 'ensemble' and slice_kind = 'all' and version = 'champion' order by score_id"
    ).fetchall()
    assert first[0] == "champion"
    assert first[2:] == [*(f"{100 * value:.3g} %" for value in rows[0]["figure"]), f"{rows[0]['coils']:.0f}"]
    expect(chart.get_by_role("img")).to_have_accessible_name(re.compile("Agreement, labelled coils"))
    assert chart.locator(".flag").count() == 1
    expect(page.locator(".marks").first).to_contain_text("successor promoted for every plant, by promotion: better: F1")


def test_a_model_is_rolled_back_by_mouse(page: Page, connection: Connection) -> None:
    page.goto("/models")
    page.get_by_role("link", name="Roll back every plant").click()
    expect(page.get_by_text("champion gives the verdicts of every plant again")).to_be_visible()
    page.get_by_label("Why").fill(WHY)
    page.get_by_role("button", name="Roll back every plant").click()
    expect(page.get_by_role("status")).to_contain_text(
        f"champion promoted for every plant, by ana: {WHY}", timeout=_TRIAL_MS
    )
    assert serving(connection)[""].champion == "champion"
    assert states(connection, "champion", "successor") == {"champion": "champion", "successor": "rejected"}
    gone = [one for one in model_changes(connection) if one.change == "rolled_back"]
    assert [(one.ensemble_version, one.who, one.why) for one in gone] == [("successor", "ana", WHY)]


def test_a_model_is_rolled_back_by_keyboard_alone(page: Page, connection: Connection) -> None:
    page.goto("/models")
    tab_to(page, "Roll back every plant")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Roll back every plant?")
    tab_to(page, "why")
    page.keyboard.type(WHY)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("champion promoted", timeout=_TRIAL_MS)
    assert serving(connection)[""].champion == "champion"


def test_a_model_is_rolled_back_without_scripts(
    browser: Browser, console: str, line: Line, connection: Connection
) -> None:
    cookies = session_of(line.dsn, "ana", Role.ENGINEER)
    with signed_in_page(browser, console, cookies, script=False) as (page, _):
        page.goto("/models/do/rollback")
        page.get_by_label("Why").fill(WHY)
        page.get_by_role("button", name="Roll back every plant").click()
        page.get_by_role("status").wait_for(timeout=_TRIAL_MS)
    assert serving(connection)[""].champion == "champion"


def test_what_a_person_did_not_see_is_not_done(console: str, line: Line, connection: Connection) -> None:
    with as_somebody(console, line.dsn, Role.ENGINEER) as ana:
        sent = token_of(ana) | STANDS
        assert ana.post(ROLLBACK, data=sent).status_code == 303
        again = ana.post(ROLLBACK, data=sent)
    assert again.status_code == 409
    assert serving(connection)[""].champion == "champion"
    assert len([one for one in model_changes(connection) if one.change == "rolled_back"]) == 1


@pytest.mark.parametrize("why", ["", "   ", "x" * 501, "nul \x00"])
def test_nothing_is_changed_without_a_reason_that_can_be_kept(
    console: str, line: Line, connection: Connection, why: str
) -> None:
    with as_somebody(console, line.dsn, Role.ENGINEER) as ana:
        answer = ana.post(ROLLBACK, data=token_of(ana) | STANDS | {"why": why})
    assert answer.status_code == 422
    assert serving(connection)[""].champion == "successor"


def test_a_candidate_whose_files_are_damaged_is_refused_with_the_remedy(
    console: str, line: Line, connection: Connection, settings: Settings
) -> None:
    graph = next((settings.data_dir / "ensembles" / "waiting").rglob("model.onnx"))
    whole = graph.read_bytes()
    _damage(graph, whole)
    try:
        with as_somebody(console, line.dsn, Role.ENGINEER) as ana:
            sent = token_of(ana) | {"version": "waiting", "plant": "", "stands": "successor", "why": WHY}
            answer = ana.post("/models/do/promote", data=sent)
    finally:
        graph.write_bytes(whole)
    assert answer.status_code == 409
    assert 'role="alert"' in answer.text
    assert serving(connection)[""].champion == "successor"


def test_a_candidate_is_promoted_and_another_rejected(console: str, line: Line, connection: Connection) -> None:
    with as_somebody(console, line.dsn, Role.ENGINEER) as ana:
        sent = token_of(ana) | {"version": "waiting", "plant": "linz", "stands": "successor", "why": WHY}
        assert ana.post("/models/do/promote", data=sent).headers["location"].startswith("/models?change=")
    assert (serving(connection)["linz"].champion, serving(connection)[""].champion) == ("waiting", "successor")


def test_a_candidate_is_given_up(page: Page, connection: Connection) -> None:
    page.goto("/models/waiting")
    page.get_by_role("link", name="Reject").click()
    page.get_by_label("Why").fill(WHY)
    page.get_by_role("button", name="Reject waiting").click()
    expect(page.get_by_role("status")).to_contain_text("waiting rejected")
    assert states(connection, "waiting") == {"waiting": "rejected"}


def test_automatic_change_is_frozen_and_let_go_on(page: Page, connection: Connection) -> None:
    page.goto("/models")
    page.get_by_role("link", name="Freeze automatic change").click()
    page.get_by_label("Why").fill(WHY)
    page.get_by_role("button", name="Freeze automatic change").click()
    expect(page.get_by_text(f"by ana: {WHY}. People may still change what serves.")).to_be_visible()
    assert automation(connection).frozen
    page.get_by_role("link", name="Let automatic change go on").click()
    page.get_by_label("Why").fill("done")
    page.get_by_role("button", name="Let automatic change go on").click()
    expect(page.get_by_role("status")).to_contain_text("automatic change goes on")
    assert not automation(connection).frozen


def test_the_page_of_a_version_tells_its_members_and_its_whole_history(page: Page) -> None:
    page.goto("/models/champion")
    votes = page.get_by_role("region", name="Votes", exact=True)
    expect(votes).to_contain_text("faces")
    changes = page.get_by_role("region", name="Changes", exact=True)
    for word in ("registered", "promoted", "retired"):
        expect(changes).to_contain_text(word)
    expect(page.get_by_role("region", name="Where it ran")).to_contain_text("120")
    page.goto("/models/faces@1")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Model faces 1")


def _damage(graph: Path, whole: bytes) -> None:
    graph.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
