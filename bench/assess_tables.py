"""From the plant's tables in CSV to verdicts in the database: time, and memory over ever more coils.

Run as `python -m bench.assess_tables [coils ...]`. Each size is a fresh `coilflow assess FOLDER --json --store` with an
embedded PostgreSQL of its own; memory is that of the command's own process, the server's apart.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from bench.machine import machine
from plant.line import simulate
from plant.tables import write_tables
from store.coils import counts
from store.connection import connect
from store.embedded import embedded_postgres

SIZES = (1_000, 10_000)
SAMPLE_S = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One command from start to end."""

    wall_s: float
    cpu_s: float
    peak_mb: float  # resident, as the kernel counted it
    early_mb: float  # resident, median of the samples of the second quarter of the time
    late_mb: float  # and of the last quarter: growth would show between the two


def assess(folder: Path, data: Path) -> Run:
    """Assess a folder of tables into a fresh database under `data`."""
    command = [str(Path(sys.executable).with_name("coilflow")), "assess", str(folder), "--json", "--store"]
    resident: list[float] = []
    start = time.perf_counter()
    with (folder / "verdicts.jsonl").open("wb") as verdicts, (folder / "errors.txt").open("wb") as errors:
        process = subprocess.Popen(
            command, stdout=verdicts, stderr=errors, env={**os.environ, "COILFLOW_DATA_DIR": str(data)}
        )
        watched = psutil.Process(process.pid)
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            resident.append(watched.memory_info().rss / 1e6)
            time.sleep(SAMPLE_S)
    wall_s = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(ended[1])
    assert process.returncode == 0, (folder / "errors.txt").read_text()
    quarter = len(resident) // 4
    return Run(
        wall_s=wall_s,
        cpu_s=ended[2].ru_utime + ended[2].ru_stime,
        peak_mb=ended[2].ru_maxrss * 1024 / 1e6,
        early_mb=median(resident[quarter : 2 * quarter]),
        late_mb=median(resident[-quarter:]),
    )


def report(coils: int) -> None:
    """Simulate a population, assess it, and print what that took and what the database holds."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        write_tables(simulate(coils, seed=1), folder)
        size_mb = (folder / "tiles.csv").stat().st_size / 1e6
        run = assess(folder, folder / "data")
        with embedded_postgres(folder / "data") as dsn, connect(dsn) as connection:
            stored = counts(connection)
        with (folder / "verdicts.jsonl").open("rb") as verdicts:
            printed = sum(1 for _ in verdicts)
    print(f"{coils:,} coils, {size_mb:.0f} MB of tiles.csv")
    print(f"  {run.wall_s:.1f} s wall, {run.cpu_s:.1f} s processor, {coils / run.wall_s:.0f} coils/s")
    print(f"  resident: peak {run.peak_mb:.0f} MB, early {run.early_mb:.0f} MB, late {run.late_mb:.0f} MB")
    print(f"  {printed} verdicts printed; in the database: {stored}")


def main() -> None:
    """Print the machine, then each size."""
    print(machine())
    for coils in [int(argument) for argument in sys.argv[1:]] or SIZES:
        report(coils)


if __name__ == "__main__":
    main()
