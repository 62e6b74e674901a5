"""Promises of the trial of an ensemble: what never ends is refused for good, and a trial that is given up is over."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from flows import trial, try_ensemble
from flows.change_models import verify
from flows.trial import TrialStoppedError, try_out
from models.bundle import INPUT, OUTPUT
from models.ensemble import Ensemble
from schemas.errors import BundleAwayError, BundleError
from schemas.layout import MATRIX_SHAPE
from schemas.settings import Settings
from store.connection import Connection
from store.registry_steps import known_ensemble
from tests.swap.given import registered, write_no_model, write_version
from tests.waiting import wait_until

MOST_S = 120.0  # of waiting: the trial is at low priority
_LESS = """
import resource
set_limit = resource.setrlimit
resource.setrlimit = lambda what, limits: set_limit(what, tuple(limit - 56 for limit in limits))
"""


def test_one_that_never_ends_is_refused_and_not_taken_for_one_that_the_machine_had_no_memory_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(_LESS)  # a minute is long for a test
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=":")
    folder = write_no_model(tmp_path, "e2", endless())
    with pytest.raises(BundleError, match="never ends or is far too slow") as refused:
        try_out(folder, None, Settings(data_dir=tmp_path, threads=1), threading.Event())
    assert not isinstance(refused.value, BundleAwayError)


def test_a_trial_that_is_given_up_ends_at_once_with_its_process(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    given, stop = Settings(data_dir=tmp_path / "data", threads=1), threading.Event()
    registered(database, given, write_no_model(tmp_path, "e2", endless()))
    stored = known_ensemble(connection, "e2")
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(verify, stored, given, stop=stop)
        wait_until(lambda: trials() or running.done(), MOST_S)
        stop.set()
        with pytest.raises(TrialStoppedError, match="was broken off"):
            running.result()
    assert trials() == []


def test_on_a_machine_that_has_no_idle_core_it_is_tried_with_a_share_of_a_busy_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "_IDLE_S", 0.0)
    found = try_out(write_version(tmp_path, "e1"), None, Settings(data_dir=tmp_path, threads=1), threading.Event())
    assert found.off < 1e-4


def test_both_are_timed_with_one_thread_and_the_canaries_with_those_that_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: set[tuple[str, int]] = set()
    tried: set[tuple[str, int]] = set()
    milliseconds, verify_all = try_ensemble._milliseconds, Ensemble.verify

    def seen_timed(ensemble: Ensemble) -> float:
        timed.update((ensemble.version, threads) for threads in threads_of(ensemble))
        return milliseconds(ensemble)

    def seen_tried(ensemble: Ensemble) -> Mapping[str, float]:
        tried.update((ensemble.version, threads) for threads in threads_of(ensemble))
        return verify_all(ensemble)

    monkeypatch.setattr(try_ensemble, "_milliseconds", seen_timed)
    monkeypatch.setattr(Ensemble, "verify", seen_tried)
    first, second = (write_version(tmp_path, version) for version in ("e1", "e2"))
    found = try_ensemble.try_ensemble(second, first, threads=2, how=None)
    assert found.keys() == {"off", "ms", "champion_ms"}
    assert (tried, timed) == ({("e2", 2)}, {("e1", 1), ("e2", 1)})


def threads_of(ensemble: Ensemble) -> set[int]:
    """Threads of its members' sessions."""
    return {member.session.get_session_options().intra_op_num_threads for member in ensemble.members}


def trials() -> list[int]:
    """Processes that this one has started to try an ensemble."""
    tasks = Path("/proc/self/task").glob("*/children")
    pids = [int(pid) for task in tasks for pid in task.read_text().split()]
    return [pid for pid in pids if "flows.trial_process" in Path(f"/proc/{pid}/cmdline").read_text()]


def endless() -> bytes:
    """A graph that goes round for ever."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["goes_on"]),
            helper.make_node("Cos", ["value"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, ["coils"]),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, ["coils"]),
        ],
    )
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", [INPUT, "axes"], ["mean"], keepdims=0),
            helper.make_node("Loop", ["", "true", "mean"], ["last"], body=body),
            helper.make_node("Sigmoid", ["last"], [OUTPUT]),
        ],
        "endless",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["coils", *MATRIX_SHAPE])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["coils"])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2]),
            helper.make_tensor("true", TensorProto.BOOL, [], [True]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content
