"""`coilflow scheduler`: run jobs when they are due, and see and change when that is."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Annotated

import structlog
import typer
from rich.text import Text

from console.login import login_name
from console.options import JsonOption
from console.output import err, out, print_json
from console.schedules import decision_object, fire_object, job_object, leader_object, runs_table, schedule_table
from scheduler.cron import check_crons
from scheduler.jobs import Jobs
from scheduler.overview import JobOverview, overview
from scheduler.registry import registered_jobs
from schemas.errors import UsageError
from schemas.settings import Settings, load_settings
from store.connection import Connection, connect, describe

_log = structlog.stdlib.get_logger(__name__)

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="As `coilflow scheduler list` names it.")]
WhyOption = Annotated[str | None, typer.Option("--why", metavar="TEXT", help="Kept with it, for those who come after.")]
_SHOWN = 10  # runs and decisions


def run() -> int:
    """Run jobs when they are due, until stopped; start it on two machines, and one leads."""
    from flows.observe import configure_logging, serve_metrics  # noqa: PLC0415 - the other commands need no server
    from scheduler.figures import showing_figures  # noqa: PLC0415
    from scheduler.service import Scheduler  # noqa: PLC0415
    from store.migrations import migrate  # noqa: PLC0415

    settings = load_settings()
    configure_logging()
    serve_metrics(settings.metrics_port, service="scheduler")
    with _dsn(settings) as dsn, _stopped_by_signals() as stop:
        migrate(dsn)
        scheduler = Scheduler(dsn, settings=settings, jobs=_jobs(settings))
        _log.info("the scheduler runs", database=describe(dsn))
        with showing_figures(dsn, settings):
            scheduler.run(stop)
        _log.info("the scheduler has stopped")
    return 0


def list_(*, as_json: JsonOption = False) -> int:
    """List jobs with their crontab, next and last run, and who leads; exit 1 where no scheduler leads."""
    settings = load_settings()
    with _database(settings) as connection:
        found = overview(connection, settings=settings, jobs=_jobs(settings), now=datetime.now(UTC))
    if as_json:
        for one in found.jobs:
            print_json(job_object(one) | {"leader": leader_object(found.leader)})
    else:
        out.print(schedule_table(found))
    return 0 if found.leader is not None and found.leader.leads else 1


def why(job: JobArgument, *, as_json: JsonOption = False) -> int:
    """Show what a job did and decided last, and why; exit 1 where it did nothing yet."""
    from store.decisions import last_decisions  # noqa: PLC0415
    from store.schedule import last_fires  # noqa: PLC0415

    settings = load_settings()
    with _database(settings) as connection:
        one = _known(connection, settings, job)
        fires, decisions = last_fires(connection, job, most=_SHOWN), last_decisions(connection, job, most=_SHOWN)
    if as_json:
        print_json({"is": "job", **job_object(one)})
        for fire in fires:
            print_json({"is": "fire", **fire_object(fire)})
        for decision in decisions:
            print_json({"is": "decision", **decision_object(decision)})
    else:
        out.print(runs_table(one, fires, decisions))
    return 0 if fires or decisions else 1


def once(job: JobArgument, *, why: WhyOption = None, as_json: JsonOption = False) -> int:
    """Run a job now, also a paused one: by the scheduler that leads, else here; exit 0 where it was committed."""
    from flows.observe import log_warnings_to_stderr  # noqa: PLC0415
    from scheduler.once import run_once  # noqa: PLC0415

    log_warnings_to_stderr()
    settings = load_settings()
    with _dsn(settings) as dsn, _stopped_by_signals() as stop:
        _check(dsn, settings)
        fire = run_once(
            dsn,
            job,
            settings=settings,
            jobs=_jobs(settings),
            clock=lambda: datetime.now(UTC),
            who=login_name(),
            why=why,
            stop=stop,
        )
    if as_json:
        print_json(fire_object(fire))
    elif fire.outcome is None:
        err.print(f"{job}: nobody has begun it yet; it stays asked for, see `coilflow scheduler why {job}`")
    else:
        out.print(Text(f"{job}: {fire.outcome}: {fire.said or fire.error or 'nothing to say'}"), soft_wrap=True)
    return 0 if fire.state == "committed" else 1


def pause(job: JobArgument, *, why: WhyOption = None) -> int:
    """Let a job's fires pass until it is resumed; exit 1 where it was paused already."""
    from store.schedules import pause_job  # noqa: PLC0415

    settings = load_settings()
    with _database(settings) as connection:
        cron = _known(connection, settings, job).cron
        done = pause_job(connection, job, cron=cron, who=login_name(), why=why, now=datetime.now(UTC))
    out.print(f"{job} is paused" if done else f"{job} was paused already")
    return 0 if done else 1


