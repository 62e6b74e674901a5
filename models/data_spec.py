"""Where coils come from, labelled or not, and how they are changed at random while training."""

from typing import Annotated

from pydantic import AwareDatetime, Field, model_validator

from models.spec_part import SpecPart
from plant.settings import TRAINING

Share = Annotated[float, Field(gt=0, lt=1)]


class SimulatedData(SpecPart):
    """Coils of the simulated line."""

    coils: Annotated[int, Field(ge=20)]
    seed: int
    defect_share: Share = TRAINING.defect_share  # of coils with an injected defect
    restlessness: Annotated[float, Field(gt=0, le=5)] = TRAINING.restlessness  # scales every benign disturbance
    drift_per_1000_coils: Annotated[float, Field(ge=-0.5, le=0.5)] = 0.0  # relative change of coating
    skip_coils: Annotated[int, Field(ge=0)] = 0  # that ran before and are left out: the line drifts meanwhile
    started_at: AwareDatetime | None = None  # of the line's first coil, skipped or not; None: the line's own
    lapse_share: Annotated[float, Field(ge=0, lt=1)] | None = None  # of labels simply wrong; None: the expert's own
    each_label: Annotated[int, Field(ge=1)] | None = None  # keep the first so many NOK, and the OK next to each


class DataSpec(SpecPart):
    """Where coils come from: exactly one of the two."""

    simulate: SimulatedData | None = None
    source: str | None = None  # any SOURCE of the command line

    @model_validator(mode="after")
    def _one_of_two(self) -> "DataSpec":
        if (self.simulate is None) == (self.source is None):
            raise ValueError("give either simulate or source")
        return self


class Augmentation(SpecPart):
    """Random changes of a coil while training: those that keep spatial meaning (FACTS section 3)."""

    mirror: Annotated[float, Field(ge=0, le=1)] = 0.5  # probability, each face by itself
    reverse: Annotated[float, Field(ge=0, le=1)] = 0.0  # probability; a head is not a tail to the expert
    rotation_deg: Annotated[float, Field(ge=0, le=5)] = (
        0.0  # largest slight turn of a face, in the square picture of a coil
    )
    noise: Annotated[float, Field(ge=0, le=0.5)] = 0.01  # standard deviation, of the scale's unit
    shift_rows: Annotated[int, Field(ge=0, le=64)] = 8  # most rows along the length, edge rows repeated
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.0  # largest relative change of the deviations' size
    offset: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # standard deviation of a misjudged in-band level
