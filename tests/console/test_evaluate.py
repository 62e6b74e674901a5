"""Promises of `coilflow evaluate`."""

from pathlib import Path
from typing import Any

import pytest

from plant.line import simulate
from plant.settings import GaugeSettings, LineSettings
from plant.tables import write_tables as write_simulated
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


def errors_by(result: dict[str, Any], by: str) -> dict[str, Any]:
    return {row["value"]: row for row in result["errors"] if row["by"] == by}


def test_errors_are_counted_by_band_length_looks_and_reason(
    coilflow: Coilflow, place: Path, labelled: list[Given]
) -> None:
    (result,) = coilflow("evaluate", write_tables(labelled, place / "line"), "--json").objects
    bands = errors_by(result, "band, g/m²")
    assert list(bands) == ["100–120"]
    assert (bands["100–120"]["missed"]["wrong"], bands["100–120"]["missed"]["coils"]) == (1, 4)
    assert (bands["100–120"]["false_alarms"]["wrong"], bands["100–120"]["false_alarms"]["coils"]) == (1, 6)
    assert list(errors_by(result, "length, m")) == ["400–600"]
    looks = errors_by(result, "looks like")
    # Coils at 110 g/m² are within their band throughout.
    assert looks["nowhere out of its band"]["missed"]["wrong"] == 1
    assert sum(row["missed"]["coils"] for row in looks.values()) == 4
    assert errors_by(result, "reason")
    assert not errors_by(result, "defect"), "nobody knows what was done to these coils"


def test_errors_of_simulated_coils_are_counted_by_their_true_defects_and_faults(
    coilflow: Coilflow, place: Path
) -> None:
    coilflow("simulate", "--coils", "40", "--seed", "3", "--out", place / "line")
    (result,) = coilflow("evaluate", place / "line", "--json").objects
    faults = errors_by(result, "gauge")
    assert "calibration" in faults
    assert "nothing" in errors_by(result, "defect")
    [whole] = errors_by(result, "all").values()
    assert whole["missed"]["coils"] + whole["false_alarms"]["coils"] == result["n"]


def test_errors_of_coils_with_a_faulty_sensor_are_counted_by_what_was_found_and_by_what_was_true(
    coilflow: Coilflow, place: Path
) -> None:
    line = LineSettings(gauge=GaugeSettings(dead_share=1.0))
    write_simulated(simulate(6, seed=3, line=line), place / "line")
    (result,) = coilflow("evaluate", place / "line", "--json").objects
    for by in ("reason", "gauge"):
        counted = errors_by(result, by)["gauge dead"]
        assert counted["missed"]["coils"] + counted["false_alarms"]["coils"] == 6


def test_errors_of_grey_coils_say_that_band_and_length_are_not_known(coilflow: Coilflow, place: Path) -> None:
    rows = [grey_row(str(i), label="NOK" if i % 2 else "OK") for i in range(6)]
    (result,) = coilflow("evaluate", write_grey(place / "coils.parquet", rows), "--json").objects
    assert list(errors_by(result, "band, g/m²")) == list(errors_by(result, "length, m")) == ["not known"]


def test_a_truth_that_is_not_ours_is_an_error(coilflow: Coilflow, place: Path, labelled: list[Given]) -> None:
    source = write_tables(labelled, place / "line")
    (source / "truth.csv").write_text("something,else\n1,2\n")
    ran = coilflow("evaluate", source, "--json")
    assert (ran.code, ran.out) == (1, "")
    assert "truth.csv cannot be read" in ran.sentence()


@pytest.mark.parametrize("kind", ["[/x]", "7", ""])
def test_a_true_defect_may_have_any_name(coilflow: Coilflow, place: Path, labelled: list[Given], kind: str) -> None:
    source = write_tables(labelled, place / "line")
    (source / "truth.csv").write_text(f"COILID,ORIGIN,KIND\n6,line,{kind}\n")
    ran = coilflow("evaluate", source)
    assert ran.code == 0, ran.err
    assert kind in ran.out
    (result,) = coilflow("evaluate", source, "--json").objects
    assert errors_by(result, "defect")[kind]["missed"]["coils"] == 1
