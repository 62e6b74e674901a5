"""Scores and verdicts: what the ensemble said of a coil and what follows for the plant."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from schemas.coils import CoilKey, FloatArray

Role = Literal["champion", "shadow"]  # of the ensemble that gave a verdict: a shadow's counts for nothing yet


class Label(StrEnum):
    """Verdict on a coil; codes of OPC 40001-101 `ResultEvaluation` in RESULT_EVALUATION."""

    OK = "OK"
    NOK = "NOK"
    UNDECIDED = "UNDECIDED"


RESULT_EVALUATION = {Label.OK: 1, Label.NOK: 2, Label.UNDECIDED: 3}


class Reason(StrEnum):
    """Why a verdict deserves a second look; in a verdict as `code: detail`."""

    DOUBT = "doubt"
    MISSING_ROWS = "missing_rows"
    EXTRA_ROWS = "extra_rows"
    LITTLE_OBSERVED = "little_observed"
    GAUGE_DEAD = "gauge_dead"
    GAUGE_STUCK = "gauge_stuck"
    GAUGE_NOISY = "gauge_noisy"
    GAUGE_OFFSET = "gauge_offset"
    CLIPPED_CELLS = "clipped_cells"
    OUT_OF_BAND = "out_of_band"
    ANOMALY = "anomaly"
    NOT_ENDED = "not_ended"
    DEADLINE = "deadline"
    MEMBERS_SKIPPED = "members_skipped"

    def of(self, detail: str) -> str:
        """The reason as it stands in a verdict."""
        return f"{self.value}: {detail}"


SENSOR_FAULTS = frozenset((Reason.GAUGE_DEAD, Reason.GAUGE_STUCK, Reason.GAUGE_NOISY, Reason.GAUGE_OFFSET))


def names_sensors(reason: str) -> bool:
    """Whether a reason, `code: detail`, says which sensors are faulty."""
    return reason.partition(":")[0] in SENSOR_FAULTS


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberId:
    """Exact identity of one member of an ensemble."""

    model: str
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberVote:
    """What one member said of one coil: probability of NOK in [0, 1]."""

    model: str
    version: str
    p_nok: float


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardScores:
    """What a guard, which does not vote, said of B coils: `p_nok` [B] float64, like none it knows from `threshold` on.

    A guard asks for a review of coils that the members call OK.
    """

    guard: MemberId
    threshold: float
    p_nok: FloatArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """What an ensemble said of a batch of B coils with M members.

    `member_p_nok` [B, M] float64 in [0, 1]; `p_nok` [B] float64 in [0, 1], the members combined.
    """

    ensemble_version: str
    threshold: float
    members: tuple[MemberId, ...]
    skipped: tuple[str, ...]  # members, and a guard, that cannot take the batch's scale
    member_p_nok: FloatArray
    p_nok: FloatArray
    anomaly: GuardScores | None = None  # None: no guard, or it was skipped
    p_nok_without_faults: FloatArray | None = None  # [B] faulty sensors left out; NaN, or None: nobody asked


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The verdict on one revision of one coil."""

    key: CoilKey
    revision: str
    label: Label
    p_nok: float
    threshold: float
    ensemble_version: str
    members: tuple[MemberVote, ...]
    observed: float  # share of the expected cells that were measured, 0..1
    reasons: tuple[str, ...] = ()
    supersedes: str | None = None  # revision that this one replaces
    review: tuple[str, ...] = ()  # why a person is asked to look at the coil, as `code: detail`; empty: nobody is
    review_probability: float | None = None  # that a coil such as this is asked for, 0..1; 1 where certain
