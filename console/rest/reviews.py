"""`/api/v1/reviews`: coils that a person is asked to look at, why, and the end of a dispute."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, TypeAdapter

from console.rest.access import GivesFeedback, Reads
from console.rest.cursors import MOST_ITEMS, cursor_after, place_of
from console.rest.feedback import LOCATED, FeedbackAnswer, Place, said
from console.rest.idempotency import Idempotent
from console.rest.names import NamedCoil, coil_path
from console.rest.problems import ProblemError
from console.rest.service import service_of
from console.rest.times import Moment
from schemas.coils import Truth
from schemas.events import Name
from store.connection import Connection
from store.labels import Asked, QueuePlace, label_of, review_queue
from store.pool import borrowed

Why = Literal["disputed", "review", "second"]
_PLACE: TypeAdapter[tuple[str, datetime | None, str, str]] = TypeAdapter(tuple[str, datetime | None, str, str])

router = APIRouter(tags=["reviews"])


class ReviewAnswer(BaseModel):
    """A coil that a person is asked to look at.

    `why`: people differ (`disputed`), its verdict asks for it (`review`), or it was drawn for a second person, who is
    not to know of the first (`second`).
    """

    why: Why
    plant: str
    coil_id: str
    coil: str = Field(description="Where to look for it.")
    revision: str | None = Field(description="Null: it has no verdict yet.")
    reasons: list[str] = Field(description="Each as `code: detail`.")
    decided_at: datetime | None


class Reviews(BaseModel):
    """Disputes first, then the oldest."""

    items: list[ReviewAnswer]
    next: str | None = Field(description="Cursor of the page after it; null: this is the last one.")


class SettleRequest(Place):
    """The word that ends a dispute."""

    label: Truth


@router.get("/api/v1/reviews", summary="Read the review queue", responses={400: {"description": "no such cursor"}})
def get_reviews(
    request: Request,
    caller: Reads,
    plant: Name | None = None,
    why: Why | None = None,
    since: Moment | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ITEMS)] = 50,
) -> Reviews:
    """Coils that a person is asked to look at; who is signed in does not see those of which he has spoken already.

    What anybody has said of them is not shown: who looks is to judge for himself.
    """
    operator = caller.name if caller.kind == "person" else None
    filters = [plant, why, since, operator]
    after = None if cursor is None else QueuePlace(*place_of(cursor, _PLACE, of=["reviews", *filters]))
    with borrowed(service_of(request).pool) as connection:
        found = review_queue(
            connection, plant=plant, since=since, operator=operator, why=why, after=after, most=limit + 1
        )
    shown, last = found[:limit], found[limit - 1 : limit] if len(found) > limit else ()
    following = [cursor_after([one.why, one.decided_at, *one.key], of=["reviews", *filters]) for one in last]
    return Reviews(items=[_answer(one) for one in shown], next=following[0] if following else None)


@router.post(
    "/api/v1/reviews/{plant}/{coil_id}/settle",
    status_code=HTTPStatus.CREATED,
    response_model=FeedbackAnswer,
    summary="End a dispute",
    responses={
        201: {"headers": LOCATED},
        409: {"description": "people do not differ on the coil, or the same idempotency key is under way"},
        422: {"description": "the body breaks the contract, or its idempotency key was sent with another"},
    },
)
def post_settle(
    request: Request, key: NamedCoil, body: SettleRequest, caller: GivesFeedback, asked: Idempotent
) -> Response:
    """Say what the coil is, once and for all: what others said before yields."""

    def disputed(connection: Connection) -> None:
        found = label_of(connection, key)
        if found is None or not found.disputed:
            raise ProblemError(
                HTTPStatus.CONFLICT,
                f"nobody differs on coil {key.coil_id} of plant {key.plant}",
                remedy="give plain feedback on it",
            )

    more = {"label": body.label, "settles": True}
    return said(service_of(request), key, body, caller, asked, more=more, first=disputed)


def _answer(one: Asked) -> ReviewAnswer:
    return ReviewAnswer.model_validate(
        {
            "why": one.why,
            "plant": one.key.plant,
            "coil_id": one.key.coil_id,
            "coil": coil_path(one.key),
            "revision": one.revision,
            "reasons": list(one.reasons),
            "decided_at": one.decided_at,
        }
    )
