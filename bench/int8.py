"""The int8 form of the shipped ensemble against the float one: time, labels, accuracy; all in one run.

Run as `python -m bench.int8 [calibration coils] [judging coils] [rounds]`. The sides take turns within each round.
"""

import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

import pyarrow as pa

from bench.machine import machine
from flows.population import Population, simulated
from models.data_spec import SimulatedData
from models.ensemble import Ensemble, load_ensemble
from models.quantize import label_agreement, quantize_ensemble
from models.statistics import class_statistic
from plant.settings import PRODUCTION

THREADS = (1, 2)  # of a member
BATCHES = (1, 16)
CALIBRATION_SEED, JUDGE_SEED, LINE_SEED = 11, 4711, 4712


def _f1(ensemble: Ensemble, population: Population) -> float:
    scores = ensemble.score(population.batch)
    called = scores.p_nok >= scores.threshold
    return float(class_statistic("f1_nok")(called[None], population.is_nok)[0])


def _medians(sides: dict[str, Ensemble], batch: pa.RecordBatch, rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 2):
        for name, ensemble in sides.items():
            start = time.perf_counter()
            ensemble.score(batch)
            if number >= 2:  # two rounds to warm up
                times[name].append(time.perf_counter() - start)
    return {name: median(taken) for name, taken in times.items()}


def main() -> None:
    """Print the machine, then one table of time and one of agreement."""
    calibrated, judged, rounds = (int(given) for given in (*sys.argv[1:], *("256", "2000", "30")[len(sys.argv) - 1 :]))
    limits = load_ensemble(None, threads=1).limits
    calibration = simulated(SimulatedData(coils=calibrated, seed=CALIBRATION_SEED), limits)
    gold = simulated(SimulatedData(coils=judged, seed=JUDGE_SEED), limits)
    line = simulated(
        SimulatedData(
            coils=judged,
            seed=LINE_SEED,
            defect_share=PRODUCTION.defect_share,
            restlessness=PRODUCTION.restlessness,
        ),
        limits,
    )
    print(f"{machine()}; onnxruntime {version('onnxruntime')}; medians of {rounds} rounds\n")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "int8"
        start = time.perf_counter()
        quantize_ensemble(None, out, calibration=calibration.batch, judged=gold.batch)
        taken = time.perf_counter() - start
        print("| threads | batch | float, ms a coil | int8, ms a coil | faster by |")
        print("|---|---|---|---|---|")
        for threads in THREADS:
            sides = {"float": load_ensemble(None, threads=threads), "int8": load_ensemble(out, threads=threads)}
            for coils in BATCHES:
                middle = _medians(sides, gold.batch.slice(0, coils), rounds)
                one, other = (1e3 * middle[name] / coils for name in ("float", "int8"))
                print(f"| {threads} | {coils} | {one:.2f} | {other:.2f} | {one / other:.2f} × |")
        shipped, small = sides["float"], sides["int8"]
        print("\n| coils | labels agree | F1 float | F1 int8 |")
        print("|---|---|---|---|")
        for name, population in {"balanced as in training": gold, "as on the line": line}.items():
            agreement = label_agreement(shipped, small, population.batch)
            print(
                f"| {len(population.is_nok)}, {name} | {agreement:.2%} | {_f1(shipped, population):.3f} "
                f"| {_f1(small, population):.3f} |"
            )
        print(f"\nquantised on {calibrated} coils in {taken:.0f} s")


if __name__ == "__main__":
    main()
