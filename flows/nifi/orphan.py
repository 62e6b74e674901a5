"""A processor's process ends with the NiFi that started it; NiFi 2.9.0 leaves it behind where it is killed itself."""

import os
import threading

_STARTED_BY_NIFI = "JAVA_PORT"  # NiFi tells it to every Python process, and nobody else does
_LOOK_S = 1.0
_NAME = "ends-with-nifi"


def end_with_nifi() -> None:
    """Watch the parent process from now on, once a process, and end without more when it is gone.

    An orphan would hold its memory and connections for ever, and answer on swaps as a worker that judges nothing.
    """
    if _STARTED_BY_NIFI in os.environ and not any(one.name == _NAME for one in threading.enumerate()):
        threading.Thread(target=_watch, args=(os.getppid(),), name=_NAME, daemon=True).start()


def _watch(parent: int) -> None:
    pause = threading.Event()
    while os.getppid() == parent:
        pause.wait(_LOOK_S)
    os._exit(1)  # threads of NiFi's framework would keep `sys.exit` waiting
