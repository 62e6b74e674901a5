"""Manifests of model bundles and ensembles, as they lie on disk."""

import hashlib
import json
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.coils import Limits
from schemas.matrices import Scale

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Combine = Literal["mean", "confidence_sum"]


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainingRecord(_Manifest):
    """Where a model comes from."""

    source: str  # e.g. "plant: 6000 coils, seed 11"
    coils: int
    nok: int
    data_digest: Sha256  # over revisions and labels, sorted
    spec: dict[str, Any]  # the training specification as read
    seed: int
    weights: str  # initial weights, e.g. "none"


class BundleManifest(_Manifest):
    """`manifest.json` of one member: `model.onnx` maps `matrix` float32 [N, 264, 18] to `p_nok` float32 [N]."""

    format: Literal["coilflow.bundle/1"] = "coilflow.bundle/1"
    name: str
    version: str
    kind: str  # network family: yolov8n-cls, cnn10, cnn1d, ...
    scale: Scale
    input_form: str  # e.g. native_288x32, as the network sees the matrix
    limits_version: str | None  # of the limits it was trained on; None for scale self
    threshold: Annotated[float, Field(ge=0, le=1)]
    metrics: dict[str, Any]  # on the holdout, with ci95
    training: TrainingRecord
    parent: str | None = None
    code_version: str
    libraries: dict[str, str]
    files: dict[str, Sha256]  # file name -> digest, every file but the manifest


class EnsembleManifest(_Manifest):
    """`ensemble.json`: members are folders beside it; each scale has its own threshold."""

    format: Literal["coilflow.ensemble/1"] = "coilflow.ensemble/1"
    name: str
    version: str
    members: Annotated[tuple[PurePosixPath, ...], Field(min_length=1)]
    combine: Combine = "mean"
    thresholds: dict[Scale, float]
    limits: Limits
    manifests: dict[str, Sha256]  # member folder -> digest of its manifest.json
    digest: Sha256 | None = None  # of all the above; a loader refuses one that does not fit

    def own_digest(self) -> str:
        """SHA-256 over every field but `digest`, as JSON with sorted keys."""
        content = json.dumps(self.model_dump(mode="json", exclude={"digest"}), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()
