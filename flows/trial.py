"""Whether an ensemble may serve, found out in a process of its own before anything of it is loaded here."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from schemas.errors import BundleAwayError, BundleError, CoilflowError
from schemas.settings import Settings

_IDLE_S = 60.0  # where only idle cores take it on
_MOST_S = 600.0  # where it has a share of busy ones; processor time is limited too
_LOOK_S = 0.05
_BEAT_S = 3.0
_FAST_MS = 1.0  # a coil: no line makes a thousand a second
_FREE = "give this machine more memory; it is tried again"
_REMEDY = "do not serve it: train it again, or restore it from a good copy"


class TrialStoppedError(CoilflowError):
    """The trial was broken off, since this process is to end or the run that asked for it was given up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What an ensemble showed."""

    off: float  # largest |Δp| of its canary coils
    ms: float  # of processor time a coil
    champion_ms: float | None  # of the one that it would replace, in turn on the same machine


def try_out(
    folder: Path,
    against: Path | None,
    settings: Settings,
    stop: threading.Event,
    beat: Callable[[], None] | None = None,
) -> Trial:
    """Load an ensemble, score its canaries and time it in a child process.

    The child runs where a core is idle, and coils are judged as if it were not there. On a machine that has no idle
    core for long it starts again, and takes the small share that is due to a nice process.

    Args:
        folder: of the ensemble.
        against: folder of the champion, whose milliseconds a coil times `promotion.slowest` are the most allowed; None
            where there is none.
        settings: threads, how members are combined, and `promotion.slowest`.
        stop: set where this process is to end, or the run is given up.
        beat: called every few seconds while it lasts; what it raises breaks the trial off.

    Raises:
        BundleAwayError: a file of it is not there, or its process was killed.
        BundleError: it is altered, cannot be loaded, is off on its canaries, crashes, never ends or is too slow.
        TrialStoppedError: `stop` was set before it was done.
    """
    asked: dict[str, object] = {
        "folder": str(folder),
        "against": str(against) if against else None,
        "threads": settings.threads,
        "how": settings.combine,
    }
    found = _child(asked | {"idle": True}, folder, stop, beat, most_s=_IDLE_S)
    if found is None:
        found = _child(asked | {"idle": False}, folder, stop, beat, most_s=_MOST_S)
    if found is None:
        raise BundleError(f"{folder}: its trial was not over after {_MOST_S:.0f} s", remedy=_REMEDY)
    trial = Trial(off=found["off"], ms=found["ms"], champion_ms=found.get("champion_ms"))
    slower = trial.champion_ms is not None and trial.ms > settings.promotion.slowest * trial.champion_ms
    if slower and trial.ms > _FAST_MS:
        raise BundleError(
            f"{folder} takes {trial.ms:.1f} ms of processor time a coil, the champion {trial.champion_ms:.2f}: more "
            f"than {settings.promotion.slowest:g} times as long",
            remedy="take a smaller model, or raise COILFLOW_PROMOTION__SLOWEST",
        )
    return trial


def _child(
    asked: dict[str, object],
    folder: Path,
    stop: threading.Event,
    beat: Callable[[], None] | None,
    *,
    most_s: float,
) -> dict[str, float] | None:
    """What the child found; None: it was not over in time."""
    command = [sys.executable, "-P", "-m", "flows.trial_process", orjson.dumps(asked).decode()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:  # noqa: S603 - ours
        said = _wait(process, folder, stop, beat, most_s=most_s)
    return None if said is None else _read(said, process.returncode, folder)


def _wait(
    process: "subprocess.Popen[bytes]",
    folder: Path,
    stop: threading.Event,
    beat: Callable[[], None] | None,
    *,
    most_s: float,
) -> bytes | None:
    deadline, next_beat = time.monotonic() + most_s, time.monotonic()
    try:
        while process.poll() is None:
            if stop.wait(_LOOK_S):
                raise TrialStoppedError(
                    f"the trial of {folder} was broken off", remedy="nothing is to be done: it is tried again"
                )
            if beat is not None and time.monotonic() >= next_beat:
                next_beat = time.monotonic() + _BEAT_S
                beat()
            if time.monotonic() > deadline:
                return None
        return process.stdout.read() if process.stdout else b""
    finally:
        process.kill()


def _read(said: bytes, code: int, folder: Path) -> dict[str, float]:
    if code == -signal.SIGXCPU:
        raise BundleError(
            f"{folder} never ends or is far too slow: its trial used up its processor time", remedy=_REMEDY
        )
    if code:
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        by_others = code == -signal.SIGKILL  # no graph does that: as a rule the machine was out of memory
        kind = BundleAwayError if by_others else BundleError
        raise kind(f"{folder}: the process that tried it crashed ({how})", remedy=_FREE if by_others else _REMEDY)
    try:
        found: dict[str, float] = orjson.loads(said)
    except orjson.JSONDecodeError as error:
        raise BundleError(f"{folder}: the process that tried it said nothing", remedy=_REMEDY) from error
    if "error" in found:
        kind = BundleAwayError if found["away"] else BundleError
        raise kind(str(found["error"]), remedy=str(found["remedy"]))
    return found
