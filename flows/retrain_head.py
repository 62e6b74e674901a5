"""A successor in seconds: a new head on the features of a bundle that serves, by ONNX Runtime, without torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError
from rich.progress import Progress

from flows.population import Population
from flows.split import Split, split
from models.augment_numpy import changed_copies
from models.bundle import (
    GOLDEN,
    MODEL,
    SPREAD,
    VERSION_DIGITS,
    Bundle,
    load_bundle,
    open_session,
    read_file,
    sha256,
    write_bundle,
)
from models.data_spec import Augmentation, Share
from models.evaluation import evaluate
from models.features import FeatureCache, features
from models.golden import golden_again
from models.head_graph import backbone_digest, replace_head, with_features
from models.heads import fit_head, head_log_odds
from models.installed import installed_version
from models.objectives_spec import ClassWeights, Threshold
from models.scales import to_self_scale, to_self_spread
from models.thresholds import chosen_threshold
from schemas.bundles import BundleManifest, TrainingRecord
from schemas.coils import Float32Array, FloatArray
from schemas.errors import BundleError, SpecError
from schemas.faults import first_fault
from schemas.matrices import tensor_values
from schemas.settings import ToleranceProfile

_COPIES = 4  # changed ones of each NOK coil that is learnt from; a head learns from fixed coils, not from fresh draws
_THREADS = 2
_LIBRARIES = ("numpy", "onnx", "onnxruntime", "scikit-learn")


class _Recorded(BaseModel):
    """What a head takes over from the training specification that its parent's manifest records."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    class_weight: Literal["balanced"] | ClassWeights
    augment: Augmentation
    threshold: Threshold = Threshold()
    validation_share: Share
    holdout_share: Share


@dataclass(frozen=True, kw_only=True, slots=True)
class _Parent:
    """The bundle whose features are learnt from, its graph, and how it was trained."""

    bundle: Bundle
    place: Path  # of the graph
    model: bytes
    backbone: str
    spec: _Recorded


@dataclass(frozen=True, kw_only=True, slots=True)
class _Learnt:
    """A graph with its new head, and what it says of the population."""

    model: bytes
    p_nok: FloatArray
    threshold: float


