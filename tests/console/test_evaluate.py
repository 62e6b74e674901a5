"""Promises of `coilflow evaluate`."""

from pathlib import Path

import pytest

from tests.console.conftest import Coilflow
from tests.flows.given import Given, coil, fill_plant_database, grey_row, three, write_grey, write_tables

METRICS = ("accuracy", "precision", "recall", "f1", "roc_auc", "mcc")


@pytest.fixture
def labelled() -> list[Given]:
    """Six good coils and four bad, of which one good and one bad are judged wrongly; one has no label."""
    good = [coil(str(i), label="OK") for i in range(5)] + [coil("5", level=70.0, label="OK")]
    bad = [coil(str(i), level=70.0, label="NOK") for i in range(6, 9)] + [coil("9", label="NOK")]
    return [*good, *bad, coil("10")]


def test_metrics_are_those_of_the_confusion_with_intervals(
    coilflow: Coilflow, place: Path, labelled: list[Given]
) -> None:
    ran = coilflow("evaluate", write_tables(labelled, place / "line"), "--json")
    assert (ran.code, ran.err) == (0, "")
    (result,) = ran.objects
    assert result["n"] == 10
    assert result["confusion"] == {"tn": 5, "fp": 1, "fn": 1, "tp": 3}
    assert result["undecided"] == 0
    assert result["accuracy"] == pytest.approx(0.8)
    assert result["precision"] == result["recall"] == pytest.approx(0.75)
    for metric in METRICS:
        low, high = result["ci95"][metric]
        assert low <= result[metric] <= high


def test_a_prevalence_changes_precision_and_leaves_recall(
    coilflow: Coilflow, place: Path, labelled: list[Given]
) -> None:
    source = write_tables(labelled, place / "line")
    (result,) = coilflow("evaluate", source, "--json", "--prevalence", "0.01").objects
    assert result["recall"] == pytest.approx(0.75)
    assert result["precision"] == pytest.approx(0.0075 / (0.0075 + 0.99 / 6), rel=1e-6)


def test_people_get_a_table(coilflow: Coilflow, place: Path, labelled: list[Given]) -> None:
    ran = coilflow("evaluate", write_tables(labelled, place / "line"))
    assert ran.code == 0
    assert "10 labelled coils" in ran.out
    assert "without a label 1" in ran.out


def test_an_undecided_coil_counts_by_its_probability(
    coilflow: Coilflow, place: Path, labelled: list[Given], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COILFLOW_TOLERANCE_PROFILES__default__doubt_margin", "0.12")
    (result,) = coilflow("evaluate", write_tables(labelled, place / "line"), "--json").objects
    assert result["undecided"] == 6
    assert result["confusion"] == {"tn": 5, "fp": 1, "fn": 1, "tp": 3}


def test_grey_levels_with_labels_can_be_evaluated(coilflow: Coilflow, place: Path) -> None:
    rows = [grey_row(str(i), label="NOK" if i % 2 else "OK") for i in range(6)]
    (result,) = coilflow("evaluate", write_grey(place / "coils.parquet", rows), "--json").objects
    assert result["n"] == 6


def test_a_source_without_labels_is_an_error_that_says_where_to_give_them(coilflow: Coilflow, place: Path) -> None:
    ran = coilflow("evaluate", write_tables(three(), place / "line"), "--json")
    assert (ran.code, ran.out) == (1, "")
    assert "has no labelled coil that could be judged; give OK or NOK in CLASSLABEL" in ran.sentence()


@pytest.mark.parametrize("share", ["0", "1", "-1", "nan", "much"])
def test_a_prevalence_that_is_no_share_is_wrong_use(coilflow: Coilflow, place: Path, share: str) -> None:
    ran = coilflow("evaluate", write_tables(three(), place / "line"), "--prevalence", share)
    assert ran.code == 2
    assert ran.sentence()


def test_a_password_is_never_repeated(coilflow: Coilflow, empty_database: str) -> None:
    source = fill_plant_database(three(), empty_database)
    ran = coilflow("evaluate", f"{source}&password=geheim")
    assert ran.code == 1
    assert "geheim" not in ran.err
