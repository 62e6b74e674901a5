"""Promises of an experiment's report."""

import json
import re
from pathlib import Path

import pytest

from flows.experiment.report import FIGURES, MARKDOWN, PAGE, write_report
from flows.experiment.run import Prepared, prepare, results_of, train_missing
from flows.experiment.summary import Summary, summarise
from tests.experiment.tiny import PLANT, prepared, spec_of

MODELS = {"rule": {"kind": "rule"}, "anomaly": {"kind": "anomaly"}}
CHANGES: dict[str, object] = {
    "data": {"simulate": {"coils": 120, "seed": 5}},
    "models": MODELS,
    "ensembles": {"both": {"members": ["rule", "anomaly"], "combine": "union"}},
    "compare": [["anomaly", "rule"]],
    "learning_curve": [40],
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    tiny = prepared(tmp_path_factory.mktemp("report"), **CHANGES)
    train_missing(tiny, on_done=lambda _: None)
    return tiny


def _report(tiny: Prepared, out: Path) -> tuple[Summary, str]:
    summary, found = summarise(tiny, results_of(tiny), command="coilflow experiment tiny.yaml")
    return summary, write_report(out, tiny, summary, found).read_text()


def test_a_report_holds_every_figure_of_the_results(done: Prepared, tmp_path: Path) -> None:
    summary, text = _report(done, tmp_path)
    for by_subject in summary.figures.values():
        assert set(by_subject) == set(done.spec.subjects())
        for figures in by_subject.values():
            for figure in figures.of.values():
                if figure.value is not None and figure.ci95 is not None:
                    assert f"{figure.value:.3f} [{figure.ci95[0]:.3f}, {figure.ci95[1]:.3f}]" in text or (
                        f"{figure.value:.2f} [{figure.ci95[0]:.2f}, {figure.ci95[1]:.2f}]" in text
                    )
    for test in summary.tests:
        assert f"{test.difference:+.3f}" in text
    for run in done.runs:
        assert f"`{run.id}`" in text
    assert json.loads((tmp_path / FIGURES).read_text())["done"] == len(done.runs)


def test_a_report_says_how_it_came_about_and_names_no_place_of_this_machine(done: Prepared, tmp_path: Path) -> None:
    summary, text = _report(done, tmp_path)
    assert "coilflow experiment tiny.yaml" in text
    assert done.material.population.digest()[:12] in text
    assert {"machine", "commit", "simulator", "code of models", "seeds of training"} <= set(summary.about)
    for name in (MARKDOWN, FIGURES, PAGE):
        assert str(done.folder) not in (tmp_path / name).read_text()
        assert str(Path.cwd()) not in (tmp_path / name).read_text()


def test_the_page_needs_nothing_beside_it(done: Prepared, tmp_path: Path) -> None:
    _report(done, tmp_path)
    page = (tmp_path / PAGE).read_text()
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) == len(list((tmp_path / "plots").glob("*.svg"))) == 12
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert "<table>" in page


def test_the_same_results_give_the_same_report(done: Prepared, tmp_path: Path) -> None:
    _report(done, tmp_path / "a")
    _report(done, tmp_path / "b")
    for path in (tmp_path / "a").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_an_unfinished_experiment_says_how_many_runs_are_missing(done: Prepared, tmp_path: Path) -> None:
    more = prepare(spec_of(**{**CHANGES, "models": {**MODELS, "cnn": {"kind": "cnn3"}}}), done.folder, PLANT)
    summary, text = _report(more, tmp_path)
    assert (summary.planned, summary.done) == (12, 8)
    assert "**4 are missing**" in text
    assert "cnn repeat 1 fold 2" in text
