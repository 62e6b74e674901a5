"""A head retrained from cached features against full fine-tuning from the same parent: time and F1, in one run.

Run as `python -m bench.retrain [training coils] [gold coils] [parent's epochs]`. A YOLOv8n parent learns an earlier
period; then the line drifts, and both sides get the same labelled coils of the later one. Gold coils, half of them NOK
and none of the expert's lapses among them, are of a line that has drifted as far and come after so many coils.
Differences of F1 from full fine-tuning have 95% intervals by bootstrap over gold coils. Fine-tuning begins with the
parent's weights and keeps the parent's specification, as `coilflow train` with `parent` does.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from bench.machine import machine
from flows.population import Population, simulated
from flows.retrain_head import retrain_head
from flows.train import train_on
from models.bundle import Bundle, load_bundle
from models.data_spec import Augmentation, DataSpec, SimulatedData
from models.ensemble import COILS_AT_ONCE, load_ensemble
from models.spec import TrainSpec
from models.statistics import class_statistic, difference_ci, roc_auc
from schemas.coils import BoolArray
from schemas.matrices import tensor_values

THREADS = 2
PARENT_SEED, LATER_SEED, GOLD_SEED = 11, 21, 31
DRIFT_PER_1000_COILS = 0.02
_MOST_A_GOLD_COIL = 20  # coils simulated for it, until there are enough NOK


def _spec(coils: int, epochs: int) -> TrainSpec:
    """The specification of the shipped YOLOv8n."""
    return TrainSpec(
        name="yolov8n-cls",
        kind="yolov8n-cls",
        data=DataSpec(simulate=SimulatedData(coils=coils, seed=PARENT_SEED)),
        epochs=epochs,
        augment=Augmentation(mirror=0.5, noise=0.005, shift_rows=8, contrast=0.1),
        seed=1,
    )


def _gold_coils(coils: int, after: int) -> SimulatedData:
    """As many OK as NOK coils that come after the training coils, on a line that drifts as theirs does."""
    return SimulatedData(
        coils=_MOST_A_GOLD_COIL * coils,
        seed=GOLD_SEED,
        drift_per_1000_coils=DRIFT_PER_1000_COILS,
        skip_coils=after,
        lapse_share=0,
        each_label=coils // 2,
    )


def _judged(bundle: Bundle, gold: Population) -> tuple[BoolArray, float, float]:
    """Which coils are called NOK at the bundle's own threshold, the F1 of that, and ROC-AUC."""
    matrix, spread = tensor_values(gold.batch), tensor_values(gold.batch, "spread")
    parts = [slice(start, start + COILS_AT_ONCE) for start in range(0, len(matrix), COILS_AT_ONCE)]
    p_nok = np.concatenate([bundle.p_nok(matrix[part], spread[part]) for part in parts])
    called, is_nok = p_nok >= bundle.manifest.threshold, gold.is_nok
    f1 = float(class_statistic("f1_nok")(called[None], is_nok)[0])
    return called, f1, float(roc_auc(p_nok[None], is_nok)[0])


def main() -> None:
    """Print the machine, then a line a side."""
    coils, gold_coils, epochs = (int(given) for given in (*sys.argv[1:], *("4500", "2000", "10")[len(sys.argv) - 1 :]))
    torch.set_num_threads(THREADS)
    limits = load_ensemble(None, threads=1).limits
    spec = _spec(coils, epochs)
    earlier = simulated(SimulatedData(coils=coils, seed=PARENT_SEED), limits)
    drifted = SimulatedData(coils=coils, seed=LATER_SEED, drift_per_1000_coils=DRIFT_PER_1000_COILS)
    later, gold = simulated(drifted, limits), simulated(_gold_coils(gold_coils, coils), limits)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "scikit-learn", "torch"))
    print(f"{machine()}; {libraries}; {THREADS} threads; {coils} coils, {int(later.is_nok.sum())} NOK\n")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        parent = train_on(spec, earlier, root / "parent")
        tuned = spec.model_copy(update={"parent": parent})
        sides: dict[str, Callable[[Path], Path]] = {
            "full fine-tuning": lambda out: train_on(tuned, later, out),
            "new head, nothing cached": lambda out: retrain_head(parent, later, out, seed=1, cache=root / "cache"),
            "new head, features cached": lambda out: retrain_head(parent, later, out, seed=1, cache=root / "cache"),
        }
        titles = ("side", "seconds", f"F1 on {gold_coils}", "F1 less fine-tuning's", "ROC-AUC", "faster by")
        print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
        _, f1, auc = _judged(load_bundle(parent, threads=THREADS), gold)
        print(f"| parent as it is | 0 | {f1:.3f} | | {auc:.3f} | |")
        first: tuple[float, BoolArray, float] | None = None  # seconds, calls and F1 of fine-tuning
        for place, (name, make) in enumerate(sides.items()):
            start = time.perf_counter()
            out = make(root / str(place))
            seconds = time.perf_counter() - start
            called, f1, auc = _judged(load_bundle(out, threads=THREADS), gold)
            first = first or (seconds, called, f1)
            ends = difference_ci("f1_nok", called, first[1], gold.is_nok)
            less = f"{f1 - first[2]:+.3f} [{ends[0]:+.3f}, {ends[1]:+.3f}]" if ends and place else ""
            print(
                f"| {name} | {seconds:.1f} | {f1:.3f} | {less} | {auc:.3f} | {first[0] / seconds:.1f} × |", flush=True
            )


if __name__ == "__main__":
    main()
