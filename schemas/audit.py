"""Audit reports: what an auditor files of a coil, and what it shares with that of a model, as JSON.

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


class Part(BaseModel):
    """A part of a report."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Snapshot(Part):
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


class MemberParent(Part):
    """A version that a member was trained from."""

    model: str
    version: str
    data_digest: str | None
    source: str | None


class Member(Part):
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


class Ancestor(Part):
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


class FaceSummary(Part):
    """Readings of one face, g/m²."""

    face: Face
    rows: int
    least_g_m2: float | None
    mean_g_m2: float | None
    most_g_m2: float | None


class Readings(Part):
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


class Announcement(Part):
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


class Word(Part):
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


class CoilLabel(Part):
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


class SecondReview(Part):
    """A draw for a second person."""

    FROM: ClassVar = ("coilflow.second_reviews",)

    revision: str
    probability: float
    drawn_at: Moment


class CountedIn(Part):
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


class Decision(Part):
    """What a job decided; `label` is the coil's at that time, None where it had none or people differed."""

    FROM: ClassVar = ("coilflow.decisions",)

    decision_id: int
    at: Moment
    job: str
    subject: str
    act: bool
    why: tuple[str, ...]
    label: Truth | None = None


class LearntFrom(Part):
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


class Change(Part):
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


class Lineage(Part):
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


class Order(Part):
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


class DeadLetter(Part):
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


class Origin(Part):
    """When, by what and from where a report was made."""

    generated_at: Moment
    coilflow: str
    database: str  # where it is, without secrets
    postgresql: str


class CoilReport(Part):
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
