"""Coils normalised a second on one core, against the per-coil pandas way of doing the same, all in one run.

Run as `python -m bench.normalize [rounds]`. Coils have 61 rows a face. The sides take turns within each round, after
their matrices were held against each other; then memory, over ever more coils.
"""

import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle, islice
from statistics import median

import numpy as np
import pandas as pd
import psutil

from bench.machine import machine
from bench.pandas_way import folded, normalized
from plant.line import simulate
from plant.tables import SENSOR_TILES
from processors.assemble import Assembled, assemble
from processors.normalize import Normalized, normalize
from processors.tiles import Tiles, fold_tiles
from schemas.coils import CoilBatch, CoilHeader, Limits
from schemas.layout import GAUGE, SENSORS_PER_FACE
from schemas.matrices import tensor_values

ROWS = 61  # a face
BATCH = 64
BATCHES = 16  # in turn, so that no side lives on data that is still in the cache
PASSES = 8  # over the population in one turn of ours, so that a turn lasts about as long as one of pandas' 64 coils


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """The same coils as each side takes them."""

    headers: tuple[CoilHeader, ...]
    tiles: Tiles
    coils: CoilBatch

    def frames(self) -> list[pd.DataFrame]:
        """Tiles of each coil as pandas would read them from the table."""
        tiles = self.tiles
        mid = np.array([GAUGE.top_mid, GAUGE.bottom_mid])[tiles.face]
        table = pd.DataFrame({"TILEID": tiles.tile_id.astype(np.int64), "MID": mid, "MEAN": tiles.mean_g_m2})
        return [coil.reset_index(drop=True) for _, coil in table.groupby(tiles.coil)]


def batches(count: int, seed: int = 1) -> Iterator[Batch]:
    """Simulated coils brought to 61 rows a face, evenly spaced, with calibrations and defects as they fell."""
    headers: list[CoilHeader] = []
    faces: list[np.ndarray] = []
    for block in simulate(3 * count * BATCH, seed=seed):
        coils = assemble(block.rows, block.headers).coils
        start = coils.face_start
        for i, header in enumerate(coils.headers):
            rows = np.diff(start[2 * i : 2 * i + 3])
            if rows.min() < ROWS or rows[0] != rows[1]:
                continue
            chosen = np.rint(np.linspace(0, rows[0] - 1, ROWS)).astype(int)
            headers.append(replace(header, rows_per_face=ROWS))
            faces += [coils.mean_g_m2[start[2 * i] + chosen], coils.mean_g_m2[start[2 * i + 1] + chosen]]
            if len(headers) == BATCH:
                yield _batch(tuple(headers), np.array(faces))
                headers, faces = [], []


def _batch(headers: tuple[CoilHeader, ...], faces: np.ndarray) -> Batch:
    size = len(headers)
    in_rows = faces.reshape(size, 2, ROWS, SENSORS_PER_FACE).transpose(0, 2, 1, 3)  # as recorded: top, bottom, top ...
    coil, row, face = (each.reshape(-1) for each in np.indices((size, ROWS, 2)))
    tiles = Tiles(
        coil=np.repeat(coil, SENSORS_PER_FACE),
        face=np.repeat(face, SENSORS_PER_FACE),
        tile_id=(500.0 * row[:, None] + SENSOR_TILES).reshape(-1),
        mean_g_m2=in_rows.reshape(-1),
    )
    return Batch(headers=headers, tiles=tiles, coils=assembled(tiles, headers).coils)


def assembled(tiles: Tiles, headers: tuple[CoilHeader, ...]) -> Assembled:
    """Tiles to coils, as `flows.sources.tables` does it."""
    rows = fold_tiles(tiles)
    return assemble(rows.rows, headers, rows.faults)


def check(batch: Batch, limits: Limits) -> float:
    """Largest difference between the sides over a batch; raises AssertionError above 1e-6."""
    ours = tensor_values(_from_tiles(batch, limits).batch)
    theirs = np.array([_pandas(h, folded(f), limits) for h, f in zip(batch.headers, batch.frames(), strict=True)])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    return float(np.abs(ours - theirs).max())


def _pandas(header: CoilHeader, faces: list[pd.DataFrame], limits: Limits) -> np.ndarray:
    return normalized(faces, header.order.zn_min_g_m2, header.order.zn_max_g_m2, limits)


def _from_tiles(batch: Batch, limits: Limits) -> Normalized:
    return normalize(assembled(batch.tiles, batch.headers).coils, limits)


def measure(population: list[Batch], limits: Limits, rounds: int) -> dict[str, float]:
    """Seconds a coil of each side, medians over the rounds; in each round every side takes its turn."""
    times: dict[str, list[float]] = {}

    def take(side: str, coils: int, work: Iterator[object]) -> None:
        start = time.perf_counter()
        deque(work, maxlen=0)  # keep nothing, as in a stream
        times.setdefault(side, []).append((time.perf_counter() - start) / coils)

    turn = population * PASSES
    for number in range(rounds):
        take("ours", BATCH * len(turn), (normalize(batch.coils, limits) for batch in turn))
        take("ours, from tiles", BATCH * len(turn), (_from_tiles(batch, limits) for batch in turn))
        batch = population[number % BATCHES]
        tables = list(zip(batch.headers, batch.frames(), strict=True))
        faces = [(header, folded(table)) for header, table in tables]
        take("pandas", BATCH, (_pandas(header, face, limits) for header, face in faces))
        take("pandas, from tiles", BATCH, (_pandas(header, folded(table), limits) for header, table in tables))
    return {side: median(taken) for side, taken in times.items()}


def peak_mb(population: list[Batch], limits: Limits, coils: int) -> float:
    """Resident memory of this process at its highest after any batch, over so many coils."""
    highest = 0.0
    for batch in islice(cycle(population), -(-coils // BATCH)):
        _from_tiles(batch, limits)
        highest = max(highest, psutil.Process().memory_info().rss / 1e6)
    return highest


def main() -> None:
    """Print the machine, each side's median, the ratios, and memory."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    population = list(islice(batches(BATCHES), BATCHES))
    limits = Limits(low=-60.0, high=80.0)  # g/m²
    print(f"{machine()}; numpy {np.__version__}, pandas {pd.__version__}")
    print(f"{BATCH * BATCHES} coils of {ROWS} rows a face, batches of {BATCH}; medians of {rounds} rounds")
    print(f"largest difference between the sides: {check(population[0], limits):.1e}")
    seconds = measure(population, limits, rounds)
    for side, taken in seconds.items():
        print(f"{side:20s} {1e6 * taken:9.1f} µs a coil  {1 / taken:7.0f} coils/s")
    for ours, theirs in (("ours", "pandas"), ("ours, from tiles", "pandas, from tiles")):
        print(f"{theirs} / {ours}: {seconds[theirs] / seconds[ours]:.0f} ×")
    for coils in (1_000, 10_000, 100_000):
        print(
            f"tiles to matrices, {coils:7,} coils: resident memory peaks at {peak_mb(population, limits, coils):.0f} MB"
        )


if __name__ == "__main__":
    main()
