"""One model from a specification: coils, training, export, and a bundle that says how good it is."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from rich.progress import Progress

from flows.background import Fetched, background_of, network_coils, refuse_judged
from flows.population import BOTH_LABELS, Population, from_source, simulated
from flows.sources.open import open_source
from flows.split import split
from flows.trained_bundle import write_trained
from models.spec import TrainSpec
from models.training import Epoch, LabelledCoils, fit
from schemas.coils import Limits
from schemas.errors import SourceError, SpecError
from schemas.mapping import OUR_NAMES, PlantMapping
from schemas.settings import ToleranceProfile

_NO_NOK_NEEDED = frozenset({"anomaly", "rule", "rule-in-steps"})  # a rule that has seen none keeps its weights by hand
_DEFAULT_PROFILES = {"default": ToleranceProfile()}


def train(
    spec: TrainSpec,
    out: Path,
    *,
    limits: Limits,
    plant: str,
    mapping: PlantMapping = OUR_NAMES,
    profiles: Mapping[str, ToleranceProfile] = _DEFAULT_PROFILES,
    progress: Progress | None = None,
) -> Path:
    """Train one model and write its bundle; returns the bundle's folder.

    Matrices are normalised with the limits of the ensemble that serves, so that the model can join it.

    Args:
        spec: what to train and on what.
        out: the bundle's folder, which must not exist.
        limits: of the ensemble that the model is to join.
        plant: of coils whose source names none.
        mapping: how the plant names what its tables and events hold.
        profiles: tolerance profiles of the settings, by name.
        progress: a started progress display, or None to be silent.

    Raises:
        SpecError: the specification asks for what its data cannot give.
        SourceError: the data hold too few labelled coils.
        BundleError: the parent is missing, altered or of another network.
    """
    if out.exists():
        raise SpecError(f"key out: {out} exists already", remedy="name another folder, or remove this one first")
    population = population_of(spec, limits, plant=plant, mapping=mapping)
    fetched = background_of(spec, limits, plant=plant, mapping=mapping)
    return train_on(spec, population, out, progress, fetched=fetched, profiles=profiles)


def population_of(
    spec: TrainSpec, limits: Limits | None, *, plant: str = "default", mapping: PlantMapping = OUR_NAMES
) -> Population:
    """The labelled coils that a specification names; an anomaly detector and a rule can do without NOK ones."""
    if spec.data.simulate is not None:
        return simulated(spec.data.simulate, limits, needed=_needed(spec))
    if limits is None or spec.data.source is None:
        raise SpecError("key data.source: limits are measured on simulated coils only", remedy="use data.simulate")
    return from_source(open_source(spec.data.source, plant=plant, mapping=mapping), limits, needed=_needed(spec))


def train_on(
    spec: TrainSpec,
    population: Population,
    out: Path,
    progress: Progress | None = None,
    *,
    fetched: Fetched | None = None,
    profiles: Mapping[str, ToleranceProfile] = _DEFAULT_PROFILES,
) -> Path:
    """As `train`, on coils that are at hand, and on what `background_of` fetched for the specification, if it did."""
    if spec.scale == "limits" and population.limits is None:
        raise SpecError(
            f"key scale: {population.source} has no limits, so no model on scale limits can learn from it",
            remedy="set scale: self",
        )
    for label in _needed(spec):
        if not np.any(population.is_nok == (label == "NOK")):
            raise SourceError(
                f"{population.source}: no coil is labelled {label}, and a {spec.kind} cannot be trained without",
                remedy="give labelled coils of both, or train kind: anomaly or kind: rule, which can do without NOK",
            )
    if fetched is None:
        fetched = background_of(spec, population.limits)
    coils = LabelledCoils(coils=network_coils(population.batch, spec), is_nok=population.is_nok)
    parts = split(
        population,
        validation_share=spec.validation_share,
        holdout_share=spec.holdout_share,
        needed=_needed(spec),
    )
    refuse_judged(fetched, population, parts.holdout)
    training, validation = coils.take(parts.training), coils.take(parts.validation)
    trained = fit(spec, training, validation, on_epoch=_reporter(spec, progress), background=fetched.background)
    return write_trained(
        spec,
        population,
        coils,
        trained,
        out,
        validation=parts.validation,
        holdout=parts.holdout,
        fetched=fetched,
        profiles=profiles,
    )


def _reporter(spec: TrainSpec, progress: Progress | None) -> Callable[[Epoch], None]:
    if progress is None:
        return lambda _: None
    stages = [spec.pretrain, spec.contrastive if spec.contrastive and spec.contrastive.stages == "two" else None]
    total = spec.epochs + sum(stage.epochs for stage in stages if stage is not None)
    task = progress.add_task(spec.name, total=total)

    def report(epoch: Epoch) -> None:
        stage = "" if epoch.stage == "training" else f" ({epoch.stage})"
        losses = f"{spec.name}{stage}: loss {epoch.training_loss:.3f}, validation {epoch.validation_loss:.3f}"
        progress.update(task, advance=1, description=losses)

    return report


def _needed(spec: TrainSpec) -> tuple[str, ...]:
    """Labels without which a model of this kind cannot be trained."""
    return ("OK",) if spec.kind in _NO_NOK_NEEDED else BOTH_LABELS
