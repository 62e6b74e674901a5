"""What a job is: a callable, and how the scheduler treats it."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from schemas.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class JobContext:
    """What a job gets for one run.

    What it stores commits only while this run stands: it stores within `store.leadership.fenced(connection,
    context.attempt_id)`, or within `store.schedule.committing(...)`, which commits the run with it and so happens
    exactly once for a fire. Anything else it does may be done again by a later attempt.
    """

    settings: Settings
    dsn: str  # of the database; sessions by it bear the run's name and are ended where it is given up
    job: str
    fire_at: datetime  # when it was to run: what the run is about
    attempt: int  # of this fire, from 1
    attempt_id: int
    epoch: int  # of the leader
    now: datetime  # when the run began, by the scheduler's clock
    stop: threading.Event  # set where the run is given up: a job that takes long looks at it between its steps


JobCallable = Callable[[JobContext], str | None]  # returns what it did, in a sentence for people


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A job and how it is run."""

    run: JobCallable
    cron: str  # of the settings
    coalesce: bool = True  # fires missed together are made up for by one run
    most_seconds: float = 600.0  # a run that takes longer is given up
    most_failures: int = 3  # of one fire; then it has failed, and the next fire comes


Jobs = Mapping[str, Job]
