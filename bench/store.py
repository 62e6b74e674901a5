"""Verdicts a second recorded in batches of 64 into the embedded PostgreSQL: `python -m bench.store`."""

import shutil
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bench.machine import machine
from schemas.coils import CoilKey, Order
from schemas.verdicts import Label, MemberVote, Verdict
from store.coils import counts
from store.connection import Connection, connect
from store.embedded import embedded_postgres
from store.migrations import migrate
from store.verdicts import Decided, record_verdicts

BATCH, BATCHES, RUNS = 64, 100, 5
READINGS_BYTES = 120 * 9 * 2 * 8  # 60 rows a face, mean and spread of nine sensors, float64
TWO = ("kafka:coil.verdicts", "mqtt:coilready")
CASES: tuple[tuple[int, str, tuple[str, ...]], ...] = ((0, "a", ()), (RUNS, "a", TWO), (0, "b", TWO))  # by first run


def batches_of(run: int, readings: bytes, revision: str) -> list[list[Decided]]:
    """Coils of one run, made before the clock starts."""

    def decided(number: int) -> Decided:
        verdict = Verdict(
            key=CoilKey(plant="bench", coil_id=f"{run}-{number}"),
            revision=f"{number:063x}{revision}",
            label=Label.OK,
            p_nok=0.125,
            threshold=0.5,
            ensemble_version="bench",
            members=tuple(MemberVote(model=f"m{i}", version="1", p_nok=0.125) for i in range(3)),
            observed=1.0,
        )
        order = Order(zn_min_g_m2=100, zn_max_g_m2=120, length_m=542)
        return Decided(verdict=verdict, readings=readings, order=order, started_at=None, truth=None)

    return [[decided(b * BATCH + i) for i in range(BATCH)] for b in range(BATCHES)]


def timed(
    connection: Connection, run: int, readings: bytes, revision: str, destinations: tuple[str, ...]
) -> tuple[float, list[float]]:
    """Verdicts a second of one run, and the seconds each batch took."""
    batches = batches_of(run, readings, revision)
    waits = []
    for batch in batches:
        before = time.perf_counter()
        record_verdicts(connection, batch, decided_at=datetime.now(UTC), destinations=destinations)
        waits.append(time.perf_counter() - before)
    return BATCH * BATCHES / sum(waits), waits


def main() -> None:
    """Print the median over the runs: in observe mode, announcing to two destinations, and the same coils revised."""
    readings = np.random.default_rng(1).bytes(READINGS_BYTES)
    folder = Path(tempfile.mkdtemp(prefix="coilflow-bench-"))
    try:
        with embedded_postgres(folder) as dsn:
            migrate(dsn)
            with connect(dsn) as connection:
                server = connection.info.parameter_status("server_version")
                print(f"{machine()}; PostgreSQL {server}")
                for first, revision, destinations in CASES:
                    runs = [timed(connection, first + i, readings, revision, destinations) for i in range(RUNS)]
                    rates, waits = [rate for rate, _ in runs], [wait for _, each in runs for wait in each]
                    print(f"revision {revision}, {len(destinations)} destinations", end=": ")
                    print(f"{statistics.median(rates):.0f} verdicts/s", end=", ")
                    print(
                        f"median of {RUNS} runs of {BATCH * BATCHES} ({min(rates):.0f} to {max(rates):.0f})", end="; "
                    )
                    print(f"a batch of {BATCH}: median {1e3 * statistics.median(waits):.1f} ms", end=", ")
                    print(f"p99 {1e3 * statistics.quantiles(waits, n=100)[98]:.1f} ms; {READINGS_BYTES} bytes a coil")
                print(counts(connection))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
