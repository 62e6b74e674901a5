"""What to train and on what: a training specification read from YAML."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from models.data_spec import Augmentation, DataSpec, Share
from models.network_spec import OPTIONS, NetworkKind, NetworkOptions, family_of
from models.objectives_spec import (
    Adaptation,
    ClassWeights,
    Contrastive,
    Loss,
    Pairs,
    SelfSupervised,
    Synthesis,
    Threshold,
)
from models.spec_part import SpecPart, refuse_idle
from schemas.errors import SpecError
from schemas.faults import first_fault
from schemas.matrices import Scale

_LEARNERS = frozenset({"yolo", "cnn", "siamese", "cnn1d", "vit"})
_CLASSIFIERS = _LEARNERS - {"siamese"}
_FAMILIES_OF_KEY = {
    "loss": _CLASSIFIERS,
    "contrastive": _CLASSIFIERS,
    "adapt": _CLASSIFIERS,
    "pairs": frozenset({"siamese"}),
    "pretrain": _LEARNERS,
    "synthesis": _LEARNERS,
    "parent": _LEARNERS,
}


class TrainSpec(SpecPart):
    """One model to train."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    kind: NetworkKind
    network: NetworkOptions = NetworkOptions()
    scale: Scale = "limits"
    data: DataSpec
    epochs: Annotated[int, Field(ge=1, le=50)] = 20
    patience: Annotated[int, Field(ge=1)] = 5  # epochs without a lower validation loss
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    batch: Annotated[int, Field(ge=2)] = 64
    class_weight: Literal["balanced"] | ClassWeights = "balanced"
    loss: Loss = Loss()
    pairs: Pairs = Pairs()
    contrastive: Contrastive | None = None
    pretrain: SelfSupervised | None = None
    adapt: Adaptation | None = None
    synthesis: Synthesis | None = None
    augment: Augmentation = Augmentation()
    parent: Path | None = None  # bundle whose weights training begins with
    threshold: Threshold = Threshold()
    validation_share: Share = 0.15
    holdout_share: Share = 0.2
    seed: int = 0
    out: Path | None = None  # folder of the bundle; the command's own option wins

    @model_validator(mode="after")
    def _something_left_to_train_on(self) -> "TrainSpec":
        if self.validation_share + self.holdout_share >= 0.9:
            raise ValueError("validation_share and holdout_share leave less than a tenth of the coils to train on")
        return self

    @model_validator(mode="after")
    def _keys_that_the_kind_has(self) -> "TrainSpec":
        family = family_of(self.kind)
        for key in sorted(self.network.model_fields_set - OPTIONS[family]):
            known = ", ".join(sorted(OPTIONS[family])) or "no keys"
            raise ValueError(f"network.{key} means nothing to {self.kind}, which has {known}")
        for key in sorted(self.model_fields_set & _FAMILIES_OF_KEY.keys()):
            if family not in _FAMILIES_OF_KEY[key] and getattr(self, key) is not None:
                raise ValueError(f"{key} means nothing to {self.kind}")
        return self

    @model_validator(mode="after")
    def _what_a_network_needs(self) -> "TrainSpec":
        if self.kind == "rule" and self.scale == "self":
            raise ValueError(
                "scale self means nothing to rule, which counts what leaves the band: set scale: limits or kind: "
                "rule-in-steps"
            )
        if self.kind == "rule-in-steps" and self.scale == "limits":
            raise ValueError("rule-in-steps reads a scale off grey levels, which scale limits knows: set scale: self")
        if self.network.freeze and self.network.weights == "none" and self.parent is None:
            raise ValueError(
                f"network.freeze is {self.network.freeze}, and blocks with random weights are nothing to keep: "
                "name network.weights or parent, or set freeze: 0"
            )
        return self

    @model_validator(mode="after")
    def _a_bound_that_is_kept(self) -> "TrainSpec":
        rule = self.threshold.rule
        if family_of(self.kind) in _LEARNERS and rule != "false_alarms":
            where = f"threshold.rule is {rule}: {self.kind} has NOK coils to validate"
            refuse_idle(self.threshold, ("most_false_alarms",), where)
        return self


def read_spec(path: Path) -> TrainSpec:
    """Read a specification; raises SpecError that names the file and the wrong key."""
    content = read_yaml(path)
    try:
        return TrainSpec.model_validate(content)
    except ValidationError as error:
        fault = first_fault(error)
        raise SpecError(
            f"{path}: key {fault.sentence() if fault.field else f'the whole file: {fault.said}'}",
            remedy=f"the keys are {', '.join(TrainSpec.model_fields)}",
        ) from error


def read_yaml(path: Path) -> object:
    """Read a YAML file; raises SpecError that names it."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path} cannot be read ({error.strerror})", remedy="name a YAML file that exists") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(
            f"{path} is no YAML: {' '.join(str(error).split())}", remedy="start from one of models/specs"
        ) from error
