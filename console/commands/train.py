"""`coilflow train`: one model from a specification."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from console.output import err, out
from flows.mapping import mapping_of
from flows.serving import serving_ensemble
from models.bundle import load_bundle
from models.spec import read_spec
from schemas.errors import UsageError
from schemas.settings import load_settings


def train(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.yaml", help="What to train and on what; see models/specs.")],
    *,
    out_folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The bundle's folder; else the spec's, else runs/NAME.")
    ] = None,
) -> int:
    """Train one model and write its bundle."""
    settings = load_settings()
    read = read_spec(spec)
    if find_spec("torch") is None:
        raise UsageError("training needs torch, which is not installed", remedy="pip install 'coilflow[train]'")
    from flows.train import train as train_model  # noqa: PLC0415 - torch is an optional extra

    target = out_folder or read.out or Path("runs") / read.name
    with Progress(console=err, disable=not err.is_terminal) as bar:
        limits = serving_ensemble(settings).limits
        folder = train_model(
            read,
            target,
            limits=limits,
            plant=settings.plant,
            mapping=mapping_of(settings),
            profiles=settings.tolerance_profiles,
            progress=bar,
        )
    manifest = load_bundle(folder, threads=1).manifest
    figures = ", ".join(
        f"{name} {manifest.metrics[name]:.3f}" if manifest.metrics[name] is not None else f"{name} undefined"
        for name in ("accuracy", "precision", "recall", "f1", "roc_auc")
    )
    out.print(f"{manifest.name} {manifest.version} in {folder}")
    out.print(f"holdout of {manifest.metrics['n']} coils: {figures}; threshold {manifest.threshold:.3f}")
    return 0
