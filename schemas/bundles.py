"""Manifests of model bundles and ensembles, as they lie on disk."""

import hashlib
import json
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.coils import Limits
from schemas.combine import Combine
from schemas.matrices import Scale

ThresholdRule = Literal["f1", "false_alarms", "costs", "profile"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Share = Annotated[float, Field(ge=0, le=1)]
_Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_WEIGHTS_OFF = 1e-6  # most that the weights of `weighted` may sum to besides 1


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
    unlabelled: dict[str, Sha256] = Field(default_factory=dict)  # by key of the specification, over revisions, sorted
    device: Literal["cpu", "cuda"] | None = None  # that it was trained on; None: not told


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
    threshold_rule: ThresholdRule | None = None  # that chose it: not always the one asked for; None: not told
    metrics: dict[str, Any]  # on the holdout, with ci95
    training: TrainingRecord
    parent: str | None = None  # name@version
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
    weights: tuple[_Weight, ...] | None = None  # one a member: shares of `weighted`, coefficients of `stacking`
    intercept: _Finite | None = None  # of `stacking`
    member_thresholds: tuple[_Share, ...] | None = None  # one a member, for `union`; None: the members' own
    guard: PurePosixPath | None = None  # folder of a model that never votes but can ask for a review
    thresholds: dict[Scale, float]
    limits: Limits
    manifests: dict[str, Sha256]  # folder of a member or the guard -> digest of its manifest.json
    digest: Sha256 | None = None  # of all the above; a loader refuses one that does not fit

    @model_validator(mode="after")
    def _what_its_combination_needs(self) -> "EnsembleManifest":
        size, fitted = len(self.members), self.combine in ("weighted", "stacking")
        if fitted != (self.weights is not None):
            raise ValueError(f"combine {self.combine} takes {'weights' if fitted else 'no weights'}")
        if (self.combine == "stacking") != (self.intercept is not None):
            raise ValueError(f"combine {self.combine} takes {'no' if self.intercept is not None else 'an'} intercept")
        if self.member_thresholds is not None and self.combine != "union":
            raise ValueError(f"combine {self.combine} takes no member_thresholds")
        for name in ("weights", "member_thresholds"):
            given = getattr(self, name)
            if given is not None and len(given) != size:
                raise ValueError(f"{name} are {len(given)}, one for each of {size} members is wanted")
        if self.combine == "weighted" and abs(sum(self.weights or ()) - 1) > _WEIGHTS_OFF:
            raise ValueError(f"weights sum to {sum(self.weights or ()):g}, wanted is 1")
        if self.guard in self.members:
            raise ValueError(f"guard {self.guard} is a member too: a guard does not vote")
        return self

    def own_digest(self) -> str:
        """SHA-256 over every field but `digest` and those that are unset, as JSON with sorted keys.

        What is unset is left out, so that a field that is added later changes no digest.
        """
        content = json.dumps(self.model_dump(mode="json", exclude={"digest"}, exclude_none=True), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()
