"""`/api/v1/coils/{plant}/{coil_id}/feedback`: what people say of a coil, and what became of it."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from console.rest.access import Caller, GivesFeedback, Reads
from console.rest.idempotency import Asked, Done, Idempotent, once
from console.rest.names import NamedCoil, coil_path, never_seen
from console.rest.problems import ProblemError
from console.rest.service import Service, service_of
from console.rest.times import Moment
from flows.feedback import Stored, say
from flows.tracing import trace_feedback
from schemas.audit import CoilLabel, Word
from schemas.coils import CoilKey, Truth
from schemas.events import Name, Said, Text
from schemas.layout import Face
from store.audit import feedback_on, label_on
from store.connection import Connection
from store.feedback import Feedback
from store.inbox import coil_state
from store.orphans import is_known_coil
from store.pool import borrowed

SOURCE = "/coilflow/console"

LOCATED = {"Location": {"schema": {"type": "string"}, "description": "all that was said of the coil"}}

Metres = Annotated[float, Field(ge=0, strict=True)]  # true and "7" are no lengths
Fate = Literal["counts", "waits_for_verdict", "waits_for_coil", "disputed", "taken_back"]

router = APIRouter(tags=["feedback"])


class Place(BaseModel):
    """A word without its label."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    kind: Said | None = Field(default=None, description="Kind of defect, e.g. thin_edge.")
    face: Face | None = None
    from_m: Metres | None = Field(default=None, description="Start of the place, m from the head.")
    to_m: Metres | None = Field(default=None, description="End of the place, m from the head.")
    note: Text | None = None
    revision: Name | None = Field(default=None, description="Of the coil that was looked at.")
    operator: Said | None = Field(
        default=None, description="Who says it, where a machine sends it; else who is signed in."
    )
    given_at: Moment | None = Field(default=None, description="When it was said; left out: now.")


class FeedbackRequest(Place):
    """What somebody says of a coil."""

    label: Truth
    corrects: Name | None = Field(default=None, description="Id of an earlier word that this one takes back.")


class LabelAnswer(BaseModel):
    """What all that was said of a coil comes to."""

    label: Truth | None = Field(description="Null while disputed.")
    disputed: bool
    settled: bool
    voices: int


class FeedbackAnswer(BaseModel):
    """What became of a word.

    `counts`: it is part of the coil's label. `waits_for_verdict`: the coil is open, the word came early.
    `waits_for_coil`: nothing else is known of the coil; where nothing comes, the word becomes a dead letter.
    `disputed`: another voice says otherwise. `taken_back`: a correction of it came before it.
    """

    id: str = Field(description="By which a later word corrects it.")
    plant: str
    coil_id: str
    label: Truth
    operator: str
    given_at: datetime
    fate: Fate
    corrected_known: bool = Field(description="False: no word is known under `corrects` yet.")
    coil_label: LabelAnswer | None


class FeedbackOnCoil(BaseModel):
    """All that was said of a coil, in the order in which it was said."""

    items: list[Word]
    coil_label: CoilLabel | None


@router.post(
    "/api/v1/coils/{plant}/{coil_id}/feedback",
    status_code=HTTPStatus.CREATED,
    response_model=FeedbackAnswer,
    summary="Say whether a coil is OK or NOK",
    responses={
        201: {"headers": LOCATED},
        409: {"description": "the same idempotency key is under way"},
        422: {"description": "the body breaks the contract, or its idempotency key was sent with another"},
    },
)
def post_feedback(
    request: Request, key: NamedCoil, body: FeedbackRequest, caller: GivesFeedback, asked: Idempotent
) -> Response:
    """Store a word, as one that comes by Kafka or by `coilflow feedback`; the answer tells its fate."""
    more = {"label": body.label, "corrects": body.corrects}
    first = partial(refuse_to_correct_others, key=key, corrects=body.corrects, caller=caller)
    return said(service_of(request), key, body, caller, asked, more=more, first=first)


