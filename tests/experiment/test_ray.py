"""Promises of an experiment on Ray: a real one, started on this machine, gives what the local way gives."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml

from console.cli import run as coilflow
from flows.experiment.run import Prepared, train_missing
from flows.experiment.spec import Parallel
from flows.experiment.spread import spread
from schemas.errors import SpecError, UsageError
from tests.experiment.tiny import SHALLOW, TINY, UNTRAINABLE, predictions, prepared

ON_RAY: dict[str, Any] = {"parallel": {"where": "ray"}}


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Ray keeps the token of its cluster in a home folder; other tests and the user's own cluster never see ours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("RAY_worker_niceness", "0")  # 15 otherwise: on a busy machine a run would hardly go on
        patch.delenv("RAY_ADDRESS", raising=False)
        yield


@pytest.fixture(scope="module")
def _running() -> Iterator[None]:
    """A Ray of one core that is there before the experiment is, and stays."""
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_where_no_ray_runs_one_is_started_and_stopped_again(done: Prepared) -> None:
    found = spread((), done.places, Parallel(where="ray"))
    assert not list(found)
    assert not ray.is_initialized()


@pytest.mark.usefixtures("_running")
def test_ray_trains_what_this_machine_trains(done: Prepared, tmp_path: Path) -> None:
    tiny = prepared(tmp_path, **SHALLOW, **ON_RAY)
    seen: list[str] = []
    train_missing(tiny, on_done=lambda run: seen.append(run.id))
    assert sorted(seen) == sorted(run.id for run in tiny.runs)
    assert predictions(tmp_path).keys() == set(seen)
    assert predictions(tmp_path).items() <= predictions(done.folder).items()
    assert ray.is_initialized()


@pytest.mark.usefixtures("_running")
def test_what_a_run_is_refused_for_comes_back_from_ray_as_one_sentence_and_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SpecError, match=r"20 OK coils at least, there are \d+") as caught:
        train_missing(prepared(tmp_path, **UNTRAINABLE, **ON_RAY), on_done=lambda _: None)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump({**TINY, **UNTRAINABLE, **ON_RAY}))
    assert coilflow(["experiment", str(tmp_path / "spec.yaml"), "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"error: {caught.value}; {caught.value.remedy}"


@pytest.mark.usefixtures("_running")
def test_a_run_that_no_machine_has_the_cores_for_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    tiny = prepared(tmp_path, **SHALLOW, parallel={"where": "ray", "threads": 2})
    with pytest.raises(UsageError, match=r"key parallel\.threads: .* 2 cores, the largest machine of Ray has 1"):
        train_missing(tiny, on_done=lambda _: None)


def test_a_cluster_that_does_not_answer_is_named_at_once(done: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    ray.shutdown()
    with pytest.raises(UsageError, match=r"key parallel\.where: the Ray cluster at 127\.0\.0\.1:1 cannot be reached"):
        next(spread((), done.places, Parallel(where="ray")))


def test_without_ray_the_remedy_says_how_to_get_it(done: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as where it is not installed
    with pytest.raises(UsageError, match="ray is not installed") as caught:
        next(spread((), done.places, Parallel(where="ray")))
    assert "coilflow[ray]" in caught.value.remedy