def retrain_head(
    parent: Path,
    population: Population,
    out: Path,
    *,
    seed: int,
    holdout_share: float | None = None,
    threads: int = _THREADS,
    cache: Path | None = None,
    profiles: Mapping[str, ToleranceProfile] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Fit a new head on a bundle's features and write the bundle that has it; returns the new bundle's folder.

    Split, class weights, augmentation and the rule of the threshold are those of the parent's specification.

    Args:
        parent: folder of a bundle whose graph gives features and ends in one linear head on them.
        population: labelled coils, normalised with the parent's limits.
        out: the new bundle's folder, which must not exist.
        seed: of the changed copies of NOK coils.
        holdout_share: of the coils, in (0, 1); None: that of the parent's specification.
        threads: of ONNX Runtime.
        cache: folder that keeps features for the next time; None to keep none.
        profiles: tolerance profiles by name, for a parent whose threshold follows one.
        progress: a started progress display, or None to be silent.

    Raises:
        BundleError: the parent cannot be read or has no such head, or `out` cannot be written.
        SpecError: `out` exists, a part of the coils by the parent's shares lacks a label, or they were normalised
            with other limits than the parent's.
        SourceError: the validation coils cannot give the threshold that the parent's specification asks for.
    """
    if out.exists():
        raise SpecError(f"key out: {out} exists already", remedy="name another folder, or remove this one first")
    taken = _read(parent, threads, {} if holdout_share is None else {"holdout_share": holdout_share})
    _fits(taken.bundle, population)
    parts = split(population, validation_share=taken.spec.validation_share, holdout_share=taken.spec.holdout_share)
    copies = _COPIES * int(population.is_nok[parts.training].sum())
    on_coils = _reporter(taken.bundle.manifest.name, len(population.is_nok) + copies, progress)
    learnt = _learn(taken, population, parts, seed=seed, cache=cache, profiles=profiles or {}, on_coils=on_coils)
    _write(taken, population, parts, learnt, seed=seed, out=out)
    return out


def _reporter(name: str, total: int, progress: Progress | None) -> Callable[[int], None]:
    """Computing features is what takes the time: the head itself is fitted in a second or two."""
    if progress is None:
        return lambda _: None
    task = progress.add_task(f"{name}: features", total=total)
    return lambda coils: progress.advance(task, coils)


def _read(folder: Path, threads: int, changes: Mapping[str, float]) -> _Parent:
    bundle = load_bundle(folder, threads=threads)
    place = folder / MODEL
    kept = read_file(place)
    model = with_features(kept, place=place)
    if model is not kept:
        bundle = replace(bundle, session=open_session(model, place=place, threads=threads))
    backbone = backbone_digest(model, place=place)
    try:
        spec = _Recorded.model_validate({**bundle.manifest.training.spec, **changes})
    except ValidationError as error:
        raise BundleError(
            f"{folder}: its manifest's training.spec is none of ours ({first_fault(error).sentence()})",
            remedy="take a bundle that `coilflow train` wrote",
        ) from error
    bundle.verify()
    return _Parent(bundle=bundle, place=place, model=model, backbone=backbone, spec=spec)


def _fits(bundle: Bundle, population: Population) -> None:
    """Refuse coils on which the parent's features would mean something else."""
    manifest = bundle.manifest
    if manifest.scale == "self":
        return
    if population.limits is None:
        raise SpecError(
            f"{population.source}: grey levels have no limits, and {manifest.name} takes scale limits",
            remedy="give readings, or a bundle of scale self",
        )
    if population.limits.version != manifest.limits_version:
        raise SpecError(
            f"{population.source}: normalised with limits {population.limits.version}, {manifest.name} was trained on "
            f"{manifest.limits_version}",
            remedy="let COILFLOW_ENSEMBLE name the ensemble that the bundle serves in, whose limits are its own",
        )


def _learn(
    parent: _Parent,
    population: Population,
    parts: Split,
    *,
    seed: int,
    cache: Path | None,
    profiles: Mapping[str, ToleranceProfile],
    on_coils: Callable[[int], None],
) -> _Learnt:
    kept = None if cache is None else FeatureCache(folder=cache, backbone=parent.backbone)
    is_nok, grey = population.is_nok, parent.bundle.manifest.scale == "self"
    matrix, spread = _coils(population, grey=grey)
    found = features(parent.bundle, matrix, spread, cache=kept, on_coils=on_coils)
    nok = parts.training[is_nok[parts.training]]
    revisions = population.batch.column("revision").take(pa.array(nok)).to_pylist()
    changed = changed_copies(
        matrix[nok], spread[nok], revisions, parent.spec.augment, copies=_COPIES, grey=grey, seed=seed
    )
    more = features(parent.bundle, *changed, cache=kept, on_coils=on_coils)
    head = fit_head(
        found[parts.training],
        is_nok[parts.training],
        more,
        found[parts.validation],
        is_nok[parts.validation],
        class_weight=parent.spec.class_weight,
    )
    p_nok = 1 / (1 + np.exp(-head_log_odds(head, found)))
    threshold = chosen_threshold(
        parent.spec.threshold, p_nok[parts.validation], is_nok[parts.validation], profiles=profiles
    )
    return _Learnt(model=replace_head(parent.model, head, place=parent.place), p_nok=p_nok, threshold=threshold)


def _coils(population: Population, *, grey: bool) -> tuple[Float32Array, Float32Array]:
    matrix, spread = tensor_values(population.batch), tensor_values(population.batch, SPREAD)
    return (to_self_scale(matrix), to_self_spread(spread, matrix)) if grey else (matrix, spread)


def _write(
    parent: _Parent, population: Population, parts: Split, learnt: _Learnt, *, seed: int, out: Path
) -> BundleManifest:
    before = parent.bundle.manifest
    p_nok, is_nok = learnt.p_nok[parts.holdout], population.is_nok[parts.holdout]
    metrics = evaluate(p_nok=p_nok, is_nok=is_nok, predicted_nok=p_nok >= learnt.threshold)
    training = TrainingRecord(
        source=population.source,
        coils=len(population.is_nok),
        nok=int(population.is_nok.sum()),
        data_digest=population.digest(),
        spec={
            **before.training.spec,
            "holdout_share": parent.spec.holdout_share,
            "seed": seed,
            "data": {"source": population.source},
        },
        seed=seed,
        weights=f"head on features of {before.name}@{before.version}",
        device="cpu",
    )
    changes = {
        "version": sha256(learnt.model)[:VERSION_DIGITS],
        "threshold": learnt.threshold,
        "threshold_rule": parent.spec.threshold.rule,
        "metrics": metrics.as_json(),
        "training": training,
        "parent": f"{before.name}@{before.version}",
        "code_version": installed_version("coilflow"),
        "libraries": {name: installed_version(name) for name in _LIBRARIES},
    }
    session = open_session(learnt.model, place=out / MODEL, threads=1)
    golden = golden_again(parent.bundle.golden, session)
    written = write_bundle(out, manifest=before.model_copy(update=changes), files={MODEL: learnt.model, GOLDEN: golden})
    load_bundle(out, threads=1).verify()
    return written
