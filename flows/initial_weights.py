"""Rebuild the weights that `network.weights: simulated` begins with: `python -m flows.initial_weights [KIND ...]`.

Each network is trained with labels on coils of the simulated line that no experiment judges on, and kept in half
precision; the specifications stand beside the weights in models/weights.
"""

import sys
import tempfile
from pathlib import Path

import safetensors.torch
from rich.console import Console
from rich.progress import Progress

from flows.train import population_of, train_on
from models.bundle import WEIGHTS, load_bundle, read_file
from models.networks.weights import SIMULATED
from models.spec import TrainSpec, read_spec


def build_weights(spec: TrainSpec, out: Path, progress: Progress | None = None) -> dict[str, float]:
    """Train a network and keep its weights; returns what its holdout says of it.

    Args:
        spec: of a network with weights of its own making.
        out: the `.safetensors` to write: float tensors in half precision, the file's metadata name the training.
        progress: a started progress display, or None to be silent.
    """
    with tempfile.TemporaryDirectory(prefix="coilflow-weights-") as folder:
        bundle = train_on(spec, population_of(spec, None), Path(folder) / spec.name, progress)
        manifest = load_bundle(bundle, threads=1).manifest
        tensors = safetensors.torch.load(read_file(bundle / WEIGHTS))
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    about = {"source": manifest.training.source, "data_digest": manifest.training.data_digest, "kind": spec.kind}
    out.write_bytes(safetensors.torch.save(halves, metadata=about))
    return {key: manifest.metrics[key] for key in ("n", "recall", "precision", "f1", "roc_auc")}


def main() -> None:
    """Rebuild the weights of the kinds that are named, or of all."""
    console, paths = Console(), sorted(SIMULATED.glob("*.yaml"))
    wanted = sys.argv[1:] or [path.stem for path in paths]
    for kind in wanted:
        if kind not in {path.stem for path in paths}:
            raise SystemExit(
                f"no specification of {kind} in models/weights; there are {', '.join(p.stem for p in paths)}"
            )
    with Progress(console=console) as progress:
        for kind in wanted:
            out = SIMULATED / f"{kind}.safetensors"
            figures = build_weights(read_spec(SIMULATED / f"{kind}.yaml"), out, progress)
            console.print(f"{out.name}: {out.stat().st_size / 1e6:.1f} MB, on its holdout {figures}")


if __name__ == "__main__":
    main()
