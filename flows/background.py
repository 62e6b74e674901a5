"""What training leans on beside labelled coils, fetched: a parent's weights, and coils whose labels are not seen."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from flows.population import unlabelled
from flows.sources.open import open_source
from models.bundle import SPREAD, WEIGHTS, load_bundle, read_weights
from models.data_spec import DataSpec
from models.scales import to_self_scale, to_self_spread
from models.spec import TrainSpec
from models.training import Background
from schemas.bundles import BundleManifest
from schemas.coils import Float32Array, Limits
from schemas.errors import SpecError
from schemas.mapping import OUR_NAMES, PlantMapping
from schemas.matrices import tensor_values


def background_of(
    spec: TrainSpec, limits: Limits | None, *, plant: str = "default", mapping: PlantMapping = OUR_NAMES
) -> Background:
    """Fetch what a specification names under `parent`, `pretrain` and `adapt`.

    Args:
        spec: may name none of them.
        limits: that the labelled coils are normalised with; None: grey, or not known yet.
        plant: of coils whose source names none.
        mapping: how the plant names what its tables and events hold.

    Raises:
        SpecError: the parent is of another kind, or holds no weights; coils are of the wrong scale.
        SourceError: a source holds no coil.
        BundleError: the parent is missing or altered.
    """

    def coils_of(data: DataSpec, key: str) -> Float32Array:
        source = data.simulate or open_source(data.source or "", plant=plant, mapping=mapping)
        batch, known = unlabelled(source, limits)
        if spec.scale == "limits" and known is None:
            raise SpecError(
                f"key {key}: grey levels have no limits, so no model on scale limits can learn from them",
                remedy="name readings, or set scale: self",
            )
        return network_coils(batch, spec)

    to_pretrain = spec.pretrain.unlabelled if spec.pretrain else None
    return Background(
        parent=None if spec.parent is None else _weights_of(spec.parent, spec),
        unlabelled=None if to_pretrain is None else coils_of(to_pretrain, "pretrain.unlabelled"),
        recent=None if spec.adapt is None else coils_of(spec.adapt.unlabelled, "adapt.unlabelled"),
    )


def parent_of(spec: TrainSpec) -> BundleManifest | None:
    """The manifest of the bundle that training begins with, its files checked; None where there is none.

    Raises:
        BundleError: it is missing or altered.
    """
    return None if spec.parent is None else load_bundle(spec.parent, threads=1).manifest


def network_coils(batch: pa.RecordBatch, spec: TrainSpec) -> Float32Array:
    """Coils of MATRIX_BATCH as the network takes them: float32 [N, C, 264, 18] on the specification's scale."""
    matrix, spread = tensor_values(batch), tensor_values(batch, SPREAD)
    if spec.scale == "self":
        matrix, spread = to_self_scale(matrix), to_self_spread(spread, matrix)
    return np.stack([matrix, spread] if spec.network.channels == "matrix_and_spread" else [matrix], axis=1)


def _weights_of(folder: Path, spec: TrainSpec) -> bytes:
    bundle = load_bundle(folder, threads=1)
    if bundle.manifest.kind != spec.kind:
        raise SpecError(
            f"key parent: {folder} is a {bundle.manifest.kind}, the model to train a {spec.kind}",
            remedy="name a parent of the same kind",
        )
    weights = read_weights(bundle)
    if weights is None:
        raise SpecError(
            f"key parent: {folder} holds no {WEIGHTS}, so no training can begin with it",
            remedy="name a bundle that `coilflow train` wrote since bundles hold their weights, or leave parent out",
        )
    return weights
