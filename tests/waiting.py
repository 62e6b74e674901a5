"""Wait for what other threads and processes do."""

import threading
import time
from collections.abc import Callable

MOST_S = 30.0


def wait_until(condition: Callable[[], object], most_s: float = MOST_S) -> None:
    """Look at a condition until it holds; fails where it does not in time."""
    deadline, pause = time.monotonic() + most_s, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        pause.wait(0.02)
