"""`GET /api/v1/coils/{plant}/{coil_id}`: what became of a coil."""

from datetime import datetime
from http import HTTPStatus
from typing import Literal
from urllib.parse import unquote

from fastapi import APIRouter, Request
from pydantic import BaseModel

from console.rest.access import Reads
from console.rest.problems import ProblemError
from console.rest.service import service_of
from schemas.coils import CoilKey
from schemas.events import CoilVerdict, verdict_data
from store.inbox import coil_state
from store.pool import borrowed
from store.verdicts import verdict_of

_PREFIX = "/api/v1/coils/"

router = APIRouter()


class DeadLetterAnswer(BaseModel):
    """Something that was refused of the coil, without its bytes."""

    dead_letter_id: int
    step: str
    error: str
    remedy: str
    place: str
    state: Literal["new", "replayed", "resolved", "discarded"]
    created_at: datetime


class CoilAnswer(BaseModel):
    """What became of a coil so far."""

    plant: str
    coil_id: str
    state: Literal["open", "decided", "dead_lettered"]
    seen_at: datetime
    verdict: CoilVerdict | None  # the one that stands, as its event carries it
    dead_letters: list[DeadLetterAnswer]  # newest first


@router.get(
    _PREFIX + "{plant}/{coil_id:path}",
    summary="Look a coil up",
    responses={404: {"description": "the coil was never seen"}},
)
def get_coil(request: Request, plant: str, coil_id: str, _: Reads) -> CoilAnswer:
    """State, verdict and dead letters of a coil; a slash within a name is sent as %2F."""
    key = _key(request) or CoilKey(plant=plant, coil_id=coil_id)
    with borrowed(service_of(request).pool) as connection:
        found = coil_state(connection, key) if "\x00" not in key.plant + key.coil_id else None
        if found is None:
            raise ProblemError(
                HTTPStatus.NOT_FOUND,
                f"coil {key.coil_id} of plant {key.plant} was never seen",
                remedy="check both names, or send its events first",
            )
        verdict = verdict_of(connection, key)
    return CoilAnswer.model_validate(
        {
            "plant": key.plant,
            "coil_id": key.coil_id,
            "state": found.state,
            "seen_at": found.seen_at,
            "verdict": verdict and verdict_data(verdict.verdict, decided_at=verdict.decided_at),
            "dead_letters": list(found.dead_letters),
        },
        from_attributes=True,
    )


def _key(request: Request) -> CoilKey | None:
    """The two names as they were sent: the path that the router saw is decoded, and its slashes tell nothing."""
    raw = request.scope.get("raw_path", b"").decode("ascii", "replace")
    names = raw.partition(_PREFIX)[2].split("/")
    return CoilKey(plant=unquote(names[0]), coil_id=unquote(names[1])) if len(names) == 2 else None
