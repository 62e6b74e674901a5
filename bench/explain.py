"""Explanations: how long one takes, whether it points at a known defect, and whether the score follows it.

Run as `python -m bench.explain [--coils 1000] [--small 15000] [--rounds 60] [--out FILE.md]`. Coils of the simulated
line, by the shipped ensemble on two threads.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import pyarrow as pa

from bench.known_places import KnownCoil, chance, deviations, hits, known_coils
from bench.machine import machine
from bench.report import add_out, print_bars, print_table, report
from flows.explain import explain_coil
from models.ensemble import Ensemble, load_ensemble
from models.explain import Explanation, deletion_curve, explain
from models.kinds import KindModel, shipped_kinds
from models.share_intervals import wilson_interval
from plant.settings import LineSettings
from schemas.coils import IntArray
from schemas.matrices import Scale

THREADS = 2
ALLOWED_MS, POINTS_AT = 150.0, 0.80
SEED = 977  # of no member's training
SMALL = 0.1  # of the grid
CURVES = 60  # coils
LINES: tuple[tuple[str, float, Scale], ...] = (
    ("as it runs", 1.0, "limits"),
    ("as it runs, grey levels", 1.0, "self"),
    ("three times as restless", 3.0, "limits"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """One coil and its explanation."""

    coil: KnownCoil
    found: Explanation
    wall_ms: float
    processor_ms: float


def tried(
    ensemble: Ensemble, *, restlessness: float, scale: Scale, coils: int, seed: int, wanted: Callable[[KnownCoil], bool]
) -> list[Tried]:
    """Explain every coil with a known place that is wanted."""
    done = []
    line = LineSettings(defect_share=0.9, restlessness=restlessness)
    for coil in known_coils(ensemble, line, coils=coils, seed=seed, scale=scale):
        if not wanted(coil):
            continue
        wall, processor = time.perf_counter(), time.process_time()
        found = explain(coil.batch, ensemble)
        took = (1e3 * (clock() - start) for clock, start in ((time.perf_counter, wall), (time.process_time, processor)))
        wall_ms, processor_ms = took
        done.append(Tried(coil=coil, found=found, wall_ms=wall_ms, processor_ms=processor_ms))
    return done


def _of_each_line(
    ensemble: Ensemble, *, coils: int, seed: int, wanted: Callable[[KnownCoil], bool]
) -> dict[str, list[Tried]]:
    return {
        name: tried(ensemble, restlessness=restlessness, scale=scale, coils=coils, seed=seed, wanted=wanted)
        for name, restlessness, scale in LINES
    }


def main() -> int:
    """Print the three findings, and what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.explain")
    parser.add_argument("--coils", type=int, default=1000, help="simulated of each line")
    parser.add_argument("--small", type=int, default=15000, help="more of each line, of which small defects are asked")
    parser.add_argument("--rounds", type=int, default=60, help="timings of each kind of coil")
    add_out(parser)
    given = parser.parse_args()
    on = machine()
    ensemble = load_ensemble(None, threads=THREADS)
    with report("bench.explain", "Explanations: time, place and faithfulness", given.out, on=on):
        print(f"onnxruntime {version('onnxruntime')}, {THREADS} threads a member, ensemble {ensemble.version}\n")
        everything = _of_each_line(ensemble, coils=given.coils, seed=SEED, wanted=lambda _: True)
        small = _of_each_line(ensemble, coils=given.small, seed=SEED + 1, wanted=_is_small)
        print("## One coil\n")
        slowest = _times(ensemble, everything, rounds=given.rounds)
        print("\n## Does it point at the defect?\n")
        pointing = _pointing(everything, small)
        print("\n## Does the score follow it?\n")
        areas = _deletion(ensemble, everything[LINES[0][0]][:CURVES])
        return print_bars(
            [
                (
                    f"one coil on two cores: {ALLOWED_MS:.0f} ms",
                    f"{slowest:.0f} ms in the median",
                    slowest < ALLOWED_MS,
                ),
                (f"pointing game: over {POINTS_AT:.0%}", f"{pointing:.1%}", pointing > POINTS_AT),
                (
                    "the score falls sooner in its order than by deviation, and at random",
                    ", ".join(f"{area:.3f}" for area in areas),
                    areas[0] < areas[1] < areas[2],
                ),
            ]
        )


