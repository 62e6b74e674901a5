"""When each job is due, and whether it is paused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from store.connection import Connection, store_errors
from store.queries import query


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """When a job is due."""

    job: str
    cron: str
    own_cron: bool  # a person set it; else it is that of the settings
    paused_at: datetime | None
    paused_by: str | None
    paused_why: str | None
    changed_by: str | None
    changed_at: datetime
    after: datetime  # fires up to then are recorded, or nobody's business


def register_schedules(connection: Connection, crons: Mapping[str, str], *, epoch: int, now: datetime) -> None:
    """Make the jobs known with the crontabs of the settings; those that a person set stay.

    Args:
        connection: on a database of this version.
        crons: by job.
        epoch: of the leader.
        now: a job that is new, or has another crontab, is due from then on.

    Raises:
        StoreError: the database refused.
    """
    parameters = {"jobs": list(crons), "crons": list(crons.values()), "epoch": epoch, "now": now}
    with store_errors(f"register {len(crons)} jobs"):
        connection.execute(query("register_schedules"), parameters)


def schedules(connection: Connection, *, now: datetime) -> dict[str, Schedule]:
    """Every job that was ever registered, by name, as things stand at a time; raises StoreError."""
    with store_errors("read the schedules"):
        return {row["job"]: Schedule(**row) for row in connection.execute(query("schedules"), {"now": now})}


@dataclass(frozen=True, kw_only=True, slots=True)
class Ahead:
    """Fires of a job that are recorded though their time has not come."""

    job: str
    fires: int
    last_at: datetime


def forget_future(connection: Connection, jobs: Sequence[str], *, epoch: int, now: datetime) -> tuple[Ahead, ...]:
    """Undo what a clock that was ahead of `now` recorded, but for fires that have run.

    Args:
        connection: on a database of this version.
        jobs: by name.
        epoch: of the leader; nothing is undone where it is over.
        now: the time.

    Returns:
        What was found, by job; those that have run are found until their time has come.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("look for fires of the future"):
        found = connection.execute(query("forget_future"), {"jobs": list(jobs), "epoch": epoch, "now": now})
        return tuple(Ahead(**row) for row in found)


def set_cron(connection: Connection, job: str, cron: str, *, own: bool, who: str, now: datetime) -> None:
    """Set a job's crontab.

    Args:
        connection: on a database of this version.
        job: its name.
        cron: five fields, valid.
        own: a person's; False: that of the settings again.
        who: set it.
        now: fires up to then are nobody's business.

    Raises:
        StoreError: the database refused.
    """
    with store_errors(f"set the crontab of the job {job}"):
        connection.execute(query("set_cron"), {"job": job, "cron": cron, "own": own, "who": who, "now": now})


def pause_job(connection: Connection, job: str, *, cron: str, who: str, why: str | None, now: datetime) -> bool:
    """Hold a job's fires back; a run under way goes on.

    Returns:
        Whether it was not paused before.

    Raises:
        StoreError: the database refused.
    """
    with store_errors(f"pause the job {job}"):
        parameters = {"job": job, "cron": cron, "who": who, "why": why, "now": now}
        return connection.execute(query("pause_job"), parameters).fetchone() is not None


def resume_job(connection: Connection, job: str, *, now: datetime) -> bool:
    """Let a job run again; what was due meanwhile is not made up for.

    Returns:
        Whether it was paused.

    Raises:
        StoreError: the database refused.
    """
    with store_errors(f"resume the job {job}"):
        return connection.execute(query("resume_job"), {"job": job, "now": now}).fetchone() is not None
