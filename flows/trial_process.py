"""Try an ensemble in a process of its own: `python -m flows.trial_process`, started by `flows.trial`.

What it is asked is the one argument, and what it found the one line that it prints, both JSON. A graph that crashes
ONNX Runtime, eats the memory or never ends takes this process with it, and not the worker.
"""

import os
import resource
import sys
from pathlib import Path
from typing import Any

import orjson

_NICENESS = 19  # coils come first, and a busy machine still gets it done
_MOST_CPU_S = 60  # then SIGXCPU: a busy machine may take minutes for the same
_UNHEARD_CPU_S = 5  # then SIGKILL, which else stands for a machine that was out of memory


def main() -> None:
    """Do as the argument says."""
    asked = orjson.loads(sys.argv[1])
    os.nice(_NICENESS)
    if asked["idle"]:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    resource.setrlimit(resource.RLIMIT_CPU, (_MOST_CPU_S, _MOST_CPU_S + _UNHEARD_CPU_S))
    sys.stdout.write(orjson.dumps(_tried(asked)).decode() + "\n")


def _tried(asked: dict[str, Any]) -> dict[str, object]:
    # Only here, for libraries take most of a second of processor time to load: coils are not to wait for that either.
    from flows.try_ensemble import try_ensemble  # noqa: PLC0415
    from schemas.errors import BundleAwayError, BundleError  # noqa: PLC0415

    folder, against = Path(asked["folder"]), Path(asked["against"]) if asked["against"] else None
    try:
        return dict(try_ensemble(folder, against, threads=asked["threads"], how=asked["how"]))
    except BundleError as error:
        return {"error": str(error), "remedy": error.remedy, "away": isinstance(error, BundleAwayError)}


if __name__ == "__main__":
    main()
