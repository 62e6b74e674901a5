"""`/healthz`, `/readyz` and `/metrics`: open to whoever asks, for what starts, routes and watches consoles."""

from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from console.rest.problems import RETRY_AFTER_S, Problem, ProblemError, problem
from console.rest.readiness import Finding, State, bundle
from console.rest.service import service_of

router = APIRouter(tags=["health"])


class Healthy(BaseModel):
    """It works."""

    status: Literal["ok"] = "ok"


class Check(BaseModel):
    """One thing that the console works with."""

    state: State
    said: str
    needed: bool = Field(description="False: where it fails, coils are taken in and judged all the same.")


class Checks(BaseModel):
    """All of them."""

    database: Check
    bundle: Check
    broker: Check


class Ready(BaseModel):
    """Coils can be sent here."""

    status: Literal["ready"] = "ready"
    checks: Checks


class NotReady(Problem):
    """Problem details, with every check."""

    checks: Checks


@router.head("/healthz", include_in_schema=False)  # load balancers like to ask so
@router.get("/healthz", summary="Whether the process works", responses={500: {"description": "start it again"}})
async def healthz(request: Request) -> Healthy:  # in no thread: all of them may wait for a database, which is not ill
    """Whether this process works; where it does not, a restart helps."""
    service = service_of(request)
    if not service.judge.alive:
        raise ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "the inbox is not judged any more", remedy="restart it")
    if not service.feed.alive:
        raise ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "event streams are not told", remedy="restart it")
    return Healthy()


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    response_model=Ready,
    summary="Whether coils can be sent here",
    responses={503: {"model": NotReady, "description": "not now: something that is needed fails; `checks` names it"}},
)
def readyz(request: Request) -> Response:
    """Whether the database answers, what serves is loaded, and, for those who announce, the brokers let us in.

    A broker is not needed: verdicts wait for it in the database.
    """
    service = service_of(request)
    checks = Checks(
        database=_check(service.readiness.database.finding(), needed=True),
        bundle=_check(bundle(service.current), needed=True),
        broker=_check(service.readiness.brokers.finding(), needed=False),
    )
    failed = [name for name, check in checks if check.needed and check.state == "failed"]
    if not failed:
        return JSONResponse(Ready(checks=checks).model_dump(mode="json"))
    said = "; ".join(f"{name}: {getattr(checks, name).said}" for name in failed)
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        said,
        remedy="send coils to another console; `coilflow doctor` says more",
        headers={"Retry-After": str(RETRY_AFTER_S)},
        checks=checks.model_dump(mode="json"),
    )


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "text exposition"}},
)
def metrics() -> Response:
    """Metrics of this process."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _check(found: Finding, *, needed: bool) -> Check:
    return Check(state=found.state, said=found.said, needed=needed)
