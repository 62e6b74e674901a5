"""Coils as they are assembled: identity, order, and ragged readings in columns."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

Truth = Literal["OK", "NOK"]  # what an expert said

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_Positive = Annotated[float, Field(gt=0)]


class CoilKey(NamedTuple):
    """Identity of a coil: `coil_id` is the plant's SID as text, unique within a plant.

    A tuple, since every event of a stream makes one and looks it up: hashing it costs a tenth of a dataclass.
    """

    plant: str
    coil_id: str


class Order(BaseModel):
    """What the customer ordered: the coating band per face and the strip, validated once at the edge."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    zn_min_g_m2: Annotated[float, Field(ge=0)]
    zn_max_g_m2: _Positive
    length_m: _Positive | None = None
    width_mm: _Positive | None = None
    thickness_mm: _Positive | None = None
    weight_t: _Positive | None = None
    material: str | None = None
    customer: str | None = None
    tolerance_profile: str | None = None  # name in Settings.tolerance_profiles

    @model_validator(mode="after")
    def _band_is_open(self) -> "Order":
        if self.zn_min_g_m2 >= self.zn_max_g_m2:
            raise ValueError(f"zn_min {self.zn_min_g_m2:g} is not below zn_max {self.zn_max_g_m2:g} g/m²")
        return self


NO_ORDER = Order(zn_min_g_m2=0, zn_max_g_m2=1)  # of a coil that is rejected before its band matters


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a coil was read, and how to get its original bytes back if it is rejected."""

    place: str  # file and line, or topic, partition and offset
    original: Callable[[], bytes]


SIMULATED = Origin(place="simulated", original=bytes)


@dataclass(frozen=True, kw_only=True, slots=True)
class CoilHeader:
    """A coil before its readings: who it is, what was ordered, what an expert said of it."""

    key: CoilKey
    order: Order
    started_at: datetime | None = None
    label: Truth | None = None
    rows_per_face: int | None = None  # as `coil.ended` promised
    reasons: tuple[str, ...] = ()  # doubts known before assembly, e.g. "deadline"
    origin: Origin = SIMULATED


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkRows:
    """Gauge rows of many coils in columns, in any order, repeats included. R rows.

    `coil` [R] int64 index into the headers that travel beside it; `face` [R] int64, 0 top, 1 bottom;
    `position` [R] float64 along the strip (TILEID or metres); `mean_g_m2` and `std_g_m2` [R, 9] float64
    (`std_g_m2` zero where the source has none).
    """

    coil: IntArray
    face: IntArray
    position: FloatArray
    mean_g_m2: FloatArray
    std_g_m2: FloatArray


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredCoil:
    """A decided coil as the database keeps it: what its standing verdict was given on."""

    key: CoilKey
    order: Order | None  # None where no band was known
    started_at: datetime | None
    rows_per_face: int | None  # as coil.ended promised, 0 where it promised none; None: no such event
    revision: str
    readings: bytes  # Arrow IPC of `schemas.readings.READINGS`, or of a matrix where the source gave no rows


@dataclass(frozen=True, kw_only=True, slots=True)
class CoilBatch:
    """B assembled coils with R rows in all, ragged by face; each face has at least two rows.

    `face_start` [2B + 1] int64 offsets into the rows: top of coil 0, bottom of coil 0, top of coil 1, ...
    `position` [R] float64 ascending within a face; `expected_rows` [2B] int64 is what each face would have if no row
    were missing.
    """

    headers: tuple[CoilHeader, ...]
    revisions: tuple[str, ...]  # SHA-256 of the readings, hex
    reasons: tuple[tuple[str, ...], ...]
    face_start: IntArray
    position: FloatArray
    expected_rows: IntArray
    mean_g_m2: FloatArray
    std_g_m2: FloatArray

    def __len__(self) -> int:
        return len(self.headers)


class Limits(BaseModel):
    """Global limits of the saliency in g/m² (the plant's definition, step 2): data with a version, not a constant."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: Annotated[float, Field(lt=0)]
    high: _Positive

    @property
    def version(self) -> str:
        """Twelve hex digits over both numbers, so that equal limits have equal versions wherever they came from."""
        return hashlib.sha256(f"{self.low!r} {self.high!r}".encode()).hexdigest()[:12]