@router.get(
    "/api/v1/coils/{plant}/{coil_id}/feedback",
    summary="Read what was said of a coil",
    responses={404: {"description": "nothing is known of the coil"}},
)
def get_feedback(request: Request, key: NamedCoil, _: Reads) -> FeedbackOnCoil:
    """Every word, also corrected ones, and the label that they come to."""
    with borrowed(service_of(request).pool) as connection:
        words = feedback_on(connection, key)
        if not words and not is_known_coil(connection, key):
            raise never_seen(key)
        return FeedbackOnCoil(items=list(words), coil_label=label_on(connection, key))


def said(
    service: Service,
    key: CoilKey,
    body: Place,
    caller: Caller,
    asked: Asked,
    *,
    more: Mapping[str, object],
    first: Callable[[Connection], None] = lambda _: None,
) -> Response:
    """Store a word once, and tell its fate; `first` looks whether it may, in the same transaction."""
    data = {
        "plant": key.plant,
        "coil_id": key.coil_id,
        "defect_kind": body.kind,
        "operator": voice_of(caller, body.operator),
        **body.model_dump(mode="json", exclude={"kind", "operator", "label", "corrects"}, exclude_none=True),
        **more,
    }

    words, began_ns = list[Feedback](), time.time_ns()

    def act(connection: Connection) -> Done:
        first(connection)
        stored = say(connection, data, source=SOURCE, now=datetime.now(UTC))
        words.append(stored.feedback)
        place = f"{coil_path(key)}/feedback"
        return Done(body=_answer(connection, stored), status=HTTPStatus.CREATED, location=place)

    answer = once(service.pool, asked, caller, act)
    if service.tracing is not None:
        trace_feedback(service.tracing, words, joined_ns=(began_ns, time.time_ns()))
    return answer


def refuse_to_correct_others(connection: Connection, *, key: CoilKey, corrects: str | None, caller: Caller) -> None:
    """A person takes back words of his own alone; a machine, which speaks for many, any.

    Raises:
        ProblemError: a person would take back what is no word of his on this coil.
        StoreError: the database refused.
    """
    if corrects is None or caller.kind != "person" or own_word(feedback_on(connection, key), corrects, caller):
        return
    raise ProblemError(
        HTTPStatus.FORBIDDEN,
        "what is to be taken back is no word of yours on this coil",
        remedy="say your own word: where people differ, the coil is disputed until somebody settles it",
    )


def own_word(words: Sequence[Word], event_id: str, caller: Caller) -> Word | None:
    """The word of that id where the caller himself said it."""
    return next((one for one in words if one.event_id == event_id and one.voice == caller.name), None)


def voice_of(caller: Caller, named: str | None) -> str:
    """Who speaks: a person for himself, a machine for whom it names.

    Raises:
        ProblemError: a person names another.
    """
    if caller.kind == "person" and named not in (None, caller.name):
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"{caller.name} cannot speak for {named}",
            remedy="leave `operator` out: it is who is signed in",
        )
    return named or caller.name


def _answer(connection: Connection, stored: Stored) -> FeedbackAnswer:
    feedback, label = stored.feedback, stored.label
    return FeedbackAnswer(
        id=feedback.event_id,
        plant=feedback.key.plant,
        coil_id=feedback.key.coil_id,
        label=feedback.label,
        operator=feedback.operator or "",
        given_at=feedback.given_at.astimezone(UTC),
        fate=_fate(connection, stored),
        corrected_known=stored.corrected_known,
        coil_label=label and LabelAnswer.model_validate(label, from_attributes=True),
    )


def _fate(connection: Connection, stored: Stored) -> Fate:
    if stored.label is None:
        return "taken_back"
    if not stored.coil_known:
        return "waits_for_coil"
    if stored.label.disputed:
        return "disputed"
    found = coil_state(connection, stored.feedback.key)
    return "counts" if found is not None and found.state == "decided" else "waits_for_verdict"
