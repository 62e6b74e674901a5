"""Rebuild the ensemble that ships with coilflow from the specifications in models/specs.

`python -m flows.bundles [REAL.parquet]` takes six to twenty minutes on two cores. The same specifications on the same
machine and libraries give the same versions; elsewhere the weights differ in their last digits, and so do the versions.
"""

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.progress import Progress

from flows.population import Population
from flows.references import typical_reference
from flows.sources.grey import labelled_grey
from flows.split import split
from flows.train import population_of, train_on
from models.bundle import MANIFEST, VERSION_DIGITS, load_bundle, read_file, sha256
from models.combine import Rule
from models.data_spec import DataSpec
from models.ensemble import SHIPPED, Ensemble, load_ensemble, without_weights, write_ensemble
from models.reference import write_reference
from models.spec import TrainSpec, read_spec
from models.thresholds import chosen_threshold
from schemas.bundles import EnsembleManifest
from schemas.coils import Limits
from schemas.matrices import Scale

SPECS = Path(__file__).parent.parent / "models" / "specs"
# How much a member says. On scale `self` the rule says as much as both networks together, which err alike; on `limits`
# members of scale `self` have a quarter, since they do not see how far a whole coil is off.
SAY: dict[Scale, float] = {"limits": 2.0, "self": 0.5}
RULE_SAYS = 1.0
NAME = "shipped"


def build_ensemble(
    specs: Sequence[TrainSpec], out: Path, progress: Progress | None = None, *, real: Path | None = None
) -> EnsembleManifest:
    """Train the members and put them together; limits are measured on the coils of the first specification.

    Args:
        specs: one a member; the ensemble's threshold for a scale is set by the rule of its first member, on the coils
            that this did not learn from.
        out: the ensemble's folder, replaced whole once everything is built.
        progress: a started progress display, or None to be silent.
        real: labelled grey coils of a plant; the threshold for scale `self` then lies halfway between what suits the
            simulated coils and what suits these, on which no member learns.

    Raises:
        SourceError: a grey coil cannot be read, or has no label.
    """
    grey = None if real is None else labelled_grey(real)
    first = population_of(specs[0], None)
    if first.limits is None:
        raise ValueError(f"the first specification, {specs[0].name}, must name coils that limits can be measured on")
    populations: dict[DataSpec, Population] = {specs[0].data: first}
    with tempfile.TemporaryDirectory(prefix="coilflow-bundles-") as folder:
        members = []
        for spec in specs:
            if spec.data not in populations:
                populations[spec.data] = population_of(spec, first.limits)
            trained = train_on(spec, populations[spec.data], Path(folder) / "trained" / spec.name, progress)
            members.append(without_weights(load_bundle(trained, threads=1), Path(folder) / spec.name))
        manifest = _with_thresholds(members, specs, populations, first.limits, Path(folder), grey)
        _replace(out, Path(folder) / NAME)
    return manifest


def _with_thresholds(
    members: Sequence[Path],
    specs: Sequence[TrainSpec],
    populations: dict[DataSpec, Population],
    limits: Limits,
    folder: Path,
    grey: Sequence[pa.RecordBatch] | None,
) -> EnsembleManifest:
    """Write the ensemble once to see its scores, then again with the thresholds that follow from them."""
    how = Rule(how="weighted", weights=_weights(specs))
    made_of = [read_file(member / MANIFEST) for member in members]

    def write(name: str, thresholds: dict[Scale, float]) -> EnsembleManifest:
        version = sha256(b"".join([*made_of, repr((how.weights, thresholds)).encode()]))[:VERSION_DIGITS]
        return write_ensemble(
            folder / name, name=NAME, version=version, members=members, thresholds=thresholds, limits=limits, how=how
        )

    write("untuned", {"limits": 0.5, "self": 0.5})
    ensemble = load_ensemble(folder / "untuned", threads=2)
    thresholds: dict[Scale, float] = {}
    for spec in specs:
        if spec.scale not in thresholds:
            population = populations[spec.data]
            parts = split(population, validation_share=spec.validation_share, holdout_share=spec.holdout_share)
            unseen = np.sort(np.concatenate([parts.validation, parts.holdout]))
            thresholds[spec.scale] = _threshold(ensemble, population, unseen, spec)
            if spec.scale == "self" and grey is not None:
                suits = [_grey_threshold(ensemble, grey, spec), thresholds["self"]]
                thresholds["self"] = sum(suits) / len(suits)
    return write(NAME, thresholds)


def _weights(specs: Sequence[TrainSpec]) -> tuple[float, ...]:
    """Of the members, adding up to 1."""
    said = [RULE_SAYS if spec.kind == "rule-in-steps" else SAY[spec.scale] for spec in specs]
    return tuple(one / sum(said) for one in said)


def _threshold(ensemble: Ensemble, population: Population, chosen: np.ndarray, spec: TrainSpec) -> float:
    batch = population.batch.take(pa.array(chosen))
    if spec.scale == "self":
        column = batch.schema.get_field_index("scale")
        batch = batch.set_column(column, batch.schema.field(column), pa.array(["self"] * len(chosen)))
    scores = ensemble.score(batch)
    return chosen_threshold(spec.threshold, scores.p_nok, population.is_nok[chosen], profiles={})


def _grey_threshold(ensemble: Ensemble, grey: Sequence[pa.RecordBatch], spec: TrainSpec) -> float:
    p_nok = np.concatenate([ensemble.score(batch).p_nok for batch in grey])
    labels = [label for batch in grey for label in batch.column("label").to_pylist()]
    return chosen_threshold(spec.threshold, p_nok, np.array([label == "NOK" for label in labels]), profiles={})


def _replace(out: Path, built: Path) -> None:
    """Put a built folder in the place of another."""
    if out.exists():
        shutil.rmtree(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(built, out)


def main() -> None:
    """Rebuild `models/bundles` and say what came out."""
    parser = argparse.ArgumentParser(description="Train the shipped ensemble again.")
    parser.add_argument(
        "real", type=Path, nargs="?", help="labelled grey coils, beside which the grey threshold is set"
    )
    real = parser.parse_args().real
    console = Console()
    specs = [read_spec(path) for path in sorted(SPECS.glob("*.yaml"))]
    with Progress(console=console) as progress:
        manifest = build_ensemble(specs, SHIPPED, progress, real=real)
    write_reference(SHIPPED, typical_reference(load_ensemble(SHIPPED, threads=2)))
    console.print(f"ensemble {manifest.version}, limits {manifest.limits}, thresholds {manifest.thresholds}")
    for name in manifest.members:
        member = load_bundle(SHIPPED / name, threads=1).manifest
        figures = {key: member.metrics[key] for key in ("n", "accuracy", "recall", "precision", "f1", "roc_auc")}
        console.print(f"{member.name} {member.version} ({member.scale}): {figures}")
    size = sum(file.stat().st_size for file in SHIPPED.rglob("*") if file.is_file())
    console.print(
        f"{size / 1e6:.1f} MB in {SHIPPED.relative_to(Path.cwd()) if SHIPPED.is_relative_to(Path.cwd()) else SHIPPED}"
    )


if __name__ == "__main__":
    main()
