"""Audit reports: what an auditor files of a coil or a model, as JSON.

Every part says in `FROM` which tables its figures come from; a report repeats that in `sources`.
"""

from datetime import UTC
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict

from schemas.bundles import BundleManifest
from schemas.coils import Limits, Truth
from schemas.layout import Face
from schemas.verdicts import Label, Role

Moment = Annotated[AwareDatetime, AfterValidator(lambda time: time.astimezone(UTC))]
Digest = Literal["fits", "differs", "unknown"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Snapshot(_Part):
    """Labelled coils that a successor was trained and judged on."""

    digest: str
    plant: str
    limits_version: str
    coils: int
    nok: int
    holdout_coils: int
    holdout_nok: int
    holdout_share: float
    location: str
    made_at: Moment
    labels_until: Moment


class MemberParent(_Part):
    """A version that a member was trained from."""

    model: str
    version: str
    data_digest: str | None
    source: str | None


class Member(_Part):
    """A model version as it stands in an ensemble; `p_nok` is what it said of the coil, None for a guard."""

    FROM: ClassVar = (
        "coilflow.assessments",
        "coilflow.ensemble_members",
        "coilflow.models",
        "coilflow.training_snapshots",
    )

    model: str
    version: str
    p_nok: float | None = None
    votes: bool
    manifest: BundleManifest | None  # None: never registered
    snapshot: Snapshot | None = None  # that its manifest's data digest names
    parents: tuple[MemberParent, ...] = ()  # the nearest first


class Ancestor(_Part):
    """An ensemble, and those that it descends from."""

    FROM: ClassVar = ("coilflow.ensembles", "coilflow.training_snapshots")

    version: str
    name: str
    state: str
    digest: str
    parent: str | None
    snapshot_digest: str | None
    registered_at: Moment
    combine: str
    limits: Limits
    snapshot: Snapshot | None = None


class FaceSummary(_Part):
    """Readings of one face, g/m²."""

    face: Face
    rows: int
    least_g_m2: float | None
    mean_g_m2: float | None
    most_g_m2: float | None


class Readings(_Part):
    """What a verdict was given on, and whether it is still that."""

    FROM: ClassVar = ("coilflow.readings",)

    revision: str  # SHA-256, as the verdict names it
    digest: Digest  # of what is stored now, reckoned again
    found: str  # in a sentence
    bytes: int
    sha256: str  # of the stored bytes
    stored_at: Moment
    kafka_topic: str | None
    kafka_partition: int | None
    last_offset: int | None
    faces: tuple[FaceSummary, ...]  # none where a matrix or grey levels came


class Announcement(_Part):
    """An event in the outbox."""

    FROM: ClassVar = ("coilflow.outbox",)

    event_id: str
    destination: str
    type: str | None
    revision: str | None
    label: str | None
    dead_letter_id: int | None
    created_at: Moment
    published_at: Moment | None
    attempts: int
    refusal: str | None
    refused_at: Moment | None


class Word(_Part):
    """What one voice said of a coil, once."""

    FROM: ClassVar = ("coilflow.feedback", "coilflow.valid_feedback", "coilflow.standing_feedback")

    feedback_id: int
    source: str
    event_id: str
    voice: str
    label: Truth
    revision: str | None
    defect_kind: str | None
    face: Face | None
    from_m: float | None
    to_m: float | None
    note: str | None
    corrects: str | None
    settles: bool
    given_at: Moment
    received_at: Moment
    valid: bool  # neither corrected nor orphaned
    stands: bool  # the newest valid one of its voice


class CoilLabel(_Part):
    """What all words come to."""

    FROM: ClassVar = ("coilflow.coil_labels",)

    label: Truth | None
    disputed: bool
    voices: int
    settled: bool
    defect_kind: str | None
    revision: str | None
    first_received_at: Moment
    received_at: Moment


class SecondReview(_Part):
    """A draw for a second person."""

    FROM: ClassVar = ("coilflow.second_reviews",)

    revision: str
    probability: float
    drawn_at: Moment


class CountedIn(_Part):
    """Scores of a version that counted the coil, and with which label."""

    FROM: ClassVar = ("coilflow.model_scores", "coilflow.label_as_of")

    kind: Literal["ensemble", "member"]
    model: str
    version: str
    role: Role
    label: Truth
    scores: int
    first_at: Moment
    last_at: Moment


class Decision(_Part):
    """What a job decided; `label` is the coil's at that time, None where it had none or people differed."""

    FROM: ClassVar = ("coilflow.decisions",)

    decision_id: int
    at: Moment
    job: str
    subject: str
    act: bool
    why: tuple[str, ...]
    label: Truth | None = None


class LearntFrom(_Part):
    """A retraining whose snapshot held the coil, with that label."""

    FROM: ClassVar = ("coilflow.snapshot_coils", "coilflow.retrainings")

    retraining_id: int
    plant: str
    members: tuple[str, ...]
    parent: str
    snapshot: str
    candidate: str | None
    state: str
    why: str
    started_at: Moment
    ended_at: Moment | None
    label: Truth
    holdout: bool  # it judged, and was not learnt from


class Change(_Part):
    """A change of what serves, or may, and who made it and why."""

    FROM: ClassVar = ("coilflow.model_changes",)

    change_id: int
    at: Moment
    plant: str
    ensemble_version: str | None
    change: str
    who: str
    why: str
    before: dict[str, Any]


class Lineage(_Part):
    """A verdict, all that it rests on, and all that followed from what people said of its coil."""

    FROM: ClassVar = ("coilflow.verdicts",)

    verdict_id: int
    plant: str
    coil_id: str
    revision: str
    role: Role
    label: Label
    p_nok: float | None
    threshold: float
    ensemble_version: str
    observed: float
    reasons: tuple[str, ...]
    review: tuple[str, ...]
    review_probability: float | None
    supersedes: str | None
    decided_at: Moment
    superseded_by: str | None
    superseded_at: Moment | None
    stands: bool
    readings: Readings
    members: tuple[Member, ...]
    ensembles: tuple[Ancestor, ...]  # the one that judged, then its parent, ...; empty: never registered
    feedback: tuple[Word, ...]
    coil_label: CoilLabel | None
    second_reviews: tuple[SecondReview, ...]
    scores: tuple[CountedIn, ...]
    decisions: tuple[Decision, ...]
    retrainings: tuple[LearntFrom, ...]
    changes: tuple[Change, ...]  # of the successors of those retrainings


class Order(_Part):
    """The coil, and what was ordered."""

    FROM: ClassVar = ("coilflow.coils",)

    zn_min_g_m2: float | None
    zn_max_g_m2: float | None
    length_m: float | None
    width_mm: float | None
    thickness_mm: float | None
    weight_t: float | None
    material: str | None
    customer: str | None
    tolerance_profile: str | None
    started_at: Moment | None
    truth: Truth | None  # as the source said it
    rows_per_face: int | None
    state: str
    seen_at: Moment


class DeadLetter(_Part):
    """Input that got no verdict."""

    FROM: ClassVar = ("coilflow.dead_letters",)

    dead_letter_id: int
    fingerprint: str
    whole_coil: bool
    step: str
    error: str
    remedy: str
    place: str
    state: str
    created_at: Moment
    bytes: int


class Origin(_Part):
    """When, by what and from where a report was made."""

    generated_at: Moment
    coilflow: str
    database: str  # where it is, without secrets
    postgresql: str


class CoilReport(_Part):
    """All that the database knows of a coil."""

    format: Literal["coilflow.audit.coil/1"] = "coilflow.audit.coil/1"
    origin: Origin
    sources: dict[str, tuple[str, ...]]
    plant: str
    coil_id: str
    coil: Order | None  # None: only words or single messages name it
    verdicts: tuple[Lineage, ...]
    announcements: tuple[Announcement, ...]
    feedback: tuple[Word, ...]
    coil_label: CoilLabel | None
    dead_letters: tuple[DeadLetter, ...]
    picture: str | None  # name of the file beside the report
    picture_sha256: str | None
    no_picture: str | None  # why there is none


class Verification(_Part):
    """Digests of every file and the canary coils of an ensemble, tried when the report was made."""

    FROM: ClassVar = ("files of the ensemble",)

    ensemble_version: str
    good: bool
    canaries_off_by: float | None  # largest |Δp|
    ms_a_coil: float | None
    error: str | None


class AuditedMember(_Part):
    """A model version and the ensembles that hold it."""

    FROM: ClassVar = ("coilflow.models", "coilflow.ensemble_members", "coilflow.training_snapshots")

    class Holder(_Part):
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


class Retraining(_Part):
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


class JudgedCoils(_Part):
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


class Answer(_Part):
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


class ScoreThen(_Part):
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


class DriftThen(_Part):
    """A drift check as it was."""

    FROM: ClassVar = ("coilflow.drift_checks",)

    checked_at: Moment
    plant: str
    ensemble_version: str
    coils: int
    drifted: bool
    sentence: str
    figures: dict[str, Any]


class ModelReport(_Part):
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
