"""`/healthz`, `/readyz` and `/metrics`."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from console.rest.problems import ProblemError
from console.rest.service import service_of
from store.inbox import database_clock
from store.pool import borrowed

router = APIRouter()


@router.get("/healthz", summary="Whether the process works", responses={500: {"description": "start it again"}})
def healthz(request: Request) -> dict[str, str]:
    """Whether this process works; where it does not, a restart helps."""
    if not service_of(request).judge.alive:
        raise ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "the inbox is not judged any more", remedy="restart it")
    return {"status": "ok"}


@router.get("/readyz", summary="Whether events can be stored", responses={503: {"description": "not now"}})
def readyz(request: Request) -> dict[str, str]:
    """Whether the database answers."""
    with borrowed(service_of(request).pool) as connection:
        database_clock(connection)
    return {"status": "ready"}


@router.get("/metrics", summary="Metrics for Prometheus")
def metrics() -> Response:
    """Metrics of this process."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
