"""Promises of an experiment that runs: whole results, resumed where it stopped, the same wherever it is trained."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from console.cli import run as coilflow
from flows.experiment.plan import Run
from flows.experiment.report import MARKDOWN
from flows.experiment.results import RESULT, VALIDATION
from flows.experiment.run import RUNS, Prepared, prepare, results_of, train_missing
from schemas.errors import SourceError, SpecError
from tests.experiment.tiny import PLANT, SHALLOW, TINY, UNTRAINABLE, predictions, prepared, spec_of


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
    first = prepared(tmp_path, **SHALLOW)

    def stop(_: Run) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_missing(first, on_done=stop)
    assert len(predictions(tmp_path)) == 1
    again = prepared(tmp_path, **SHALLOW)
    trained: list[str] = []
    train_missing(again, on_done=lambda run: trained.append(run.id))
    assert len(trained) == 1
    assert len(predictions(tmp_path)) == 2
    assert predictions(tmp_path).items() <= predictions(done.folder).items()
    train_missing(again, on_done=lambda run: trained.append(run.id))
    assert len(trained) == 1


def test_two_processes_train_what_one_trains(done: Prepared, tmp_path: Path) -> None:
    tiny = prepared(tmp_path, **SHALLOW, parallel={"jobs": 2})
    train_missing(tiny, on_done=lambda _: None)
    assert len(predictions(tmp_path)) == 2
    assert predictions(tmp_path).items() <= predictions(done.folder).items()


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_run_is_refused_for_is_said_as_it_is_from_any_process(tmp_path: Path, jobs: int) -> None:
    tiny = prepared(tmp_path, **UNTRAINABLE, parallel={"jobs": jobs})
    with pytest.raises(SpecError, match=r"20 OK coils at least, there are \d+") as caught:
        train_missing(tiny, on_done=lambda _: None)
    assert caught.value.remedy


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
    shutil.copytree(done.folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / RUNS / done.runs[0].id / RESULT).write_text("{")
    with pytest.raises(SourceError, match=r"result\.json cannot be read"):
        results_of(prepare(done.spec, tmp_path, PLANT))


def test_a_foreign_result_is_named_and_what_a_kill_left_is_passed_over(done: Prepared, tmp_path: Path) -> None:
    shutil.copytree(done.folder, tmp_path, dirs_exist_ok=True)
    left = tmp_path / RUNS / f".{done.runs[0].id}-abc"
    left.mkdir()
    (left / RESULT).write_text('{"made')
    tiny = prepare(done.spec, tmp_path, PLANT)
    assert len(results_of(tiny, by_any_code=True)) == len(done.runs)
    foreign = tmp_path / RUNS / "foreign"
    foreign.mkdir()
    for content, said in (("{}", "is no result of a run: it does not say device"), ("[1]", "no result"), ("{", "read")):
        (foreign / RESULT).write_text(content)
        with pytest.raises(SourceError, match=f"foreign.result.json.*{said}") as caught:
            results_of(tiny, by_any_code=True)
        assert caught.value.remedy == "remove its folder and run again"
        assert len(results_of(tiny)) == len(done.runs)


def test_the_command_trains_what_is_missing_and_the_same_results_give_the_same_report(
    done: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, spec = tmp_path / "out", tmp_path / "spec.yaml"
    spec.write_text(yaml.safe_dump(TINY))
    arguments = ["experiment", str(spec), "--out", str(folder)]
    assert coilflow([*arguments, "--report-only"]) == 2
    assert "no run of tiny is done" in capsys.readouterr().err
    shutil.copytree(done.folder / RUNS, folder / RUNS)
    shutil.rmtree(folder / RUNS / done.runs[-1].id)
    assert coilflow([*arguments, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["planned"], summary["done"]) == (4, 4)
    assert predictions(folder) == predictions(done.folder)
    report = {path: path.read_bytes() for path in (folder / "tiny").rglob("*") if path.is_file()}
    value = summary["figures"]["folds"]["shallow"]["of"]["f1_nok"]["value"]
    assert f"{value:.3f}".encode() in report[folder / "tiny" / MARKDOWN]
    assert summary["about"]["command"] == f"coilflow experiment {spec}"
    assert coilflow([*arguments, "--report-only"]) == 0
    assert "4 of 4 runs" in capsys.readouterr().out
    assert report == {path: path.read_bytes() for path in report}
