"""`coilflow train`: one model from a specification, or a new head for a model that there is."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table

from console.extras import refuse_missing
from console.options import JsonOption
from console.output import err, metrics_table, number, out, print_json
from flows.mapping import mapping_of
from flows.population import from_source
from flows.serving import serving_ensemble
from flows.sources.open import open_source
from models.bundle import load_bundle
from models.spec import read_spec
from schemas.bundles import BundleManifest
from schemas.errors import UsageError
from schemas.settings import load_settings


def train(
    given: Annotated[
        str,
        typer.Argument(
            metavar="SPEC.yaml|SOURCE",
            help="What to train and on what, see models/specs; with --head-of, labelled coils: a SOURCE as of assess.",
        ),
    ],
    *,
    out_folder: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The bundle's folder; else the specification's, else runs/NAME."),
    ] = None,
    head_of: Annotated[
        Path | None,
        typer.Option(
            metavar="BUNDLE",
            help="Keep this bundle's features and fit a new head on the coils of SOURCE, in seconds and without torch.",
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="With --head-of: keeps features for the next time."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="With --head-of: of the changed copies of NOK coils, 0 unless given.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Train one model and write its bundle."""
    if head_of is None:
        for name, value in (("cache", cache), ("seed", seed)):
            if value is not None:
                raise UsageError(
                    f"--{name} belongs to --head-of", remedy="name a BUNDLE, or set seed in the specification"
                )
        folder = _from_specification(Path(given), out_folder)
    elif out_folder is None:
        raise UsageError("--head-of needs --out", remedy="name the folder of the new bundle")
    else:
        folder = _new_head(head_of, given, out_folder, cache=cache, seed=seed or 0)
    manifest = load_bundle(folder, threads=1).manifest
    if as_json:
        print_json(_object(manifest, folder))
    elif head_of is not None:
        out.print(_table(manifest))
        out.print(f"{manifest.name} {manifest.version}, {manifest.training.weights}, in {folder}")
    else:
        figures = ", ".join(
            f"{name} {number(manifest.metrics[name])}" for name in ("accuracy", "precision", "recall", "f1", "roc_auc")
        )
        out.print(f"{manifest.name} {manifest.version} in {folder}")
        out.print(f"holdout of {manifest.metrics['n']} coils: {figures}; threshold {manifest.threshold:.3f}")
    return 0


def _from_specification(spec: Path, out_folder: Path | None) -> Path:
    settings = load_settings()
    read = read_spec(spec)
    refuse_missing("training needs", ("torch",), extra="train")
    from flows.train import train as train_model  # noqa: PLC0415 - torch is an optional extra

    target = out_folder or read.out or Path("runs") / read.name
    with Progress(console=err, disable=not err.is_terminal) as bar:
        limits = serving_ensemble(settings).limits
        return train_model(
            read,
            target,
            limits=limits,
            plant=settings.plant,
            mapping=mapping_of(settings),
            profiles=settings.tolerance_profiles,
            progress=bar,
        )


def _new_head(parent: Path, source: str, target: Path, *, cache: Path | None, seed: int) -> Path:
    refuse_missing("a new head needs", ("onnx", "scipy", "sklearn"), extra="retrain")
    from flows.retrain_head import retrain_head  # noqa: PLC0415 - as above

    settings = load_settings()
    if target.exists():
        raise UsageError(f"{target} exists already", remedy="name another folder, or remove this one first")
    opened = open_source(source, plant=settings.plant, mapping=mapping_of(settings))
    with Progress(console=err, disable=not err.is_terminal) as bar:
        reading = bar.add_task(f"read {opened.name}", total=None)
        population = from_source(opened, serving_ensemble(settings).limits)
        bar.update(reading, total=1, completed=1)
        return retrain_head(
            parent, population, target, seed=seed, cache=cache, profiles=settings.tolerance_profiles, progress=bar
        )


def _object(manifest: BundleManifest, folder: Path) -> dict[str, Any]:
    """What `--json` prints; the figures as `evaluate --json` names them."""
    return {
        "name": manifest.name,
        "version": manifest.version,
        "parent": manifest.parent,
        "weights": manifest.training.weights,
        "coils": manifest.training.coils,
        "nok": manifest.training.nok,
        "threshold": round(manifest.threshold, 6),
        "out": str(folder),
        **manifest.metrics,
    }


def _table(manifest: BundleManifest) -> Table:
    title = f"holdout of {manifest.metrics['n']} of {manifest.training.coils} coils"
    return metrics_table(manifest.metrics, title=title, caption=f"NOK from {manifest.threshold:.3f}")
