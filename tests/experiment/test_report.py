"""Promises of an experiment's report."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from flows.experiment.plots import names_of
from flows.experiment.report import FIGURES, MARKDOWN, PAGE, markdown, write_report
from flows.experiment.run import Prepared, prepare, results_of
from flows.experiment.summary import Summary, summarise
from tests.experiment.tiny import PLANT, spec_of

ALL_OF_A_FOLD = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Reported:
    """A report and what it is of."""

    of: Prepared
    summary: Summary
    folder: Path
    text: str


def _reported(tiny: Prepared, out: Path) -> Reported:
    summary, found = summarise(tiny, results_of(tiny), command="coilflow experiment tiny.yaml")
    return Reported(of=tiny, summary=summary, folder=out, text=write_report(out, tiny, summary, found).read_text())


@pytest.fixture(scope="module")
def report(done: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """Of the tiny experiment, with a learning curve whose one point is all coils of a fold: nothing is trained."""
    return _reported(_with_curve(done), tmp_path_factory.mktemp("report"))


def _with_curve(done: Prepared, **changes: object) -> Prepared:
    return prepare(spec_of(learning_curve=[ALL_OF_A_FOLD], **changes), done.folder, PLANT)


def test_a_report_holds_every_figure_of_the_results(report: Reported) -> None:
    summary, text = report.summary, report.text
    for by_subject in summary.figures.values():
        assert set(by_subject) == set(report.of.spec.subjects())
        for figures in by_subject.values():
            for figure in figures.of.values():
                if figure.value is not None and figure.ci95 is not None:
                    assert f"{figure.value:.3f} [{figure.ci95[0]:.3f}, {figure.ci95[1]:.3f}]" in text or (
                        f"{figure.value:.2f} [{figure.ci95[0]:.2f}, {figure.ci95[1]:.2f}]" in text
                    )
    for test in summary.tests:
        assert f"{test.difference:+.3f}" in text
    for run in report.of.runs:
        assert f"`{run.id}`" in text
    assert json.loads((report.folder / FIGURES).read_text())["done"] == len(report.of.runs)


def test_a_report_says_where_the_best_model_goes_wrong_and_its_data_where_all_do(report: Reported) -> None:
    told = json.loads((report.folder / FIGURES).read_text())["errors"]
    assert {judging: set(by_subject) for judging, by_subject in told.items()} == {
        judging: set(by_subject) for judging, by_subject in report.summary.figures.items()
    }
    for judging, by_subject in told.items():
        for name, rows in by_subject.items():
            whole, figures = rows[0], report.summary.figures[judging][name]
            assert whole["by"] == "all"
            assert whole["missed"]["wrong"] == pytest.approx(figures.confusion["fn"])
            assert whole["false_alarms"]["wrong"] == pytest.approx(figures.confusion["fp"])
            bands = [row["missed"] for row in rows if row["by"] == "band, g/m²"]
            assert sum(band["coils"] for band in bands) == whole["missed"]["coils"], "each coil has one band"
    assert report.text.count("| by |") == len(told)
    assert "goes wrong, which has the best F1 here" in report.text


def test_a_report_says_how_it_came_about_and_names_no_place_of_this_machine(report: Reported) -> None:
    summary, text, done = report.summary, report.text, report.of
    assert "coilflow experiment tiny.yaml" in text
    assert done.material.population.digest()[:12] in text
    assert {"machine", "commit", "simulator", "code of models", "seeds of training"} <= set(summary.about)
    for name in (MARKDOWN, FIGURES, PAGE):
        assert str(done.folder) not in (report.folder / name).read_text()
        assert str(Path.cwd()) not in (report.folder / name).read_text()


def test_the_page_needs_nothing_beside_it(report: Reported) -> None:
    page = (report.folder / PAGE).read_text()
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) == len(list((report.folder / "plots").glob("*.svg"))) == 12
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert "<table>" in page


def test_an_unfinished_experiment_says_how_many_runs_are_missing(done: Prepared, tmp_path: Path) -> None:
    models = {"rule": {"kind": "rule"}, "cnn": {"kind": "cnn4"}}
    more = prepare(spec_of(models=models, ensembles={}, compare=[]), done.folder, PLANT)
    found = _reported(more, tmp_path)
    assert (found.summary.planned, found.summary.done) == (4, 2)
    assert "**2 are missing**" in found.text
    assert "cnn repeat 1 fold 2" in found.text


def test_an_experiment_that_trains_some_folds_only_is_whole_and_reported_on_its_gold(
    done: Prepared, tmp_path: Path
) -> None:
    found = _reported(prepare(spec_of(train_folds=1), done.folder, PLANT), tmp_path)
    assert (found.summary.planned, found.summary.done) == (2, 2)
    assert "are missing" not in found.text
    assert found.summary.figures["gold"].keys() == set(found.of.spec.subjects())
    assert {test.judging for test in found.summary.tests} == {"gold"}


def test_one_fold_of_one_seed_is_said_to_tell_models_apart_and_not_methods(
    done: Prepared, report: Reported, tmp_path: Path
) -> None:
    text = _reported(prepare(spec_of(train_folds=1), done.folder, PLANT), tmp_path).text
    assert "1 of 2 folds trained, so not every coil has a model that judges it" in text
    assert "p-values tell these trained models apart on more coils like these, not the methods" in text
    assert "not the methods" not in report.text


def test_the_pictures_of_a_gold_set_are_its_own_whatever_the_other_is_called(report: Reported) -> None:
    late = replace(report.summary, figures={"gold": report.summary.figures["gold"]})
    pictures = {name: name for judging in ("gold", "late-gold") for name in names_of(judging)}
    text = markdown(report.of, late, pictures)
    assert "(plots/f1-gold.svg)" in text
    assert "late-gold" not in text


def test_an_ensemble_that_has_no_threshold_is_told_beside_the_rest(done: Prepared, tmp_path: Path) -> None:
    """Of 7 validation coils no bound on false alarms can be shown, which a plan would refuse of its models too."""
    impossible = replace(done, spec=spec_of(base={"threshold": {"rule": "false_alarms", "most_false_alarms": 0.05}}))
    found = _reported(impossible, tmp_path)
    assert "The ensemble both is not possible: " in found.text
    assert "OK coils cannot show that false alarms stay within 5.00%" in found.text
    assert {"shallow", "rule"} == set(found.summary.figures["gold"])


def test_an_ensemble_costs_the_members_it_took_and_the_training_of_all(done: Prepared, tmp_path: Path) -> None:
    best = {"best": {"members": ["shallow", "rule"], "top_k": 1}, "both": {"members": ["shallow", "rule"]}}
    costs = _reported(prepare(spec_of(ensembles=best), done.folder, PLANT), tmp_path).summary.costs
    both = costs["shallow"].inference_ms + costs["rule"].inference_ms
    assert costs["both"].inference_ms == pytest.approx(both)
    assert costs["best"].inference_ms < both
    assert costs["best"].training_seconds == costs["both"].training_seconds
