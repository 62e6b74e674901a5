"""Which fires of a crontab are to be run, and which not any more."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from apscheduler.triggers.cron import CronTrigger

from scheduler.cron import fires_between

_MOST_MISSED = 1000  # recorded one by one, newest; after a year of a job every minute nobody reads more


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """Fires since the last look, in order."""

    run: tuple[datetime, ...] = ()
    coalesced: tuple[datetime, ...] = ()  # the one that is run stands for them
    missed: tuple[datetime, ...] = ()  # too late


def due_fires(trigger: CronTrigger, *, after: datetime, now: datetime, grace_s: float, coalesce: bool) -> Due:
    """Sort the fires between two moments.

    Args:
        trigger: the crontab.
        after: fires up to then are settled.
        now: the time.
        grace_s: a fire that is late by no more is made up for, s.
        coalesce: run only the newest of those that are late.

    Returns:
        Each fire in (after, now] once; of those that were missed, the newest thousand.
    """
    edge = now - timedelta(seconds=grace_s)
    late = [at for at in _missed(trigger, after, edge) if at < edge]
    ready = list(fires_between(trigger, max(after, edge - timedelta(microseconds=1)), now))
    if coalesce and ready:
        return Due(run=(ready[-1],), coalesced=tuple(ready[:-1]), missed=tuple(late))
    return Due(run=tuple(ready), missed=tuple(late))


def _missed(trigger: CronTrigger, after: datetime, edge: datetime) -> list[datetime]:
    """Fires in (after, edge], where there are too many those of the last part of it."""
    while True:
        found = list(islice(fires_between(trigger, after, edge), _MOST_MISSED + 1))
        if len(found) <= _MOST_MISSED:
            return found
        after += (edge - after) / 2
