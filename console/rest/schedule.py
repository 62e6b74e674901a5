"""`POST /api/v1/schedule/{job}/requests`: ask the scheduler for a run, as NiFi's flow *retrain* does."""

from datetime import UTC, datetime
from http import HTTPStatus

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from console.rest.access import Operates
from console.rest.problems import ProblemError
from console.rest.service import service_of
from scheduler.registry import registered_jobs
from schemas.events import Said
from store.leadership import last_leader
from store.pool import borrowed
from store.requests import request_pending
from store.schedules import schedules

router = APIRouter()


class RunRequest(BaseModel):
    """Why a run is asked for; kept with it."""

    model_config = ConfigDict(extra="forbid")

    why: Said


class RunRequested(BaseModel):
    """What became of it."""

    job: str
    asked: bool  # false: a run waits already, and does for this one too


@router.post(
    "/api/v1/schedule/{job}/requests",
    status_code=HTTPStatus.ACCEPTED,
    summary="Ask for a run of a job",
    responses={
        202: {"description": "it will run, or one that waits already does for both"},
        404: {"description": "there is no such job"},
        409: {"description": "the job is paused"},
        422: {"description": "the body gives no reason"},
        503: {"description": "no scheduler ever ran, or the database is away"},
    },
)
def post_request(request: Request, job: str, body: RunRequest, _: Operates) -> RunRequested:
    """Ask for a run; whether there is anything to do, the job decides, see `coilflow scheduler why JOB`."""
    service, now = service_of(request), datetime.now(UTC)
    known = sorted(registered_jobs(service.settings))
    if job not in known:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"there is no job {job}", remedy=f"give one of {', '.join(known)}")
    with borrowed(service.pool) as connection, connection.transaction():
        asked = request_pending(connection, job, who="http", why=body.why, now=None)
        if not asked:
            schedule = schedules(connection, now=now).get(job)
            if schedule is not None and schedule.paused_at is not None:
                raise ProblemError(
                    HTTPStatus.CONFLICT, f"the job {job} is paused", remedy=f"`coilflow scheduler resume {job}`"
                )
            if last_leader(connection) is None:
                raise ProblemError(
                    HTTPStatus.SERVICE_UNAVAILABLE, "no scheduler ever ran", remedy="start `coilflow scheduler run`"
                )
    return RunRequested(job=job, asked=asked)
