"""`GET /api/v1/coils`: coils newest first, by plant, line, time, label and doubt."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field, TypeAdapter

from console.rest.access import Reads
from console.rest.cursors import MOST_ITEMS, cursor_after, place_of
from console.rest.names import REST
from console.rest.service import service_of
from console.rest.times import Moment
from schemas.events import CoilWarning, Name
from schemas.verdicts import Label, Reason
from store.pool import borrowed
from store.search import Place, Review, State, Wanted, list_coils

_PLACE: TypeAdapter[Place] = TypeAdapter(Place)

router = APIRouter(tags=["coils"])


class CoilItem(BaseModel):
    """A coil in a list, with the verdict that stands; null where there is none."""

    plant: str
    coil_id: str
    state: State
    at: datetime = Field(description="When it was decided; first seen, where it is not.")
    seen_at: datetime
    zn_min_g_m2: float | None
    zn_max_g_m2: float | None
    length_m: float | None
    material: str | None
    customer: str | None
    revision: str | None
    label: Label | None
    p_nok: float | None
    threshold: float | None
    observed: float | None
    reasons: tuple[str, ...]
    review: tuple[str, ...] = Field(description="Why a person is asked to look at it.")
    decided_at: datetime | None
    ensemble_version: str | None
    said: Literal["OK", "NOK", "disputed"] | None = Field(description="What people say of it; null: nothing.")
    early_warning: CoilWarning | None = Field(description="Of an open coil.")


class CoilPage(BaseModel):
    """One page of a list."""

    items: list[CoilItem]
    next: str | None = Field(description="Cursor of the page after it; null: this is the last one.")


@router.get(
    REST.removesuffix("/"),
    summary="List coils, newest first",
    responses={400: {"description": "the cursor is not of this list"}},
)
def get_coils(
    request: Request,
    _: Reads,
    plant: Annotated[Name | None, Query(description="Plant or line.")] = None,
    label: Annotated[Label | None, Query(description="Of the verdict that stands.")] = None,
    since: Annotated[Moment | None, Query(alias="from", description="Decided then or later; else first seen.")] = None,
    until: Annotated[Moment | None, Query(alias="to", description="Before then.")] = None,
    doubt: Annotated[Reason | None, Query(description="Code of a reason of the verdict.")] = None,
    state: Annotated[State | None, Query()] = None,
    review: Annotated[
        Review | None,
        Query(description="asked: the verdict asks a person to look; waiting: and nobody has said anything."),
    ] = None,
    q: Annotated[Name | None, Query(description="The coil's id begins so.")] = None,
    cursor: Annotated[str | None, Query(max_length=2000, description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ITEMS)] = 50,
) -> CoilPage:
    """Coils with what was made of them; pages stay in place while new coils come in."""
    wanted = Wanted(plant=plant, label=label, since=since, until=until, doubt=doubt, state=state, review=review, name=q)
    of = ["coils", plant, label, since, until, doubt, state, review, q]
    after = None if cursor is None else place_of(cursor, _PLACE, of=of)
    with borrowed(service_of(request).pool) as connection:
        found, last = list_coils(connection, wanted, most=limit, after=after)
    return CoilPage(
        items=[CoilItem.model_validate(one, from_attributes=True) for one in found],
        next=None if last is None else cursor_after(last, of=of),
    )
