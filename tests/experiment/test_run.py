"""Promises of an experiment that runs: whole results, resumed where it stopped, the same wherever it is trained."""

import json
from pathlib import Path

import pytest

from console.cli import run as coilflow
from flows.experiment.plan import Run
from flows.experiment.results import PREDICTIONS, RESULT, VALIDATION
from flows.experiment.run import RUNS, Prepared, prepare, results_of, train_missing
from schemas.errors import SourceError, UsageError
from tests.experiment.tiny import PLANT, prepared, spec_of


def _files(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in (folder / RUNS).glob(f"*/{PREDICTIONS}")}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    tiny = prepared(tmp_path_factory.mktemp("done"))
    train_missing(tiny, on_done=lambda _: None)
    return tiny


def test_a_run_says_how_it_was_trained_and_how_good_it_is(done: Prepared) -> None:
    (one,) = [r for r in results_of(done) if r.run.model == "shallow" and r.run.fold == 1]
    assert set(one.scores.splits) == {VALIDATION, "folds", "gold"}
    assert one.result["coils"]["training"] == len(one.run.training)
    assert len(one.result["epochs"]) == 1
    assert one.result["digests"]["data"] == done.material.population.digest()
    assert one.result["inference_ms_a_coil"] > 0
    assert one.result["metrics"]["gold"]["n"] == 20
    assert one.result["settings"]["kind"] == "cnn3"


def test_an_experiment_killed_in_the_middle_goes_on_and_ends_the_same(done: Prepared, tmp_path: Path) -> None:
    first = prepared(tmp_path)

    def stop(_: Run) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_missing(first, on_done=stop)
    assert len(_files(tmp_path)) == 1
    again = prepared(tmp_path)
    trained: list[str] = []
    train_missing(again, on_done=lambda run: trained.append(run.id))
    assert len(trained) == 3
    assert _files(tmp_path) == _files(done.folder)
    train_missing(again, on_done=lambda run: trained.append(run.id))
    assert len(trained) == 3


def test_two_processes_train_what_one_trains(done: Prepared, tmp_path: Path) -> None:
    tiny = prepared(tmp_path, parallel={"jobs": 2})
    train_missing(tiny, on_done=lambda _: None)
    assert _files(tmp_path) == _files(done.folder)


def test_experiments_in_one_folder_share_their_runs(done: Prepared) -> None:
    other = prepare(
        spec_of(name="other", models={"same": {"kind": "cnn3"}}, ensembles={}, compare=[]), done.folder, PLANT
    )
    assert not other.missing
    assert {one.run.model for one in results_of(other)} == {"same"}


def test_coils_are_simulated_once(done: Prepared) -> None:
    kept = {path: path.stat().st_mtime_ns for path in done.folder.glob("populations/*/*")}
    prepare(done.spec, done.folder, PLANT)
    assert kept == {path: path.stat().st_mtime_ns for path in done.folder.glob("populations/*/*")}


def test_a_damaged_result_is_named(done: Prepared, tmp_path: Path) -> None:
    tiny = prepared(tmp_path, models={"rule": {"kind": "rule"}}, ensembles={}, compare=[])
    train_missing(tiny, on_done=lambda _: None)
    (tmp_path / RUNS / tiny.runs[0].id / RESULT).write_text("{")
    with pytest.raises(SourceError, match=r"result\.json cannot be read"):
        results_of(tiny)


def test_ray_is_asked_for_and_not_installed(tmp_path: Path) -> None:
    pytest.importorskip("joblib")
    try:
        import ray  # noqa: F401, PLC0415
    except ImportError:
        tiny = prepared(tmp_path, parallel={"where": "ray"})
        with pytest.raises(UsageError, match="ray is not installed"):
            train_missing(tiny, on_done=lambda _: None)


def test_the_command_trains_reports_and_reports_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "name: by-rule\ndata: {simulate: {coils: 80, seed: 5}}\nfolds: 2\n"
        "models: {rule: {kind: rule}, anomaly: {kind: anomaly}}\ncompare: [[anomaly, rule]]\n"
    )
    out = ["--out", str(tmp_path / "out")]
    assert coilflow(["experiment", str(spec), *out, "--report-only"]) == 2
    assert "no run of by-rule is done" in capsys.readouterr().err
    assert coilflow(["experiment", str(spec), *out, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["planned"], summary["done"]) == (4, 4)
    assert coilflow(["experiment", str(spec), *out, "--report-only"]) == 0
    assert "4 of 4 runs" in capsys.readouterr().out
    report = (tmp_path / "out" / "by-rule" / "report.md").read_text()
    assert f"{summary['figures']['folds']['anomaly']['of']['f1_nok']['value']:.3f}" in report
