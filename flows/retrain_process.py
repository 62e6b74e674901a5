"""Training in a process of its own, bounded in time, memory and niceness, so that scoring goes on as if it were not.

Nothing that it does is registered here: it leaves a folder, or a reason why there is none.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from flows.retrain_order import ANSWER, Order, as_json
from schemas.errors import CoilflowError
from schemas.loop_settings import RetrainSettings

FOLDER = "retraining"  # below the data folder: what an attempt leaves is gone at the next
_LOOK_S = 0.05
_SAID_CHARACTERS = 300  # of what a process that crashed said last
# Threads of the numeric libraries: one, so that the line keeps the other cores.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class TrainingKilledError(CoilflowError):
    """Training went over its bounds, or its process died."""


class TrainingFailedError(CoilflowError):
    """Training says why it cannot be done."""


class TrainingStoppedError(CoilflowError):
    """The run was given up, and training with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What training left."""

    folder: Path  # of the successor
    trained: tuple[str, ...]  # names of the members
    kept: tuple[str, ...]  # why others stayed as they are
    compared: dict[str, Any] | None  # `models.weighted_pairs.Compared`, on the holdout


def clean(data_dir: Path) -> None:
    """Remove what earlier attempts left on this machine."""
    shutil.rmtree(data_dir / FOLDER, ignore_errors=True)


def train_apart(order: Order, settings: RetrainSettings, stop: threading.Event, *, most_s: float) -> Trained:
    """Train a successor in a child process and wait for it.

    The child gets a process group of its own, which is killed whole: when its time is up, when the run is given up, and
    by itself when this process dies, since the pipe from here ends then.

    Args:
        order: what to train; its folder `out` is made.
        settings: memory and niceness.
        stop: set where the run is given up.
        most_s: seconds that it may take.

    Raises:
        TrainingFailedError: it cannot be trained so, for the reason that is said.
        TrainingKilledError: it took too long or too much memory, or died.
        TrainingStoppedError: `stop` was set.
    """
    order.out.mkdir(parents=True, exist_ok=True)
    asked = {
        "order": as_json(order),
        "niceness": settings.niceness,
        "most_memory_mb": settings.most_memory_mb,
    }
    errors = order.out / "errors.txt"
    with (
        errors.open("wb") as said,
        subprocess.Popen(
            [sys.executable, "-m", "flows.retrain_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env={**os.environ, **_ONE_THREAD},
            bufsize=0,  # else closing the pipe of a child that died would write again
            start_new_session=True,
        ) as process,
    ):
        try:
            _tell(process, asked)
            _wait(process, most_s, stop)
        finally:
            _kill(process)
    return _read(order.out / ANSWER, process.returncode, errors, settings)


def _tell(process: "subprocess.Popen[bytes]", asked: dict[str, Any]) -> None:
    if process.stdin is None:
        raise RuntimeError("the pipe to the child was not opened")
    try:
        process.stdin.write(orjson.dumps(asked) + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        return  # it died at once: its exit says how


def _wait(process: "subprocess.Popen[bytes]", most_s: float, stop: threading.Event) -> None:
    deadline_s = time.monotonic() + most_s
    while process.poll() is None:
        if stop.wait(_LOOK_S):
            raise TrainingStoppedError("the run was given up", remedy="nothing is to be done: it is run again")
        if time.monotonic() >= deadline_s:
            raise TrainingKilledError(
                f"training was not over after {most_s:.3g} s",
                remedy="raise COILFLOW_RETRAIN__MOST_SECONDS, or train fewer coils (COILFLOW_RETRAIN__MOST_COILS)",
            )


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End the child and whatever it started."""
    with suppress(ProcessLookupError):  # where all of the group have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _read(answer: Path, code: int, errors: Path, settings: RetrainSettings) -> Trained:
    try:
        found = orjson.loads(answer.read_bytes())
    except FileNotFoundError:
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        last = " ".join(errors.read_text(errors="replace").split())[-_SAID_CHARACTERS:]
        raise TrainingKilledError(
            f"the process that trained died ({how}){': ' + last if last else ''}",
            remedy=f"see that the machine has the {settings.most_memory_mb} MB that COILFLOW_RETRAIN__MOST_MEMORY_MB "
            "allows, or lower COILFLOW_RETRAIN__MOST_COILS",
        ) from None
    if "error" in found:
        raise TrainingFailedError(found["error"], remedy=found["remedy"])
    if "killed" in found:
        raise TrainingKilledError(
            found["killed"],
            remedy="raise COILFLOW_RETRAIN__MOST_MEMORY_MB, or lower COILFLOW_RETRAIN__MOST_COILS",
        )
    return Trained(
        folder=Path(found["folder"]),
        trained=tuple(found["trained"]),
        kept=tuple(found["kept"]),
        compared=found["compared"],
    )
