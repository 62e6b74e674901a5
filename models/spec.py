"""What to train and on what: a training specification read from YAML."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from plant.settings import TRAINING
from schemas.errors import SpecError
from schemas.faults import first_fault
from schemas.matrices import Scale

NetworkKind = Literal["yolov8n-cls", "cnn10", "cnn1d"]
_Share = Annotated[float, Field(gt=0, lt=1)]


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SimulatedData(_Spec):
    """Coils of the simulated line."""

    coils: Annotated[int, Field(ge=20)]
    seed: int
    defect_share: _Share = TRAINING.defect_share  # of coils with an injected defect
    restlessness: Annotated[float, Field(gt=0, le=5)] = TRAINING.restlessness  # scales every benign disturbance


class DataSpec(_Spec):
    """Where the labelled coils come from: exactly one of the two."""

    simulate: SimulatedData | None = None
    source: str | None = None  # any SOURCE of the command line

    @model_validator(mode="after")
    def _one_of_two(self) -> "DataSpec":
        if (self.simulate is None) == (self.source is None):
            raise ValueError("give either simulate or source")
        return self


class ClassWeights(_Spec):
    """Weight of a coil in the loss, by its label; the study used 1 and 5."""

    ok: Annotated[float, Field(gt=0)] = 1.0
    nok: Annotated[float, Field(gt=0)] = 5.0


class Augmentation(_Spec):
    """Random changes of a coil while training: those that keep spatial meaning (FACTS section 3)."""

    mirror: Annotated[float, Field(ge=0, le=1)] = 0.5  # probability, each face by itself
    reverse: Annotated[float, Field(ge=0, le=1)] = 0.0  # probability; a head is not a tail to the expert
    noise: Annotated[float, Field(ge=0, le=0.5)] = 0.01  # standard deviation, of the scale's unit
    shift_rows: Annotated[int, Field(ge=0, le=64)] = 8  # most rows along the length, edge rows repeated
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.0  # largest relative change of the deviations' size
    offset: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # standard deviation of a misjudged in-band level


class TrainSpec(_Spec):
    """One model to train."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    kind: NetworkKind
    scale: Scale = "limits"
    data: DataSpec
    epochs: Annotated[int, Field(ge=1, le=50)] = 20
    patience: Annotated[int, Field(ge=1)] = 5  # epochs without a lower validation loss
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    batch: Annotated[int, Field(ge=2)] = 64
    class_weight: Literal["balanced"] | ClassWeights = "balanced"
    augment: Augmentation = Augmentation()
    validation_share: _Share = 0.15
    holdout_share: _Share = 0.2
    seed: int = 0
    out: Path | None = None  # folder of the bundle; the command's own option wins

    @model_validator(mode="after")
    def _something_left_to_train_on(self) -> "TrainSpec":
        if self.validation_share + self.holdout_share >= 0.9:
            raise ValueError("validation_share and holdout_share leave less than a tenth of the coils to train on")
        return self


def read_spec(path: Path) -> TrainSpec:
    """Read a specification; raises SpecError that names the file and the wrong key."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path} cannot be read ({error.strerror})", remedy="name a YAML file that exists") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(
            f"{path} is no YAML: {' '.join(str(error).split())}", remedy="start from one of models/specs"
        ) from error
    try:
        return TrainSpec.model_validate(content)
    except ValidationError as error:
        fault = first_fault(error)
        raise SpecError(
            f"{path}: key {fault.sentence() if fault.field else f'the whole file: {fault.said}'}",
            remedy=f"the keys are {', '.join(TrainSpec.model_fields)}",
        ) from error
