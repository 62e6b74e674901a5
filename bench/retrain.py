"""A head retrained from cached features against full fine-tuning from the same parent: time and F1, in one run.

Run as `python -m bench.retrain [training coils] [gold coils] [parent's epochs]`. A YOLOv8n parent learns an earlier
period; then the line drifts, and both sides get the same labelled coils of the later one. Gold coils are of that later
period too, and neither side sees them. Fine-tuning begins with the parent's weights and keeps the parent's
specification, as `coilflow train` with `parent` does.
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
from schemas.matrices import tensor_values

THREADS = 2
PARENT_SEED, LATER_SEED, GOLD_SEED = 11, 21, 31
DRIFT_PER_1000_COILS = 0.02


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


def _gold(bundle: Bundle, gold: Population) -> tuple[float, float]:
    """F1 at the bundle's own threshold, and ROC-AUC."""
    matrix, spread = tensor_values(gold.batch), tensor_values(gold.batch, "spread")
    parts = [slice(start, start + COILS_AT_ONCE) for start in range(0, len(matrix), COILS_AT_ONCE)]
    p_nok = np.concatenate([bundle.p_nok(matrix[part], spread[part]) for part in parts])
    called, is_nok = p_nok >= bundle.manifest.threshold, gold.is_nok
    order = p_nok[is_nok][:, None] - p_nok[~is_nok][None, :]
    roc_auc = float(np.mean((order > 0) + 0.5 * (order == 0)))
    return float(2 * np.sum(called & is_nok) / (called.sum() + is_nok.sum())), roc_auc


def main() -> None:
    """Print the machine, then a line a side."""
    coils, gold_coils, epochs = (int(given) for given in (*sys.argv[1:], *("4500", "2000", "10")[len(sys.argv) - 1 :]))
    torch.set_num_threads(THREADS)
    limits = load_ensemble(None, threads=1).limits
    spec = _spec(coils, epochs)
    earlier = simulated(SimulatedData(coils=coils, seed=PARENT_SEED), limits)
    later, gold = (
        simulated(SimulatedData(coils=size, seed=seed, drift_per_1000_coils=DRIFT_PER_1000_COILS), limits)
        for size, seed in ((coils, LATER_SEED), (gold_coils, GOLD_SEED))
    )
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
        print(f"| side | seconds | F1 on {gold_coils} | ROC-AUC | faster by |\n|---|---|---|---|---|")
        before = _gold(load_bundle(parent, threads=THREADS), gold)
        print(f"| parent as it is | 0 | {before[0]:.3f} | {before[1]:.3f} | |")
        first = None
        for place, (name, make) in enumerate(sides.items()):
            start = time.perf_counter()
            out = make(root / str(place))
            seconds = time.perf_counter() - start
            first = first or seconds
            f1, roc_auc = _gold(load_bundle(out, threads=THREADS), gold)
            print(f"| {name} | {seconds:.1f} | {f1:.3f} | {roc_auc:.3f} | {first / seconds:.1f} × |", flush=True)


if __name__ == "__main__":
    main()
