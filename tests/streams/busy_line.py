"""A line that never stops: good coils and odd ones, several at once, until it is told to end."""

import random
import threading
import time
from collections.abc import Callable
from itertools import count

from tests.streams.lines import chunk, chunks, coil, ended, started

_TICK_S = 0.05
_AT_ONCE = 8  # coils that are open on the line

Send = Callable[[list[bytes]], None]


class BusyLine(threading.Thread):
    """Sends coils at a rate; what it sent is known to the topic alone."""

    def __init__(self, send: Send, *, coils_per_s: float, seed: int) -> None:
        super().__init__(name="line")
        self._send = send
        self._rate = coils_per_s
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._ended = threading.Event()
        self._late: list[tuple[float, list[bytes]]] = []
        self.failed: BaseException | None = None

    def end(self) -> None:
        """Finish the open coils and stop; raises what it failed of."""
        self._ended.set()
        self.join()
        if self.failed is not None:
            raise self.failed

    def run(self) -> None:
        """Send, tick by tick."""
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - raised by `end`
            self.failed = error

    def _run(self) -> None:
        numbers = count()
        open_coils: list[list[bytes]] = []
        while not self._ended.wait(_TICK_S) or open_coils or self._late:
            while len(open_coils) < _AT_ONCE and not self._ended.is_set():
                open_coils.append(self._coil(f"c{next(numbers)}"))
            now_s = time.monotonic()
            lines = [line for due_s, late in self._late if due_s <= now_s for line in late]
            self._late = [one for one in self._late if one[0] > now_s]
            for _ in range(round(self._rate * _TICK_S * 10) or 1):
                if open_coils:
                    mine = self._random.choice(open_coils)
                    lines.append(mine.pop(0))
                    open_coils = [one for one in open_coils if one]
            self._send(lines)

    def _coil(self, name: str) -> list[bytes]:
        draw, whole = self._random.random(), coil(name)
        late_s = time.monotonic() + self._random.uniform(0.5, 3.0)
        if draw < 0.10:
            self._random.shuffle(whole)
        elif draw < 0.16:
            whole += self._random.sample(whole, 3)  # repeats, some of them after the end
        elif draw < 0.22:
            whole.pop(self._random.randrange(1, len(whole) - 1))  # a row is missing
        elif draw < 0.27:
            self._late.append(
                (late_s + 2.0, [chunk(name, "top", 4)])
            )  # a row more than was promised, after the verdict
        elif draw < 0.30:
            whole.pop()  # never ends
        elif draw < 0.32:
            whole = chunks(name, 2)  # neither starts nor ends
        elif draw < 0.34:
            whole.append(b'{"specversion":"1.0","id":"x","type":"coil.chunk","data":{"plant":"","coil_id":"7"}}')
        elif draw < 0.36:
            whole.insert(3, chunk(name, "top", 0, mean_g_m2=50.0))  # says something else of a place that is known
        elif draw < 0.37:
            whole = [started(name), *chunks(name, 2), ended(name, rows=2)]
        return whole
