"""Promises of the process that trains: it ends within its bounds, and with whoever ordered it."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from flows.retrain_order import Order, as_json
from flows.retrain_process import (
    TrainingKilledError,
    TrainingStoppedError,
    clean,
    train_apart,
)
from schemas.loop_settings import RetrainSettings
from schemas.settings import ToleranceProfile
from tests.retraining.given import write_champion
from tests.waiting import wait_until

AMPLE = RetrainSettings(niceness=0)
NEVER = threading.Event()
MOST_S = 120.0  # of waiting


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """To train from a pipe to which nobody ever writes: the process waits until it is ended."""
    os.mkfifo(tmp_path / "snapshot.arrow")
    return Order(
        champion=write_champion(tmp_path),
        snapshot=tmp_path / "snapshot.arrow",
        members=("faces",),
        must=True,
        how="head",
        holdout_share=0.2,
        regardless=False,
        combine=None,
        seed=1,
        out=tmp_path / "retraining" / "1",
        cache=tmp_path / "features",
        profiles={"default": ToleranceProfile()},
    )


def trainings() -> list[int]:
    """Living processes that this one has started to train, none of those that other tests need."""
    tasks = Path("/proc/self/task").glob("*/children")
    pids = [int(pid) for task in tasks for pid in task.read_text().split()]
    return [pid for pid in pids if lives(pid) and "flows.retrain_child" in _of_process(pid, "cmdline")]


def lives(pid: int) -> bool:
    """Whether a process runs still; one that ended and was not waited for does not."""
    state = _of_process(pid, "stat").rpartition(")")[2].split()
    return state != [] and state[0] != "Z"


def _of_process(pid: int, what: str) -> str:
    try:
        return Path(f"/proc/{pid}/{what}").read_text()
    except OSError:
        return ""


def test_one_that_takes_too_long_is_killed(order: Order) -> None:
    with pytest.raises(TrainingKilledError, match=r"was not over after 0\.2 s"):
        train_apart(order, AMPLE, NEVER, most_s=0.2)
    assert trainings() == []


def test_one_that_is_killed_says_so_and_leaves_nothing_that_could_be_taken_for_a_model(order: Order) -> None:
    with ThreadPoolExecutor(1) as threads:
        training = threads.submit(train_apart, order, AMPLE, NEVER, most_s=300)
        wait_until(trainings, MOST_S)
        os.kill(trainings()[0], signal.SIGKILL)
        with pytest.raises(TrainingKilledError, match=r"died \(SIGKILL\)"):
            training.result()
    assert not list(order.out.rglob("*.json"))
    clean(order.out.parents[1])
    assert not order.out.parent.exists()


def test_one_that_is_given_up_ends_at_once(order: Order) -> None:
    stop = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        training = threads.submit(train_apart, order, AMPLE, stop, most_s=300)
        wait_until(trainings, MOST_S)
        stop.set()
        with pytest.raises(TrainingStoppedError):
            training.result()
    assert trainings() == []


def test_one_that_needs_more_memory_than_it_may_is_no_model(order: Order) -> None:
    order.snapshot.unlink()
    with order.snapshot.open("wb") as file:
        file.truncate(64 * 1024**3)  # more than it may map
    with pytest.raises(TrainingKilledError):
        train_apart(order, RetrainSettings(most_memory_mb=60, niceness=0), NEVER, most_s=300)
    assert not order.out.joinpath("answer.json").exists() or b"folder" not in (order.out / "answer.json").read_bytes()


def test_one_whose_orderer_dies_ends_too(order: Order) -> None:
    asked = {"order": as_json(order), "niceness": 0, "most_memory_mb": 8192}
    orderer = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'flows.retrain_child'], stdin=subprocess.PIPE,\n"
        "                         start_new_session=True)\n"
        "child.stdin.write(sys.stdin.buffer.readline()); child.stdin.flush()\n"
        "print(child.pid, flush=True); child.wait()\n"
    )
    order.out.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", orderer], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(orjson.dumps(asked) + b"\n")
        process.stdin.flush()
        child = int(process.stdout.readline())
        process.kill()
    wait_until(lambda: not lives(child), MOST_S)


def test_it_is_nice_before_it_loads_what_trains(order: Order) -> None:
    loaded = "import sys, flows.retrain_child; print(*{'numpy', 'onnxruntime', 'sklearn', 'pydantic'} & {*sys.modules})"
    found = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert found.stdout == "\n"
    with ThreadPoolExecutor(1) as threads:
        stop = threading.Event()
        training = threads.submit(train_apart, order, RetrainSettings(niceness=7), stop, most_s=300)
        wait_until(trainings, MOST_S)
        nice = min(19, os.getpriority(os.PRIO_PROCESS, 0) + 7)
        [child] = trainings()
        wait_until(lambda: os.getpriority(os.PRIO_PROCESS, child) == nice, MOST_S)
        stop.set()
        with pytest.raises(TrainingStoppedError):
            training.result()
