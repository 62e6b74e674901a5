"""Scores of models: how often people agreed with them, by version and slice. The positive class is NOK."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from schemas.verdicts import Role

SubjectKind = Literal["ensemble", "member"]
SliceKind = Literal["all", "band", "material", "plant"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """An estimate with its 95% interval; all None where nothing was seen that it could be estimated from."""

    value: float | None
    low: float | None
    high: float | None


UNKNOWN = Figure(value=None, low=None, high=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """Shares in [0, 1]."""

    agreement: Figure  # of coils
    recall: Figure  # of NOK coils
    false_alarms: Figure  # of OK coils
    precision: Figure  # of coils called NOK


class Cells(NamedTuple):
    """Coils by what they were called and what they are, or what such coils stand for."""

    tp: float
    fp: float
    fn: float
    tn: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Stratum:
    """Coils that were asked for alike, of which alike many were answered."""

    name: str
    asked: int
    answered: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Weighted:
    """What the coils that were asked for, and answered, say of all coils."""

    coils: int  # asked for and answered
    stand_for: float  # estimated coils of the line
    represented: float  # share of the line of whose stratum anything was answered
    strata: tuple[Stratum, ...]
    rates: Rates
    calibration_error: Figure


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """How a model did on the coils of one slice."""

    cells: Cells
    rates: Rates
    calibration_error: Figure
    undecided: Figure
    weighted: Weighted | None  # None: nothing was asked for and answered

    @property
    def evaluated(self) -> int:
        """Coils that it was judged on."""
        return int(sum(self.cells))


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Subject:
    """Whose score: one version of a member or of an ensemble, in one role."""

    kind: SubjectKind
    model: str  # "" for an ensemble, which its version names
    version: str
    role: Role


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Slice:
    """Of which coils."""

    kind: SliceKind
    value: str  # band as 100–120 (g/m²), material or plant; "" for all


ALL = Slice(kind="all", value="")
