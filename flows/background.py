"""What training leans on beside labelled coils, fetched: a parent's weights, and coils whose labels are not seen."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from flows.population import Population, unlabelled
from flows.sources.open import open_source
from models.bundle import SPREAD, WEIGHTS, Bundle, load_bundle, read_weights
from models.data_spec import DataSpec
from models.scales import to_self_scale, to_self_spread
from models.spec import TrainSpec
from models.training import Background
from schemas.bundles import BundleManifest
from schemas.coils import Float32Array, IntArray, Limits
from schemas.errors import SpecError
from schemas.mapping import OUR_NAMES, PlantMapping
from schemas.matrices import tensor_values


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """What training leans on, and whose it is."""

    background: Background
    parent: BundleManifest | None  # of the bundle that training begins with
    unlabelled: Mapping[str, pa.RecordBatch]  # by key of the specification: `plant`, `coil_id` and `revision` of coils

    def digests(self) -> dict[str, str]:
        """SHA-256 of the unlabelled coils by key, over revisions, sorted."""
        return {
            key: hashlib.sha256("\n".join(sorted(coils.column("revision").to_pylist())).encode()).hexdigest()
            for key, coils in self.unlabelled.items()
        }


def background_of(
    spec: TrainSpec, limits: Limits | None, *, plant: str = "default", mapping: PlantMapping = OUR_NAMES
) -> Fetched:
    """Fetch what a specification names under `parent`, `pretrain` and `adapt`.

    Args:
        spec: may name none of them.
        limits: that the labelled coils are normalised with; None: grey, and none for what is read here.
        plant: of coils whose source names none.
        mapping: how the plant names what its tables and events hold.

    Raises:
        SpecError: the parent is of another kind, scale or limits, or holds no weights; coils are of the wrong scale.
        SourceError: a source holds no coil.
        BundleError: the parent is missing or altered.
    """
    identities: dict[str, pa.RecordBatch] = {}

    def coils_of(data: DataSpec, key: str) -> Float32Array:
        source = data.simulate or open_source(data.source or "", plant=plant, mapping=mapping)
        batch, known = unlabelled(source, limits)
        if spec.scale == "limits" and known is None:
            raise SpecError(
                f"key {key}: grey levels have no limits, so no model on scale limits can learn from them",
                remedy="name readings, or set scale: self",
            )
        identities[key] = batch.select(["plant", "coil_id", "revision"])
        return network_coils(batch, spec)

    parent = None if spec.parent is None else _parent(spec.parent, spec, limits)
    to_pretrain = spec.pretrain.unlabelled if spec.pretrain else None
    background = Background(
        parent=None if parent is None else _weights_of(parent),
        unlabelled=None if to_pretrain is None else coils_of(to_pretrain, "pretrain.unlabelled"),
        recent=None if spec.adapt is None else coils_of(spec.adapt.unlabelled, "adapt.unlabelled"),
    )
    return Fetched(background=background, parent=None if parent is None else parent.manifest, unlabelled=identities)


def refuse_judged(fetched: Fetched, population: Population, holdout: IntArray) -> None:
    """Raise SpecError where a coil, by its id or its readings, is learnt from without its label and judged on."""
    judged = population.batch.select(["plant", "coil_id", "revision"]).take(pa.array(holdout))
    for key, coils in fetched.unlabelled.items():
        both = _identities(judged) & _identities(coils)
        if not both:
            both = set(judged.column("revision").to_pylist()) & set(coils.column("revision").to_pylist())
        if both:
            raise SpecError(
                f"key {key}: {len(both)} coils of the holdout, such as {min(both)}, are both learnt from and judged on",
                remedy="name unlabelled coils of another period or source",
            )


def network_coils(batch: pa.RecordBatch, spec: TrainSpec) -> Float32Array:
    """Coils of MATRIX_BATCH as the network takes them: float32 [N, C, 264, 18] on the specification's scale."""
    matrix, spread = tensor_values(batch), tensor_values(batch, SPREAD)
    if spec.scale == "self":
        matrix, spread = to_self_scale(matrix), to_self_spread(spread, matrix)
    return np.stack([matrix, spread] if spec.network.channels == "matrix_and_spread" else [matrix], axis=1)


def _parent(folder: Path, spec: TrainSpec, limits: Limits | None) -> Bundle:
    bundle = load_bundle(folder, threads=1)
    manifest, version = bundle.manifest, limits.version if limits else None
    if manifest.kind != spec.kind:
        raise SpecError(
            f"key parent: {folder} is a {manifest.kind}, the model to train a {spec.kind}",
            remedy="name a parent of the same kind",
        )
    if manifest.scale != spec.scale:
        raise SpecError(
            f"key parent: {folder} is on scale {manifest.scale}, the model to train on scale {spec.scale}",
            remedy=f"set scale: {manifest.scale}, or name a parent of the same scale",
        )
    if manifest.scale == "limits" and manifest.limits_version != version:
        raise SpecError(
            f"key parent: {folder} was trained on limits {manifest.limits_version}, the coils are normalised with "
            f"{version}",
            remedy="let COILFLOW_ENSEMBLE name the ensemble that the parent serves in, whose limits are its own",
        )
    return bundle


def _weights_of(bundle: Bundle) -> bytes:
    weights = read_weights(bundle)
    if weights is None:
        raise SpecError(
            f"key parent: {bundle.folder} holds no {WEIGHTS}, so no training can begin with it",
            remedy="name a bundle that `coilflow train` wrote since bundles hold their weights, or leave parent out",
        )
    return weights


def _identities(coils: pa.RecordBatch) -> set[str]:
    plants, ids = (coils.column(name).to_pylist() for name in ("plant", "coil_id"))
    return {f"{plant}/{coil}" for plant, coil in zip(plants, ids, strict=True)}
