"""Time of the ensemble of three against the same nets in torch eager and Ultralytics' `predict`, all in one run.

Run as `python -m bench.ensemble [rounds]`. The sides take turns within each round; medians over the rounds.
"""

import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import torch

from bench.machine import machine
from models.ensemble import Ensemble, load_ensemble
from models.network_spec import NetworkKind, NetworkOptions
from models.networks import Network, build
from schemas.coils import CoilKey, Float32Array
from schemas.layout import MATRIX_SHAPE
from schemas.matrices import matrix_batch, tensor_values

THREADS = 2
BATCHES = (1, 16, 64)
KINDS: tuple[NetworkKind, ...] = ("yolov8n-cls", "cnn10", "cnn1d")
PREDICT_SIDE = 224  # Ultralytics' default for classification


def _batch(coils: int) -> pa.RecordBatch:
    rng = np.random.default_rng(0)
    matrix = rng.normal(0, 0.3, (coils, *MATRIX_SHAPE)).clip(-1, 1).astype(np.float32)
    return matrix_batch(
        keys=[CoilKey(plant="bench", coil_id=str(i)) for i in range(coils)],
        revisions=[""] * coils,
        matrix=matrix,
        spread=np.zeros_like(matrix),
        observed=np.ones(coils),
        scale="limits",
    )


def _three(ensemble: Ensemble) -> Ensemble:
    """The members that are the three nets on scale `limits`."""
    members = tuple(m for m in ensemble.members if m.manifest.scale == "limits" and m.manifest.kind in KINDS)
    assert len(members) == len(KINDS)
    return dataclasses.replace(ensemble, members=members)


def _eager(networks: list[Network], matrix: Float32Array) -> Callable[[], object]:
    def run() -> object:
        with torch.inference_mode():
            tensor = torch.from_numpy(matrix)[:, None]
            return np.mean([torch.sigmoid(network(tensor)).numpy() for network in networks], axis=0)

    return run


def _predictor(folder: Path) -> Callable[[Float32Array], object]:
    """Ultralytics' own way: YOLOv8n-cls from a .pt file, grey images in."""
    from ultralytics.models import YOLO  # noqa: PLC0415 - after networks.yolo has set its environment

    file = folder / "yolov8n-cls.pt"
    YOLO("yolov8n-cls.yaml", verbose=False).save(file)
    model = YOLO(file)

    def predict(matrix: Float32Array) -> object:
        grey = np.floor((matrix + 1) / 2 * 255).astype(np.uint8)
        images = [np.repeat(coil[:, :, None], 3, axis=2) for coil in grey]
        return model.predict(images, imgsz=PREDICT_SIDE, verbose=False)

    return predict


def _times(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 2):
        for name, run in sides.items():
            start = time.perf_counter()
            run()
            if number >= 2:  # two rounds to warm up
                times[name].append(time.perf_counter() - start)
    return times


def main() -> None:
    """Print the machine, then each side's median at batch 1, 16 and 64."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    torch.set_num_threads(THREADS)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "torch", "ultralytics"))
    print(f"{machine()}; {libraries}; {THREADS} threads a side; medians of {rounds} rounds")
    shipped = load_ensemble(None, threads=THREADS)
    three = _three(shipped)
    networks = [build(kind, NetworkOptions()).eval() for kind in KINDS]
    with tempfile.TemporaryDirectory() as folder:
        predict = _predictor(Path(folder))
        for coils in BATCHES:
            batch = _batch(coils)
            matrix = tensor_values(batch).copy()  # torch wants a writable one
            sides: dict[str, Callable[[], object]] = {
                "coilflow, ensemble of three": lambda b=batch: three.score(b),  # type: ignore[misc]
                f"coilflow, all {len(shipped.members)} shipped members": lambda b=batch: shipped.score(b),  # type: ignore[misc]
                "the three nets in torch eager": _eager(networks, matrix),
                "Ultralytics predict, YOLOv8n-cls alone, 224": lambda m=matrix: predict(m),  # type: ignore[misc]
            }
            for name, times in _times(sides, rounds).items():
                middle = median(times)
                print(
                    f"batch {coils:2d}  {name:44s} {1e3 * middle / coils:7.2f} ms a coil  {coils / middle:6.0f} coils/s"
                )


if __name__ == "__main__":
    main()
