"""Events as CloudEvents 1.0 in structured JSON: coils, verdicts, feedback and models.

Source: CloudEvents 1.0.2 (cloudevents.io). In Kafka's binary mode the envelope travels as `ce_*` headers.
"""

import math
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

from schemas.coils import Order, Truth
from schemas.layout import MOST_ROWS, Face
from schemas.verdicts import RESULT_EVALUATION, Label, Verdict

_NO_NUL = r"^[^\x00]*$"  # PostgreSQL keeps no NUL in text
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=_NO_NUL)]
Text = Annotated[str, Field(max_length=4000, pattern=_NO_NUL)]
Said = Annotated[  # not blank, less the blanks around it: "anna " is anna
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")
]
Share = Annotated[float, Field(ge=0, le=1)]
Mass = Annotated[float, Field(ge=0)]  # g/m²
Length = Annotated[float, Field(ge=0)]  # m
NineMasses = Annotated[  # true and "70" are no readings
    tuple[Annotated[float, Field(ge=0, strict=True)], ...], Field(min_length=9, max_length=9)
]


class _Data(BaseModel):
    """What an event carries: unknown fields are kept, NaN and infinity are refused."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)


class CoilStarted(Order):
    """A coil starts: its order and the layout of the gauge."""

    model_config = ConfigDict(extra="allow")

    plant: Name
    coil_id: Name  # the plant's SID
    started_at: AwareDatetime | None = None
    sensors_per_face: Literal[9] = 9


class CoilChunk(_Data):
    """One row of one face: the nine readings at one position, across the strip."""

    plant: Name
    coil_id: Name
    face: Face
    position: Annotated[float, Field(strict=True)]  # along the strip: the plant's TILEID, or m
    mean_g_m2: NineMasses
    min_g_m2: NineMasses | None = None
    max_g_m2: NineMasses | None = None
    std_g_m2: NineMasses | None = None
    count: Annotated[int, Field(ge=1)] | None = None  # single readings behind each mean


class CoilEnded(_Data):
    """A coil ended: nothing more is expected of it."""

    plant: Name
    coil_id: Name
    rows_per_face: Annotated[int, Field(ge=0, le=MOST_ROWS)] | None = None
    ended_at: AwareDatetime | None = None


class CoilWarning(_Data):
    """An open coil is out of its band over a settable length; never a verdict."""

    plant: Name
    coil_id: Name
    face: Face
    side: Literal["below", "above"]
    bound_g_m2: Mass
    worst_g_m2: Mass
    from_position: float
    to_position: float
    out_of_band_m: Length | None = None
    warned_at: AwareDatetime


class MemberSaid(_Data):
    """What one member, at its exact version, said."""

    model: Name
    version: Name
    p_nok: Share


class CoilVerdict(_Data):
    """The verdict on one revision of one coil."""

    plant: Name
    coil_id: Name
    revision: Name
    role: Literal["champion", "shadow"] = "champion"
    label: Label
    result_evaluation: Literal[1, 2, 3]  # OPC 40001-101: 1 OK, 2 NOK, 3 undecided
    p_nok: Share | None = None  # None where nothing could be scored
    threshold: Share
    ensemble_version: Name
    members: tuple[MemberSaid, ...]
    observed: Share
    reasons: tuple[str, ...] = ()
    review: tuple[str, ...] = ()  # why a person is asked to look at the coil; empty: nobody is
    supersedes: Name | None = None  # revision that this verdict replaces
    decided_at: AwareDatetime


class OperatorFeedback(_Data):
    """What an operator said of a coil; a correction names the event it corrects."""

    plant: Name
    coil_id: Name
    label: Truth
    revision: Name | None = None
    defect_kind: Said | None = None
    face: Face | None = None
    from_m: Length | None = None
    to_m: Length | None = None
    note: Text | None = None
    operator: Said | None = None
    corrects: Name | None = None  # id of the earlier feedback event
    settles: bool = False  # ends a dispute: what other voices said before no longer counts against it
    given_at: AwareDatetime


class ModelChanged(_Data):
    """A model's or an ensemble's state changed, or a worker answered such a change."""

    model: Name
    version: Name
    change: Literal[
        "registered", "shadowed", "withdrawn", "promoted", "retired", "rejected", "rolled_back", "swapped", "refused"
    ]  # swapped, refused: a worker's answer
    plant: Name | None = None  # None: every plant
    ensemble_version: Name | None = None
    parent: Name | None = None  # version that this one succeeds
    worker: Name | None = None
    reason: Text | None = None
    changed_at: AwareDatetime


class Envelope(BaseModel):
    """CloudEvents 1.0 attributes that every event has; extension attributes are kept."""

    model_config = ConfigDict(frozen=True, extra="allow")

    specversion: Literal["1.0"]
    id: Annotated[str, Field(min_length=1, max_length=200)]
    source: Annotated[str, Field(min_length=1)]  # URI reference, e.g. /plants/default
    subject: Annotated[str, Field(min_length=1)] | None = None  # the coil's or model's id
    time: AwareDatetime | None = None
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str | None = None


class CoilStartedEvent(Envelope):
    """`coil.started` on topic `coil.chunks`."""

    type: Literal["coil.started"]
    data: CoilStarted


class CoilChunkEvent(Envelope):
    """`coil.chunk` on topic `coil.chunks`."""

    type: Literal["coil.chunk"]
    data: CoilChunk


class CoilEndedEvent(Envelope):
    """`coil.ended` on topic `coil.chunks`."""

    type: Literal["coil.ended"]
    data: CoilEnded


class CoilWarningEvent(Envelope):
    """`coil.warning` on topic `coil.verdicts`."""

    type: Literal["coil.warning"]
    data: CoilWarning


class CoilVerdictEvent(Envelope):
    """`coil.verdict` on topic `coil.verdicts`."""

    type: Literal["coil.verdict"]
    data: CoilVerdict


class OperatorFeedbackEvent(Envelope):
    """`operator.feedback` on the topic of that name."""

    type: Literal["operator.feedback"]
    data: OperatorFeedback


class ModelChangedEvent(Envelope):
    """`model.changed` on topic `model.events`."""

    type: Literal["model.changed"]
    data: ModelChanged


Event = Annotated[
    CoilStartedEvent
    | CoilChunkEvent
    | CoilEndedEvent
    | CoilWarningEvent
    | CoilVerdictEvent
    | OperatorFeedbackEvent
    | ModelChangedEvent,
    Field(discriminator="type"),
]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)  # EVENT.validate_json(bytes) reads any of them


def verdict_data(verdict: Verdict, *, decided_at: datetime) -> CoilVerdict:
    """The verdict as its event carries it.

    Args:
        verdict: `p_nok` NaN, nothing scored, becomes None.
        decided_at: when it was decided, with its time zone.
    """
    return CoilVerdict.model_validate(
        {
            "plant": verdict.key.plant,
            "coil_id": verdict.key.coil_id,
            "revision": verdict.revision,
            "label": verdict.label,
            "result_evaluation": RESULT_EVALUATION[verdict.label],
            "p_nok": None if math.isnan(verdict.p_nok) else verdict.p_nok,
            "threshold": verdict.threshold,
            "ensemble_version": verdict.ensemble_version,
            "members": [{"model": m.model, "version": m.version, "p_nok": m.p_nok} for m in verdict.members],
            "observed": verdict.observed,
            "reasons": verdict.reasons,
            "review": verdict.review,
            "supersedes": verdict.supersedes,
            "decided_at": decided_at,
        }
    )
