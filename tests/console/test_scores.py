"""Promises of `coilflow models scores` and `models drift`: what is known is shown with intervals, else that is said."""

from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest

from flows.score_models import score_models
from schemas.settings import Settings
from store.connection import connect
from store.drift import DriftCheck, store_drift_check
from tests.console.conftest import Coilflow
from tests.scores.given import NOON, decide, decided, say

HOUR = timedelta(hours=1)


@pytest.fixture
def database(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A migrated database, which the settings name."""
    monkeypatch.setenv("COILFLOW_DATABASE_DSN", database)
    return database


@pytest.fixture
def scored(database: str) -> str:
    """Twenty alarms, of which one is false, and a drawn coil: scored after the tenth label, and after all."""
    with connect(database) as connection:
        decide(
            connection, *(decided(str(number), 0.9) for number in range(20)), decided("drawn", drawn=0.1, asked=True)
        )
        for number in range(20):
            say(connection, str(number), "OK" if number == 19 else "NOK")
            if number == 9:
                score_models(connection, Settings(), NOON + HOUR)
        say(connection, "drawn", "NOK")
        score_models(connection, Settings(), NOON + 2 * HOUR)
    return database


def test_scores_stand_beside_their_weighted_ones_with_intervals(coilflow: Coilflow, scored: str) -> None:
    ran = coilflow("models", "scores", "e1", "--json")
    [one] = ran.objects
    assert (ran.code, one["kind"], one["model"], one["version"], one["role"]) == (0, "ensemble", None, "e1", "champion")
    assert (one["slice_kind"], one["slice"], one["assessed"], one["evaluated"]) == ("all", None, 21, 21)
    assert (one["tp"], one["fp"], one["fn"], one["tn"]) == (19, 1, 1, 0)
    assert one["plain"]["recall"]["value"] == pytest.approx(0.95)
    recall = one["weighted"]["recall"]
    assert recall["low"] < recall["value"] < 0.7  # the missed one stands for ten
    assert recall["value"] < recall["high"]
    assert [stratum["answered"] for stratum in one["weighted"]["strata"]] == [20, 1]
    shown = coilflow("models", "scores", "e1").out
    assert "95.0 [" in shown
    assert f"{100 * recall['value']:.1f} [" in shown
    assert {(row["kind"], row["version"]) for row in coilflow("models", "scores", "--json").objects} == {
        ("ensemble", "e1"),
        ("member", "1.0"),
        ("member", "2.0"),
    }


def test_scores_are_told_by_slice_and_as_they_changed(coilflow: Coilflow, scored: str) -> None:
    [band] = coilflow("models", "scores", "e1", "--by", "band", "--json").objects
    assert (band["slice_kind"], band["slice"], band["evaluated"]) == ("band", "100–120", 21)
    history = coilflow("models", "scores", "1.0", "--history", "--json").objects
    assert [(row["model"], row["evaluated"]) for row in history] == [("cnn1d", 21), ("cnn1d", 10)]
    assert len(coilflow("models", "scores", "1.0", "--history", "--most", "1", "--json").objects) == 1
    assert "10 labelled" in coilflow("models", "scores", "1.0", "--history").out
    ran = coilflow("models", "scores", "e9")
    assert (ran.code, ran.out.startswith("no score of e9: the job `score` reckons them")) == (1, True)
    assert coilflow("models", "scores", "e1", "--by", "colour").code == 2


def test_the_last_drift_check_of_each_plant_is_told_figure_by_figure(coilflow: Coilflow, database: str) -> None:
    ran = coilflow("models", "drift")
    assert (ran.code, ran.out.startswith("no drift check yet")) == (1, True)
    figures = {
        "std": {"psi": 0.1, "at_least": 0.25, "mean": 0.2, "reference_mean": 0.21, "coils": 500},
        "mean_top": {"psi": 0.4, "at_least": 0.25, "mean": 0.3, "reference_mean": 0.11, "coils": 500},
    }
    with connect(database) as connection:
        for plant, hours, sentence in (("linz", 0, "before"), ("linz", 1, "it differs"), ("graz", 1, "too few")):
            check = DriftCheck(
                checked_at=datetime(2026, 11, 20, hours, tzinfo=UTC),
                plant=plant,
                ensemble_version="e1",
                coils=500,
                drifted=sentence == "it differs",
                sentence=sentence,
                figures=figures if plant == "linz" else {},
            )
            store_drift_check(connection, check)
    graz, linz = coilflow("models", "drift", "--json").objects
    assert (graz["plant"], graz["figures"], linz["plant"], linz["drifted"]) == ("graz", {}, "linz", True)
    assert linz["figures"]["mean_top"] == {**figures["mean_top"], "drifted": True}
    assert not linz["figures"]["std"]["drifted"]
    shown = coilflow("models", "drift", "--plant", "linz").out
    assert shown.index("mean_top") < shown.index("std")  # the one that drifted first
    assert all(text in shown for text in ("0.40", "0.25", "0.11", "it differs"))
    assert "too few" not in shown


@pytest.mark.skipif(find_spec("evidently") is not None, reason="of an environment without evidently; see test_wheel")
def test_a_page_without_evidently_is_refused_with_the_remedy(coilflow: Coilflow, database: str, tmp_path: Path) -> None:
    ran = coilflow("models", "drift", "--html", str(tmp_path / "drift.html"))
    assert ran.code == 2
    assert ran.sentence() == (
        "error: a drift report needs evidently, which is not installed; "
        "pip install 'coilflow[drift]' into an environment of its own: it needs pandas below 3"
    )
