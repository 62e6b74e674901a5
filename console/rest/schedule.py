"""`/api/v1/schedule`: jobs, when they run and why not, and to ask for a run, to pause and to resume."""

from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from console.rest.access import Caller, Operates, Reads
from console.rest.cursors import MOST_ITEMS, cursor_after, place_of
from console.rest.idempotency import Asked, Done, Idempotent, once
from console.rest.problems import Answers, ProblemError
from console.rest.service import Service, service_of
from console.schedules import decision_object, fire_object, job_object, leader_object
from scheduler.overview import JobOverview, overview
from scheduler.registry import registered_jobs
from schemas.events import Said
from store.alarms import Alarm
from store.connection import Connection
from store.decisions import last_decisions
from store.leadership import last_leader
from store.pool import borrowed
from store.requests import request_pending
from store.schedule import last_fires
from store.schedules import pause_job, resume_job, schedules

_KEYED: Answers = {
    409: {"description": "the same idempotency key is under way"},
    422: {"description": "the body breaks the contract, or its idempotency key was sent with another"},
}
_JOB: Answers = {404: {"description": "there is no such job"}}

_CURSOR: Answers = {400: {"description": "the cursor is not of this list"}}
_RUN: TypeAdapter[tuple[datetime]] = TypeAdapter(tuple[datetime])
_DECISION: TypeAdapter[tuple[int]] = TypeAdapter(tuple[int])
_SCHEDULER_S = 60  # after which a client asks again where no scheduler ever ran

router = APIRouter(tags=["schedule"])


class RunRequest(BaseModel):
    """Why a run is asked for; kept with it."""

    model_config = ConfigDict(extra="forbid")

    why: Said


class RunRequested(BaseModel):
    """What became of it."""

    job: str
    asked: bool = Field(description="False: a run waits already, and does for this one too.")


class PauseRequest(RunRequest):
    """Why a job is paused."""


class Paused(BaseModel):
    """Whether a job is paused now, and whether this request changed that."""

    job: str
    paused: bool
    changed: bool


class PausedSince(BaseModel):
    """Who paused a job, when and why."""

    at: datetime
    by: str | None
    why: str | None


class Run(BaseModel):
    """A moment at which a job was to run, and its last attempt."""

    job: str
    fire_at: datetime
    state: Literal["due", "begun", "committed", "failed", "missed", "coalesced"]
    requested_by: str | None = Field(description="Who asked for it; null: its crontab.")
    why: str | None
    attempts: int
    next_attempt: datetime | None
    epoch: int | None
    holder: str | None
    started: datetime | None
    ended: datetime | None
    outcome: str | None
    said: str | None
    error: str | None


class JobAnswer(BaseModel):
    """A job: when it is due, and its last run."""

    job: str
    cron: str
    own_cron: bool = Field(description="A person set it.")
    settings_cron: str | None = Field(description="That of the settings, where it is another.")
    next: datetime | None = Field(description="When it is due; null: it is paused.")
    paused: PausedSince | None
    last: Run | None


class LeaderAnswer(BaseModel):
    """The scheduler that led last, and whether it does."""

    holder: str
    epoch: int
    leads: bool
    since: datetime
    heartbeat: datetime


class AlarmAnswer(BaseModel):
    """Something that a person should know, and that is not over."""

    kind: str
    subject: str
    text: str
    raised_at: datetime
    last_at: datetime
    times: int


class ScheduleAnswer(BaseModel):
    """Every job, who leads, and what is wrong."""

    items: list[JobAnswer]
    leader: LeaderAnswer | None = Field(description="Null: no scheduler ever ran.")
    alarms: list[AlarmAnswer]


class DecisionAnswer(BaseModel):
    """What a job decided, to act or not, and what that rests on."""

    job: str
    at: datetime
    subject: str
    act: bool
    why: list[str]
    evidence: dict[str, Any]


class WhyAnswer(BaseModel):
    """What a job did and decided, the newest first."""

    job: JobAnswer
    runs: list[Run]
    decisions: list[DecisionAnswer]


class Runs(BaseModel):
    """The newest first."""

    items: list[Run]
    next: str | None = Field(description="Cursor of the page after it; null: this is the last one.")


class Decisions(BaseModel):
    """The newest first."""

    items: list[DecisionAnswer]
    next: str | None = Field(description="Cursor of the page after it; null: this is the last one.")


@router.get("/api/v1/schedule", summary="List jobs")
def get_schedule(request: Request, _: Reads) -> ScheduleAnswer:
    """Every job with its crontab, next and last run; who leads; and what is wrong now."""
    service = service_of(request)
    with borrowed(service.pool) as connection:
        found = overview(
            connection, settings=service.settings, jobs=registered_jobs(service.settings), now=datetime.now(UTC)
        )
    leader = leader_object(found.leader)
    return ScheduleAnswer(
        items=[JobAnswer.model_validate(job_object(one)) for one in found.jobs],
        leader=None if leader is None else LeaderAnswer.model_validate(leader),
        alarms=[_alarm(one) for one in found.alarms],
    )


@router.get("/api/v1/schedule/{job}", summary="Read what a job did, and why or why not", responses=_JOB)
def get_job(request: Request, job: str, _: Reads, limit: Annotated[int, Query(ge=1, le=MOST_ITEMS)] = 20) -> WhyAnswer:
    """The last runs of a job and its last decisions with their evidence, as `coilflow scheduler why`."""
    service = service_of(request)
    with borrowed(service.pool) as connection:
        one = _known(connection, service, job)
        runs, decisions = last_fires(connection, job, most=limit), last_decisions(connection, job, most=limit)
    return WhyAnswer(
        job=JobAnswer.model_validate(job_object(one)),
        runs=[Run.model_validate(fire_object(fire)) for fire in runs],
        decisions=[DecisionAnswer.model_validate(decision_object(decision)) for decision in decisions],
    )


