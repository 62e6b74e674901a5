"""What is told of models: ensembles, what serves, scores with their intervals."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from schemas.audit import Ancestor, Change
from schemas.audit_model import Answer, AuditedMember
from schemas.scores import SliceKind, SubjectKind
from schemas.verdicts import Role
from store.models import ModelState
from store.registered import ChangeKind


class Interval(BaseModel):
    """An estimate with its 95% interval; all null where nothing was seen that it could be estimated from."""

    value: float | None
    low: float | None
    high: float | None


class Rates(BaseModel):
    """Shares in [0, 1]; the positive class is NOK."""

    agreement: Interval
    recall: Interval
    false_alarms: Interval
    precision: Interval
    calibration_error: Interval


class PlainRates(Rates):
    """On the labelled coils as they are."""

    undecided: Interval


class Stratum(BaseModel):
    """Coils that were asked for alike, of which alike many were answered."""

    name: str
    asked: int
    answered: int


class WeightedRates(Rates):
    """As the draws of reviews say of all coils of the line."""

    coils: int
    stand_for: float
    represented: float
    strata: list[Stratum]


class ScoreAnswer(BaseModel):
    """How a version did on the coils of one slice, in one role."""

    kind: SubjectKind
    model: str | None
    version: str
    role: Role
    slice_kind: SliceKind
    slice: str | None
    computed_at: datetime
    window_from: datetime
    assessed: int
    evaluated: int
    tp: int
    fp: int
    fn: int
    tn: int
    plain: PlainRates
    weighted: WeightedRates | None


class Scores(BaseModel):
    """As they changed, the newest first."""

    items: list[ScoreAnswer]
    next: str | None = Field(description="Cursor of the page after it; null: this is the last one.")


class ShortScore(BaseModel):
    """The newest score over all coils; recall and false alarms are weighted where reviews were drawn."""

    role: Role
    evaluated: int
    agreement: Interval
    nok_recall: Interval
    false_alarms: Interval
    weighted: bool
    window_from: datetime
    computed_at: datetime


class Voter(BaseModel):
    """A model that votes."""

    model: str
    version: str


class EnsembleAnswer(BaseModel):
    """A registered ensemble; plant `""` is every plant without a champion of its own."""

    version: str
    name: str
    state: ModelState
    made_for: str | None
    champion_of: list[str]
    shadow_of: list[str]
    parent: str | None
    snapshot_digest: str | None
    limits_version: str
    digest: str
    members: list[Voter]
    score: ShortScore | None
    registered_at: datetime
    changed_at: datetime
    change: ChangeKind
    who: str
    why: str


class WholeEnsemble(EnsembleAnswer):
    """An ensemble with what it is made of, what it descends from, and all that became of it."""

    manifest: dict[str, Any]
    models: list[AuditedMember]
    lineage: list[Ancestor] = Field(description="Itself, its parent, ...")
    changes: list[Change]
    answers: list[Answer] = Field(description="What workers answered to these changes.")


class ServingAnswer(BaseModel):
    """What serves a plant; `""`: every plant that has no row of its own."""

    plant: str
    champion: str | None
    shadow: str | None
    changed_at: datetime


class Automation(BaseModel):
    """Whether coilflow changes by itself what serves."""

    frozen: bool
    who: str | None
    why: str | None
    at: datetime | None


class Models(BaseModel):
    """Ensembles, the newest first, what serves, and whether automatic change is frozen."""

    items: list[EnsembleAnswer]
    next: str | None = Field(description="Cursor of the page after it; null: this is the last one.")
    serving: list[ServingAnswer]
    automation: Automation


class Promoted(BaseModel):
    """What gives the verdicts now; `plant` null: every plant without a champion of its own."""

    champion: str | None
    plant: str | None


class Shadowing(BaseModel):
    """What judges beside the champion now; `plant` null: every plant without a champion of its own."""

    shadow: str
    plant: str | None


class Rejected(BaseModel):
    """What was given up for good."""

    rejected: str


class Frozen(BaseModel):
    """Whether automatic change is frozen now, and whether this request changed that."""

    frozen: bool
    changed: bool
    who: str | None
    why: str | None
    at: datetime | None


class DriftFigure(BaseModel):
    """A quantity of the latest coils beside those that the ensemble was made for."""

    psi: float
    at_least: float = Field(description="Above this PSI it has drifted.")
    mean: float | None = None
    reference_mean: float | None = None
    coils: float | None = None
    drifted: bool


class DriftAnswer(BaseModel):
    """The last check of a plant."""

    checked_at: datetime
    plant: str
    ensemble_version: str
    coils: int
    drifted: bool
    sentence: str
    figures: dict[str, DriftFigure] = Field(description="By quantity.")


class Drift(BaseModel):
    """The last check of each plant."""

    items: list[DriftAnswer]
