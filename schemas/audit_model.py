"""Audit report of an ensemble or a model version, as JSON."""

from typing import Any, ClassVar, Literal

from schemas.audit import Ancestor, Change, Decision, Moment, Origin, Part, Snapshot
from schemas.bundles import BundleManifest
from schemas.verdicts import Role


class Verification(Part):
    """Digests of every file and the canary coils of an ensemble, tried when the report was made."""

    FROM: ClassVar = ("files of the ensemble",)

    ensemble_version: str
    good: bool
    canaries_off_by: float | None  # largest |Δp|
    ms_a_coil: float | None
    error: str | None


class AuditedMember(Part):
    """A model version and the ensembles that hold it."""

    FROM: ClassVar = ("coilflow.models", "coilflow.ensemble_members", "coilflow.training_snapshots")

    class Holder(Part):
        """An ensemble that holds it."""

        version: str
        votes: bool

    model: str
    version: str
    state: str
    manifest: BundleManifest
    registered_at: Moment
    changed_at: Moment
    snapshot: Snapshot | None
    ensembles: tuple[Holder, ...]


class Retraining(Part):
    """An attempt at a successor, as parent or as what came of it."""

    FROM: ClassVar = ("coilflow.retrainings",)

    retraining_id: int
    plant: str
    members: tuple[str, ...]
    how: str
    parent: str
    snapshot: str | None
    candidate: str | None
    state: str
    why: str
    judged: dict[str, Any]
    started_at: Moment
    ended_at: Moment | None
    changed_at: Moment


class JudgedCoils(Part):
    """Verdicts of a version, by plant and role."""

    FROM: ClassVar = ("coilflow.verdicts", "coilflow.assessments")

    plant: str
    role: Role
    ensemble_version: str
    verdicts: int
    ok: int
    nok: int
    undecided: int
    first_at: Moment
    last_at: Moment


class Answer(Part):
    """What a worker made of a change, and where it runs."""

    FROM: ClassVar = ("coilflow.swap_answers", "coilflow.workers")

    worker: str
    host: str | None
    kind: str | None
    plant: str
    ensemble_version: str
    role: Role
    outcome: str
    reason: str
    at: Moment
    seen_at: Moment | None


class ScoreThen(Part):
    """A score as it was reckoned; `plain` and `weighted` hold [value, low, high] with 95% limits."""

    FROM: ClassVar = ("coilflow.model_scores",)

    version: str
    role: Role
    slice_kind: str
    slice: str
    computed_at: Moment
    window_from: Moment
    assessed: int
    tp: int
    fp: int
    fn: int
    tn: int
    evaluated: int
    plain: dict[str, Any]
    weighted: dict[str, Any] | None
    newest: bool


class DriftThen(Part):
    """A drift check as it was."""

    FROM: ClassVar = ("coilflow.drift_checks",)

    checked_at: Moment
    plant: str
    ensemble_version: str
    coils: int
    drifted: bool
    sentence: str
    figures: dict[str, Any]


class ModelReport(Part):
    """All that the database knows of an ensemble or of one model version."""

    format: Literal["coilflow.audit.model/1"] = "coilflow.audit.model/1"
    origin: Origin
    sources: dict[str, tuple[str, ...]]
    kind: Literal["ensemble", "member"]
    model: str  # name of the member; "" for an ensemble
    version: str
    ensembles: tuple[Ancestor, ...]  # of an ensemble: itself, then its parents; of a member: those that hold it
    manifest: dict[str, Any] | None  # ensemble.json; None for a member
    members: tuple[AuditedMember, ...]
    verification: tuple[Verification, ...]
    changes: tuple[Change, ...]
    decisions: tuple[Decision, ...]
    retrainings: tuple[Retraining, ...]
    judged: tuple[JudgedCoils, ...]
    answers: tuple[Answer, ...]
    scores: tuple[ScoreThen, ...]
    drift: tuple[DriftThen, ...]
