"""`coilflow assess` on one coil in a fresh process: wall time, resident memory, and that torch stays out.

Run as `python -m bench.assess_cold [runs]`.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from bench.machine import machine
from plant.line import simulate
from plant.tables import write_tables

# As the `coilflow` command runs, saying at the end whether torch came in.
PROGRAM = """
import sys
from console.cli import main
try:
    main()
finally:
    print("torch imported" if "torch" in sys.modules else "torch not imported", file=sys.stderr)
"""


def _run(source: Path) -> tuple[float, float, str]:
    """One cold run: wall seconds, peak resident MB, and what it says of torch."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "assess", str(source), "--json"], stdout=subprocess.DEVNULL, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
        errors.seek(0)
        said = errors.read().strip().splitlines()
    assert process.returncode == 0, said
    return wall, usage.ru_maxrss / 1024, said[-1]


def main() -> None:
    """Print the machine, then medians over the runs; the first run, with a cold disk cache, apart."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        write_tables(simulate(1, seed=1), Path(folder))
        first, *rest = [_run(Path(folder)) for _ in range(runs + 1)]
    print(f"first run {first[0]:.2f} s")
    print(f"coilflow assess, one coil: {median(wall for wall, _, _ in rest):.2f} s wall (median of {runs} runs)")
    print(f"peak resident {max(memory for _, memory, _ in rest):.0f} MB")
    print(", ".join(sorted({torch for _, _, torch in rest})))


if __name__ == "__main__":
    main()