@router.get("/api/v1/schedule/{job}/runs", summary="List the runs of a job", responses={**_JOB, **_CURSOR})
def get_runs(
    request: Request,
    job: str,
    _: Reads,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ITEMS)] = 50,
) -> Runs:
    """Every run that is kept, also those that were missed, the newest first."""
    before = None if cursor is None else place_of(cursor, _RUN, of=["runs", job])[0]
    with borrowed(service_of(request).pool) as connection:
        _known(connection, service_of(request), job)
        found = last_fires(connection, job, most=limit + 1, before=before)
    following = [found[limit - 1].fire_at] if len(found) > limit else None
    return Runs(
        items=[Run.model_validate(fire_object(one)) for one in found[:limit]],
        next=following and cursor_after(following, of=["runs", job]),
    )


@router.get("/api/v1/schedule/{job}/decisions", summary="List what a job decided", responses={**_JOB, **_CURSOR})
def get_decisions(
    request: Request,
    job: str,
    _: Reads,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ITEMS)] = 50,
) -> Decisions:
    """Every decision to act or not, with why and on what evidence, the newest first."""
    before = None if cursor is None else place_of(cursor, _DECISION, of=["decisions", job])[0]
    with borrowed(service_of(request).pool) as connection:
        _known(connection, service_of(request), job)
        found = last_decisions(connection, job, most=limit + 1, before_id=before)
    following = [found[limit - 1].decision_id] if len(found) > limit else None
    return Decisions(
        items=[DecisionAnswer.model_validate(decision_object(one)) for one in found[:limit]],
        next=following and cursor_after(following, of=["decisions", job]),
    )


@router.post(
    "/api/v1/schedule/{job}/requests",
    status_code=HTTPStatus.ACCEPTED,
    response_model=RunRequested,
    summary="Ask for a run of a job",
    responses={
        **_JOB,
        202: {"description": "it will run, or one that waits already does for both"},
        409: {"description": "the job is paused, or the same idempotency key is under way"},
        422: {"description": "the body gives no reason, or its idempotency key was sent with another"},
        503: {"description": "no scheduler ever ran, or the database is away"},
    },
)
def post_request(request: Request, job: str, body: RunRequest, caller: Operates, asked: Idempotent) -> Response:
    """Ask for a run; whether there is anything to do, the job decides, see `coilflow scheduler why JOB`."""
    service, now = service_of(request), datetime.now(UTC)
    known = sorted(registered_jobs(service.settings))
    if job not in known:
        raise _unknown(job, known)

    def act(connection: Connection) -> Done:
        pending = request_pending(connection, job, who="http", why=f"{body.why} ({caller.name})", now=None)
        if not pending:
            schedule = schedules(connection, now=now).get(job)
            if schedule is not None and schedule.paused_at is not None:
                raise ProblemError(
                    HTTPStatus.CONFLICT,
                    f"the job {job} is paused",
                    remedy=f"resume it first: POST /api/v1/schedule/{job}/resume",
                )
            if last_leader(connection) is None:
                raise ProblemError(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "no scheduler ever ran",
                    remedy="start `coilflow scheduler run`",
                    headers={"Retry-After": str(_SCHEDULER_S)},
                )
        return Done(body=RunRequested(job=job, asked=pending), status=HTTPStatus.ACCEPTED)

    return once(service.pool, asked, caller, act)


@router.post("/api/v1/schedule/{job}/pause", response_model=Paused, summary="Pause a job", responses={**_JOB, **_KEYED})
def post_pause(request: Request, job: str, body: PauseRequest, caller: Operates, asked: Idempotent) -> Response:
    """Let a job's fires pass until it is resumed; a run under way goes on."""

    def pause(connection: Connection, one: JobOverview, now: datetime) -> bool:
        return pause_job(connection, job, cron=one.cron, who=caller.name, why=body.why, now=now)

    return _set(service_of(request), job, caller, asked, pause, paused=True)


@router.post(
    "/api/v1/schedule/{job}/resume", response_model=Paused, summary="Resume a job", responses={**_JOB, **_KEYED}
)
def post_resume(request: Request, job: str, caller: Operates, asked: Idempotent) -> Response:
    """Let a job run again from now on; what was due meanwhile is not made up for."""

    def resume(connection: Connection, _: JobOverview, now: datetime) -> bool:
        return resume_job(connection, job, now=now)

    return _set(service_of(request), job, caller, asked, resume, paused=False)


def _set(
    service: Service,
    job: str,
    caller: Caller,
    asked: Asked,
    change: Callable[[Connection, JobOverview, datetime], bool],
    *,
    paused: bool,
) -> Response:
    def act(connection: Connection) -> Done:
        changed = change(connection, _known(connection, service, job), datetime.now(UTC))
        return Done(body=Paused(job=job, paused=paused, changed=changed))

    return once(service.pool, asked, caller, act)


def _known(connection: Connection, service: Service, job: str) -> JobOverview:
    jobs = registered_jobs(service.settings)
    found = overview(connection, settings=service.settings, jobs=jobs, now=datetime.now(UTC))
    by_name = {one.job: one for one in found.jobs}
    if job not in by_name:
        raise _unknown(job, sorted(by_name))
    return by_name[job]


def _unknown(job: str, known: list[str]) -> ProblemError:
    return ProblemError(HTTPStatus.NOT_FOUND, f"there is no job {job}", remedy=f"give one of {', '.join(known)}")


def _alarm(one: Alarm) -> AlarmAnswer:
    return AlarmAnswer.model_validate(one, from_attributes=True)
