"""How many coils a second the simulated line makes on one core: in memory, with tables, with events.

Run as `python -m bench.plant [coils] [runs]`.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.machine import machine
from plant.events import write_events
from plant.line import simulate
from plant.tables import write_tables


def _rate(coils: int, work: Callable[[], int]) -> float:
    start = time.perf_counter()
    done = work()
    assert done == coils, f"{done} of {coils} coils came out"
    return coils / (time.perf_counter() - start)


def main() -> None:
    """Print the machine, then the median rate of each way out over several runs, with its range."""
    coils = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        ways: dict[str, Callable[[], int]] = {
            "simulate": lambda: sum(len(block) for block in simulate(coils, seed=1)),
            "simulate, tables written": lambda: write_tables(simulate(coils, seed=1), Path(folder)),
            "simulate, events written": lambda: write_events(simulate(coils, seed=1), Path(folder) / "events.jsonl"),
        }
        for name, work in ways.items():
            rates = [_rate(coils, work) for _ in range(runs)]
            spread = f"{min(rates):.0f}-{max(rates):.0f}"
            print(f"{name}: {median(rates):.0f} coils/s (median of {runs} runs of {coils} coils, {spread})")


if __name__ == "__main__":
    main()