def resume(job: JobArgument) -> int:
    """Let a job run again from now on; exit 1 where it was not paused."""
    from store.schedules import resume_job  # noqa: PLC0415

    settings = load_settings()
    with _database(settings) as connection:
        _known(connection, settings, job)
        done = resume_job(connection, job, now=datetime.now(UTC))
    out.print(f"{job} runs again when it is due" if done else f"{job} was not paused")
    return 0 if done else 1


def set_(
    job: JobArgument,
    cron: Annotated[
        str | None,
        typer.Argument(metavar="[CRON]", help="Five fields, in the scheduler's time zone; none: as the settings say."),
    ] = None,
) -> int:
    """Set when a job is due, from now on."""
    from scheduler.cron import cron_trigger, time_zone  # noqa: PLC0415
    from store.schedules import set_cron  # noqa: PLC0415

    settings, now = load_settings(), datetime.now(UTC)
    jobs = _jobs(settings)
    with _database(settings) as connection:
        _known(connection, settings, job)
        if job not in jobs and cron is None:
            raise UsageError(f"the settings know no job {job!r}", remedy="give a crontab, or upgrade coilflow")
        wanted = jobs[job].cron if cron is None else cron
        cron_trigger(wanted, time_zone(settings.schedule.time_zone), now=now)
        set_cron(connection, job, wanted, own=cron is not None, who=login_name(), now=now)
        one = _known(connection, settings, job)
    when = "is paused" if one.next_at is None else f"is due next at {one.next_at:%Y-%m-%d %H:%M %Z}"
    out.print(f"{job} runs at `{wanted}` and {when}")
    return 0


def _known(connection: Connection, settings: Settings, job: str) -> JobOverview:
    now = datetime.now(UTC)
    found = {one.job: one for one in overview(connection, settings=settings, jobs=_jobs(settings), now=now).jobs}
    if job not in found:
        raise UsageError(f"there is no job {job!r}", remedy=f"give one of {', '.join(sorted(found))}")
    return found[job]


def _jobs(settings: Settings) -> Jobs:
    jobs = registered_jobs(settings)
    check_crons(settings, jobs, now=datetime.now(UTC))
    return jobs


@contextmanager
def _dsn(settings: Settings) -> Iterator[str]:
    from store import embedded  # noqa: PLC0415 - an installation with a server of its own needs no other

    with ExitStack() as stack:
        yield settings.database_dsn or stack.enter_context(embedded.embedded_postgres(settings.data_dir))


@contextmanager
def _database(settings: Settings) -> Iterator[Connection]:
    with _dsn(settings) as dsn:
        _check(dsn, settings)
        with connect(dsn) as connection:
            yield connection


def _check(dsn: str, settings: Settings) -> None:
    from store import migrations  # noqa: PLC0415

    if settings.database_dsn is None:
        migrations.migrate(dsn)
        return
    with connect(dsn) as connection:
        migrations.check_version(connection)


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    stop = threading.Event()
    with ExitStack() as stack:
        for number in (signal.SIGTERM, signal.SIGINT):
            stack.callback(signal.signal, number, signal.getsignal(number))
            signal.signal(number, lambda *_: stop.set())
        yield stop