def _times(ensemble: Ensemble, everything: dict[str, list[Tried]], *, rounds: int) -> float:
    """Time of the whole answer, coil by coil in turns; returns the slowest median in ms."""
    coils = {name: [one.coil.batch for one in done[:rounds]] for name, done in everything.items()}
    asked = {name: [one.found.scored for one in done[:rounds]] for name, done in everything.items()}
    kinds = shipped_kinds()
    scoring: list[float] = []
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in coils}
    for turn in range(rounds):
        for name, batches in coils.items():
            taken[name].append(_timed(ensemble, kinds, batches[turn % len(batches)]))
        batch = coils[LINES[0][0]][turn % len(coils[LINES[0][0]])]
        start = time.perf_counter()
        ensemble.score(batch)
        scoring.append(1e3 * (time.perf_counter() - start))
    titles = ("coils of a line", "median ms", "p95 ms", "processor ms", "the ensemble is asked, median (most)")
    print_table(
        titles,
        [
            (
                name,
                f"{np.median([wall for wall, _ in times]):.0f}",
                f"{np.quantile([wall for wall, _ in times], 0.95):.0f}",
                f"{np.median([processor for _, processor in times]):.0f}",
                f"{np.median(asked[name]):.0f} ({max(asked[name])})",
            )
            for name, times in taken.items()
        ],
    )
    print(f"\nTo score a coil once takes {np.median(scoring):.1f} ms in the same turns.")
    return max(float(np.median([wall for wall, _ in times])) for times in taken.values())


def _timed(ensemble: Ensemble, kinds: KindModel, batch: pa.RecordBatch) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    explain_coil(batch, ensemble, kinds)
    return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - processor)


def _is_small(coil: KnownCoil) -> bool:
    return coil.by_defect and chance(coil) <= SMALL


def _pointing(everything: dict[str, list[Tried]], small: dict[str, list[Tried]]) -> float:
    """Print hits of each line; returns those of the line as it runs."""
    print_table(
        ("line", "coils", "points at a defect [95%]", "largest deviation does", "by chance"),
        [row for name, done in everything.items() for row in _pointing_rows(name, done, small[name])],
    )
    first = everything[LINES[0][0]]
    return sum(hits(one.coil, one.found.p_nok) for one in first) / len(first)


def _pointing_rows(name: str, done: Sequence[Tried], small: Sequence[Tried]) -> Iterator[tuple[object, ...]]:
    parts = {
        "all": done,
        "NOK only for its defect": [one for one in done if one.coil.by_defect],
        "small defects": small,
        "small defects without which the ensemble calls it OK too": [one for one in small if one.coil.by_defect_alone],
    }
    for what, some in parts.items():
        if not some:
            continue
        hit = sum(hits(one.coil, one.found.p_nok) for one in some)
        deviating = sum(hits(one.coil, deviations(one.coil.batch, one.found)) for one in some)
        low, high = wilson_interval(hit, len(some))
        yield (
            f"{name}: {what}",
            len(some),
            f"**{hit / len(some):.1%}** [{low:.1%}, {high:.1%}]",
            f"{deviating / len(some):.1%}",
            f"{np.mean([chance(one.coil) for one in some]):.1%}",
        )


def _deletion(ensemble: Ensemble, done: Sequence[Tried]) -> tuple[float, ...]:
    """Print the mean deletion curve by order of cells; returns the areas below: explanation, deviation, random."""
    rng = np.random.default_rng(0)
    curves: dict[str, list[np.ndarray]] = {"of the explanation": [], "by deviation": [], "at random": []}
    for one in done:
        cells = one.found.p_nok
        orders: tuple[IntArray, ...] = (
            np.argsort(-cells, axis=None, kind="stable"),
            np.argsort(-deviations(one.coil.batch, one.found), axis=None, kind="stable"),
            rng.permutation(cells.size),
        )
        for name, order in zip(curves, orders, strict=True):
            curves[name].append(deletion_curve(one.coil.batch, ensemble, order))
    steps = (0, 2, 4, 8, 16, 32, 72, 144)
    print_table(
        ("p(NOK) after so many of 144 cells, in the order", *map(str, steps), "area below"),
        [
            (name, *(f"{np.mean([curve[step] for curve in some]):.2f}" for step in steps), f"{np.mean(some):.3f}")
            for name, some in curves.items()
        ],
    )
    return tuple(float(np.mean(some)) for some in curves.values())


if __name__ == "__main__":
    raise SystemExit(main())
