"""`GET /api/v1/coils/{plant}/{coil_id}/explanation` and `/similar`: why, and which coils look alike."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from console.explanation_picture import explanation_png
from console.rest.access import Reads
from console.rest.names import REST, NamedCoil, never_seen
from console.rest.problems import ProblemError
from console.rest.service import service_of
from flows.explain import Explained, explain_decided
from flows.similar import similar_coils
from models.ensemble import Ensemble
from schemas.coils import CoilKey
from schemas.events import Name
from schemas.explanations import CoilExplanation, SimilarCoils
from store.inbox import coil_state
from store.pool import borrowed

PNG = "image/png"
MOST_SIMILAR = 50

router = APIRouter(tags=["coils"])

_NONE: dict[int | str, dict[str, Any]] = {
    404: {"description": "the coil was never seen"},
    409: {"description": "there is nothing to look at yet"},
}


@router.get(
    REST + "{plant}/{coil_id}/explanation",
    summary="Which metres, face and sensors drove the verdict",
    response_model=CoilExplanation,
    responses={200: {"content": {PNG: {"schema": {"type": "string", "format": "binary"}}}}, **_NONE},
)
def get_explanation(
    request: Request,
    key: NamedCoil,
    _: Reads,
    revision: Annotated[Name | None, Query(description="Of the coil; else that of the verdict that stands.")] = None,
    accept: Annotated[str, Header(description="image/png draws it.")] = "application/json",
) -> CoilExplanation | Response:
    """What the ensemble that serves says of the coil, and what it would say without each part of it."""
    found = explained(request, key, revision)
    if PNG not in accept:
        return found.said
    return Response(explanation_png(found.said, found.coil.matrix, found.coil.limits), media_type=PNG)


@router.get(REST + "{plant}/{coil_id}/similar", summary="Which coils look alike", responses=_NONE)
def get_similar(
    request: Request, key: NamedCoil, _: Reads, limit: Annotated[int, Query(ge=1, le=MOST_SIMILAR)] = 6
) -> SimilarCoils:
    """Coils of the same plant and scale that look most like it, of the newest 100,000, with what became of them.

    The job `embed` of the scheduler makes coils comparable within a minute of their verdict; `state` is `empty` before.
    """
    service = service_of(request)
    limits = service.current().of(key.plant).champion.limits
    with borrowed(service.pool) as connection:
        found = similar_coils(connection, key, service.shapes, limit=limit, otherwise=limits)
        if found is None and coil_state(connection, key) is None:
            raise never_seen(key)
    if found is None:
        raise nothing_yet(f"coil {key.coil_id} has no verdict", "ask again once it is decided")
    if isinstance(found, str):
        raise nothing_yet(f"coil {key.coil_id} cannot be compared: {found}", "look at its verdict and its reasons")
    return found


def explained(request: Request, key: CoilKey, revision: str | None) -> Explained:
    """Explain a decided coil; raises ProblemError where there is none, or nothing to explain of it."""
    service = service_of(request)
    ensemble = service.current().of(key.plant).champion
    if not isinstance(ensemble, Ensemble):
        raise nothing_yet(f"what serves plant {key.plant} has no members to ask", "promote an ensemble of bundles")
    with borrowed(service.pool) as connection:
        found = explain_decided(connection, key, ensemble, service.kinds.of(connection), revision=revision)
        if found is None and coil_state(connection, key) is None:
            raise never_seen(key)
    if found is None:
        named = "" if revision is None else f" of revision {revision}"
        raise nothing_yet(f"coil {key.coil_id} has no verdict{named}", "ask again once it is decided")
    if isinstance(found, str):
        raise nothing_yet(f"coil {key.coil_id} cannot be explained: {found}", "look at its verdict and its reasons")
    return found


def nothing_yet(detail: str, remedy: str) -> ProblemError:
    """The problem of a coil that is known and of which there is nothing to show."""
    return ProblemError(HTTPStatus.CONFLICT, detail, remedy=remedy)
