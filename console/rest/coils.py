"""`GET /api/v1/coils/{plant}/{coil_id}` and `/verdict`: what became of a coil."""

from datetime import datetime
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from console.rest.access import Reads
from console.rest.names import REST, NamedCoil, never_seen
from console.rest.negotiation import is_known
from console.rest.problems import ProblemError
from console.rest.service import service_of
from schemas.audit import CoilLabel, Order, Word
from schemas.coils import CoilKey
from schemas.events import CoilVerdict, CoilWarning, MemberSaid, verdict_data
from schemas.verdicts import Label, Role
from store.audit import coil_facts, feedback_on, label_on
from store.connection import Connection
from store.inbox import coil_state
from store.page import verdicts_on
from store.pool import borrowed
from store.search import early_warning_of
from store.verdicts import StoredVerdict, verdict_of

router = APIRouter(tags=["coils"])


class DeadLetterAnswer(BaseModel):
    """Something that was refused of the coil, without its bytes."""

    dead_letter_id: int
    step: str
    error: str
    remedy: str
    place: str
    state: Literal["new", "replayed", "resolved", "discarded"]
    created_at: datetime


class PastVerdictAnswer(BaseModel):
    """A verdict on one revision of the coil, of the champion or of a shadow beside it."""

    revision: str
    role: Role
    label: Label
    p_nok: float | None
    threshold: float
    ensemble_version: str
    observed: float
    reasons: tuple[str, ...]
    review: tuple[str, ...]
    supersedes: str | None
    decided_at: datetime
    stands: bool
    members: tuple[MemberSaid, ...]


class CoilAnswer(BaseModel):
    """What became of a coil so far."""

    plant: str
    coil_id: str
    state: Literal["open", "decided", "dead_lettered"]
    seen_at: datetime
    order: Order | None = Field(description="The coil and what was ordered.")
    verdict: CoilVerdict | None = Field(
        description="The one that stands, as its event carries it, with each member's vote."
    )
    history: list[PastVerdictAnswer] = Field(description="Every verdict, newest first.")
    feedback: list[Word] = Field(description="Every word, in the order in which they were said.")
    label: CoilLabel | None = Field(description="What these words come to.")
    early_warning: CoilWarning | None = Field(description="That it was out of band before it ended.")
    dead_letters: list[DeadLetterAnswer] = Field(description="Newest first.")


@router.get(
    REST + "{plant}/{coil_id}",
    summary="Look a coil up",
    responses={404: {"description": "the coil was never seen"}},
)
def get_coil(request: Request, key: NamedCoil, _: Reads) -> CoilAnswer:
    """State, order, verdicts, words and dead letters of a coil; a slash within a name is sent as %2F."""
    with borrowed(service_of(request).pool) as connection:
        found = coil_state(connection, key)
        if found is None:
            raise never_seen(key)
        verdict = verdict_of(connection, key)
        return CoilAnswer.model_validate(
            {
                "plant": key.plant,
                "coil_id": key.coil_id,
                "state": found.state,
                "seen_at": found.seen_at,
                "order": coil_facts(connection, key),
                "verdict": verdict and verdict_data(verdict.verdict, decided_at=verdict.decided_at),
                "history": list(verdicts_on(connection, key)),
                "feedback": list(feedback_on(connection, key)),
                "label": label_on(connection, key),
                "early_warning": early_warning_of(connection, key),
                "dead_letters": list(found.dead_letters),
            },
            from_attributes=True,
        )


@router.get(
    REST + "{plant}/{coil_id}/verdict",
    summary="The verdict that stands",
    response_model=CoilVerdict,
    responses={
        200: {"headers": {"ETag": {"schema": {"type": "string"}, "description": "changes with the verdict"}}},
        304: {"description": "it is the verdict that If-None-Match names"},
        404: {"description": "the coil was never seen, or has no verdict yet"},
    },
)
def get_verdict(request: Request, key: NamedCoil, _: Reads) -> Response:
    """The verdict as its event carries it; ask again with `If-None-Match` to hear of another one only."""
    with borrowed(service_of(request).pool) as connection:
        stands = standing(connection, key)
    etag = f'"{stands.verdict.revision}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if is_known(request, etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    data = verdict_data(stands.verdict, decided_at=stands.decided_at)
    return Response(data.model_dump_json(), media_type="application/json", headers=headers)


def standing(connection: Connection, key: CoilKey) -> StoredVerdict:
    """The verdict that stands.

    Raises:
        ProblemError: 404: there is none.
        StoreError: the database refused.
    """
    stands = verdict_of(connection, key)
    if stands is None:
        raise no_verdict(key) if coil_state(connection, key) else never_seen(key)
    return stands


def no_verdict(key: CoilKey, revision: str | None = None) -> ProblemError:
    """The problem of a coil that is known, and has no such verdict."""
    of = "" if revision is None else f" of revision {revision}"
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        f"coil {key.coil_id} of plant {key.plant} has no verdict{of}",
        remedy="look the coil up: it says its state, what was refused of it, and its revisions",
    )
