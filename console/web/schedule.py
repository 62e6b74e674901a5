"""`/schedule`: jobs and their runs, who leads, why a successor was trained or why not; to run, pause and resume."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from console.rest.access import Operates, Reads
from console.rest.problems import ProblemError
from console.rest.service import Service, service_of
from console.web.asking import Question, ask, no_reason
from console.web.pages import render
from console.web.run_charts import run_strip, said_s, since, took_s
from scheduler.cron_words import in_words
from scheduler.overview import JobOverview, Overview, overview
from scheduler.registry import registered_jobs
from store.connection import Connection
from store.decisions import StoredDecision, last_decisions
from store.leadership import last_leader
from store.pool import borrowed
from store.requests import request_pending
from store.schedule import PastFire, last_fires
from store.schedules import pause_job, resume_job

Action = Literal["run", "pause", "resume"]
_RUNS = 24  # in a strip
_HISTORY = 60
_DECIDING = ("retrain", "promotion", "score")  # jobs whose decisions are on the first page
_DECISIONS = 60  # of each of them that are looked at for the last on each subject
_SUBJECTS = 8  # shown
_TITLES = {"run": "Run {} now", "pause": "Pause {}", "resume": "Resume {}"}

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRow:
    """One job as the table shows it."""

    job: JobOverview
    words: str  # its crontab
    strip: Markup
    runs: tuple[PastFire, ...]  # newest first
    took: str  # the last run


@router.get("/schedule")
def get_schedule(request: Request, caller: Reads) -> HTMLResponse:
    """Jobs, who leads, what is wrong, and the last decisions."""
    service, now = service_of(request), datetime.now(UTC)
    with borrowed(service.pool) as connection:
        found = _overview(connection, service, now)
        rows = [_row(connection, one) for one in found.jobs]
        decided = {job: _last_on_each(last_decisions(connection, job, most=_DECISIONS)) for job in _DECIDING}
    return render(request, "schedule.html", caller=caller, found=found, rows=rows, decided=decided, **_said(now))


@router.get("/schedule/{job}")
def get_job(request: Request, caller: Reads, job: str) -> HTMLResponse:
    """All that a job did and decided lately, and why; as `coilflow scheduler why`."""
    service, now = service_of(request), datetime.now(UTC)
    with borrowed(service.pool) as connection:
        one = _known(connection, service, job, now)
        runs = last_fires(connection, job, most=_HISTORY)
        decisions = last_decisions(connection, job, most=_HISTORY)
    return render(
        request,
        "job.html",
        caller=caller,
        one=one,
        words=in_words(one.cron),
        strip=run_strip(runs),
        runs=runs,
        decisions=decisions,
        **_said(now),
    )


@router.get("/schedule/{job}/{action}")
def get_action(request: Request, caller: Operates, job: str, action: Action) -> HTMLResponse:
    """What will happen, and a field for the reason."""
    service = service_of(request)
    with borrowed(service.pool) as connection:
        one = _known(connection, service, job, datetime.now(UTC))
    return ask(request, caller, _question(one, action))


@router.post("/schedule/{job}/{action}")
def post_action(
    request: Request, caller: Operates, job: str, action: Action, why: Annotated[str, Form()] = ""
) -> Response:
    """Ask for a run, pause a job or resume it, and show it; or say why not."""
    service, why, now = service_of(request), why.strip(), datetime.now(UTC)
    with borrowed(service.pool) as connection:
        one = _known(connection, service, job, now)
        refusal, status = no_reason(why), HTTPStatus.UNPROCESSABLE_ENTITY
        if refusal is None:
            refusal, status = _do(connection, one, action, who=caller.name, why=why, now=now), HTTPStatus.CONFLICT
    if refusal is not None:
        return ask(request, caller, _question(one, action), why=why, refusal=refusal, status=status)
    return RedirectResponse(f"/schedule/{quote(job, safe='')}", status_code=HTTPStatus.SEE_OTHER)


def _do(connection: Connection, one: JobOverview, action: Action, *, who: str, why: str, now: datetime) -> str | None:
    """What speaks against it; None where it is done."""
    if action == "pause":
        done = pause_job(connection, one.job, cron=one.cron, who=who, why=why, now=now)
        return None if done else f"{one.job} is paused already."
    if action == "resume":
        return None if resume_job(connection, one.job, now=now) else f"{one.job} is not paused."
    if one.paused_at is not None:
        return f"{one.job} is paused: resume it first."
    if last_leader(connection) is None:
        return "No scheduler ever ran: start `coilflow scheduler run`."
    request_pending(connection, one.job, who="http", why=f"{why} ({who})", now=None)  # one that waits does for both
    return None


def _question(one: JobOverview, action: Action) -> Question:
    return Question(
        title=_TITLES[action].format(one.job),
        page=("Schedule", "/schedule"),
        to=f"/schedule/{quote(one.job, safe='')}/{action}",
        happens={
            "run": (
                "The scheduler that leads begins it within a second or two, out of turn; a run that waits already does "
                "for both.",
                "Whether there is anything to do, the job decides, and says why.",
            ),
            "pause": (
                "It runs no more until somebody resumes it; what is due meanwhile is not made up for.",
                "A run under way goes on.",
            ),
            "resume": (
                f"It runs again when it is due: {in_words(one.cron)}.",
                "What was due meanwhile is not made up for.",
            ),
        }[action],
        harms=action == "pause",
    )


def _overview(connection: Connection, service: Service, now: datetime) -> Overview:
    return overview(connection, settings=service.settings, jobs=registered_jobs(service.settings), now=now)


def _known(connection: Connection, service: Service, job: str, now: datetime) -> JobOverview:
    by_name = {one.job: one for one in _overview(connection, service, now).jobs}
    if job not in by_name:
        raise ProblemError(
            HTTPStatus.NOT_FOUND, f"there is no job {job}", remedy=f"give one of {', '.join(sorted(by_name))}"
        )
    return by_name[job]


def _row(connection: Connection, one: JobOverview) -> JobRow:
    runs = last_fires(connection, one.job, most=_RUNS)
    took = said_s(took_s(runs[0])) if runs else ""
    return JobRow(job=one, words=in_words(one.cron), strip=run_strip(runs), runs=runs, took=took)


def _last_on_each(decisions: Sequence[StoredDecision]) -> list[StoredDecision]:
    """The newest decision on each subject, the newest first."""
    newest: dict[str, StoredDecision] = {}
    for one in decisions:
        newest.setdefault(one.subject, one)
    return list(newest.values())[:_SUBJECTS]


def _said(now: datetime) -> dict[str, Any]:
    return {"now": now, "since": since, "said_s": said_s, "took_s": took_s, "quote": quote}
