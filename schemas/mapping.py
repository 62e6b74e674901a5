"""How one plant names its tables, columns, fields and faces, and how its gauge numbers tiles: the mapping file."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from schemas.events import CoilChunk, CoilEnded, CoilStarted
from schemas.layout import GAUGE, MATRIX_ROWS, SENSORS_PER_FACE, Face, GaugeLayout

_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Names = dict[str, _Name]  # our name -> the plant's
_COLUMNS: dict[str, tuple[str, ...]] = {
    "coils": (
        *("SID", "PLANT", "ZnMin", "ZnMax", "STARTTIME", "LENGTH", "WIDTH", "THICK", "WEIGHT"),
        *("MATERIAL", "CUSTOMER", "TOLERANCE_PROFILE", "CLASSLABEL", "Label"),
    ),
    "tiles": ("COILID", "PLANT", "TILEID", "MID", "MEAN"),
}
_FIELDS = {
    "coil.started": CoilStarted.model_fields,
    "coil.chunk": CoilChunk.model_fields,
    "coil.ended": CoilEnded.model_fields,
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tables(_Part):
    """Names of the two tables in the plant's database."""

    coils: _Name = "V_Coils"
    tiles: _Name = "GR_QPValues"


class Columns(_Part):
    """The plant's columns by ours; those that are not named keep our name."""

    coils: _Names = {}
    tiles: _Names = {}

    @field_validator("coils")
    @classmethod
    def _of_coils(cls, names: _Names) -> _Names:
        return _sound(names, _COLUMNS["coils"])

    @field_validator("tiles")
    @classmethod
    def _of_tiles(cls, names: _Names) -> _Names:
        return _sound(names, _COLUMNS["tiles"])


class Gauge(_Part):
    """The gauge in the plant's tables; see `schemas.layout.GaugeLayout`."""

    top_mid: _Name = GAUGE.top_mid
    bottom_mid: _Name = GAUGE.bottom_mid
    tile_step_min: Annotated[float, Field(gt=0)] = GAUGE.tile_step_min
    tile_step_max: Annotated[float, Field(gt=0)] = GAUGE.tile_step_max
    sensors_per_face: Annotated[int, Field(ge=1)] = SENSORS_PER_FACE

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> "Gauge":
        if self.top_mid == self.bottom_mid:
            raise ValueError(f"top_mid and bottom_mid are both {self.top_mid!r}")
        if self.tile_step_min > self.tile_step_max:
            raise ValueError(f"tile_step_min {self.tile_step_min:g} is above tile_step_max {self.tile_step_max:g}")
        return self


class Matrix(_Part):
    """What a coil is normalised to."""

    rows: Annotated[int, Field(ge=2)] = MATRIX_ROWS  # chunks along the strip


class PlantMapping(_Part):
    """The mapping file: everything that is not named stays as coilflow names it."""

    tables: Tables = Tables()
    columns: Columns = Columns()
    fields: dict[Literal["coil.started", "coil.chunk", "coil.ended"], _Names] = {}
    faces: dict[_Name, Face] = {}  # the plant's name of a face -> top or bottom
    gauge: Gauge = Gauge()
    matrix: Matrix = Matrix()

    @field_validator("fields")
    @classmethod
    def _of_events(cls, fields: dict[str, _Names]) -> dict[str, _Names]:
        return {kind: _sound(names, tuple(_FIELDS[kind])) for kind, names in fields.items()}

    def layout(self) -> GaugeLayout:
        """How tiles are folded."""
        gauge = self.gauge
        return GaugeLayout(
            top_mid=gauge.top_mid,
            bottom_mid=gauge.bottom_mid,
            tile_step_min=gauge.tile_step_min,
            tile_step_max=gauge.tile_step_max,
        )


OUR_NAMES = PlantMapping()


def _sound(names: _Names, ours: tuple[str, ...]) -> _Names:
    unknown = sorted(set(names) - set(ours))
    if unknown:
        raise ValueError(f"{', '.join(unknown)} is none of our names {', '.join(ours)}")
    theirs = list(names.values())
    twice = sorted({name for name in theirs if theirs.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} stands for two of our names")
    return names
