"""Train a successor in a process of its own: `python -m flows.retrain_child`, started by `flows.retrain_process`.

The first line of standard input is the order, JSON; the answer is one file, JSON, which is there wholly or not at all.
When standard input ends, whoever ordered is gone, and this process ends with all that it started.
"""

import os
import resource
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from schemas.errors import CoilflowError

_MEBIBYTE = 1024 * 1024


def main() -> None:
    """Do as the order says, within its bounds."""
    asked = orjson.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_die_with_whom_ordered, daemon=True).start()
    os.nice(asked["niceness"])
    most = asked["most_memory_mb"] * _MEBIBYTE
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _train(asked)


def _train(asked: dict[str, Any]) -> None:
    # Only here, for what trains takes seconds to load: the line is not to wait for that either.
    from flows.retrain_order import ANSWER, order_of  # noqa: PLC0415
    from flows.successor import make_successor  # noqa: PLC0415
    from schemas.errors import CoilflowError  # noqa: PLC0415

    order = order_of(asked["order"])
    answer: dict[str, Any]
    try:
        made = make_successor(order)
    except (CoilflowError, MemoryError) as error:
        answer = (
            {"error": str(error), "remedy": error.remedy}
            if isinstance(error, CoilflowError) and not _lacks_memory(error)
            else {"killed": f"it needs more than {asked['most_memory_mb']} MB of memory"}
        )
    else:
        answer = {
            "folder": str(made.folder),
            "trained": made.trained,
            "kept": made.kept,
            "compared": None if made.compared is None else made.compared.as_json(),
        }
    place = order.out / ANSWER
    draft = place.with_suffix(".tmp")
    draft.write_bytes(orjson.dumps(answer))
    draft.rename(place)


def _lacks_memory(error: "CoilflowError") -> bool:
    """Whether a library was refused memory: ONNX Runtime says so in its text alone."""
    return isinstance(error.__cause__, MemoryError) or "bad_alloc" in str(error)


def _die_with_whom_ordered() -> None:
    sys.stdin.buffer.read()
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
