"""What live workers make of an ensemble that the registry names: one that nobody serves is no champion."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler.jobs import JobContext
from store.alarms import clear_alarm, raise_alarm
from store.connection import Connection
from store.leadership import fenced
from store.registered import model_changes
from store.swaps import UNREACHABLE, answers, workers
from store.training import Scope, judged_by, spellings

CHAMPION_REFUSED, CHAMPION_SILENT = "champion_refused", "champion_silent"

_LIVE = timedelta(minutes=2)  # a worker says that it is there every few seconds, during a trial too
_OUTLASTS = timedelta(minutes=3)  # a refusal: the next try is a minute later, and takes a while itself
_SILENT = timedelta(minutes=10)  # after its promotion: the longest trial, and batches in hand
_LATELY = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusals:
    """What live workers say of an ensemble."""

    live: int  # workers
    refused: tuple[str, ...]  # reasons of those that refuse it, by worker
    outlasted: tuple[str, ...]  # of them those that a further try did not help, for what the ensemble itself is

    @property
    def by_all(self) -> bool:
        """Whether no live worker serves it, or ever will."""
        return 0 < self.live == len(self.outlasted)


def refusals(
    connection: Connection, version: str, scope: Scope, role: str, *, since: datetime, now: datetime
) -> Refusals:
    """The newest answers of live workers on an ensemble.

    A worker that is gone has nothing to say: what it refused it for may have been its own disk. What cannot be reached
    may come back, and never speaks against the ensemble.

    Args:
        connection: on a database of this version.
        version: of the ensemble.
        scope: where it is to serve.
        role: champion or shadow.
        since: when it was given that place.
        now: the time.

    Raises:
        StoreError: the database refused.
    """
    live = {one.worker for one in workers(connection, since=now - _LIVE)}
    newest = {
        one.worker: one
        for one in answers(connection, version)
        if one.role == role and one.plant == scope.plant and one.at >= since and one.worker in live
    }
    refused = {worker: one for worker, one in newest.items() if one.outcome == "refused"}
    return Refusals(
        live=len(live),
        refused=tuple(f"worker {worker}: {one.reason}" for worker, one in refused.items()),
        outlasted=tuple(
            f"worker {worker}: {one.reason}"
            for worker, one in refused.items()
            if now - one.at >= _OUTLASTS and not one.reason.startswith(UNREACHABLE)
        ),
    )


def promoted_at(connection: Connection, version: str, scope: Scope) -> datetime | None:
    """When an ensemble last became champion there; None where the registry does not say. Raises StoreError."""
    changes = model_changes(connection, version=version, plant=scope.plant)
    return max((one.at for one in changes if one.change == "promoted"), default=None)


def tell_whether_it_serves(context: JobContext, connection: Connection, scope: Scope, champion: str) -> None:
    """Raise an alarm where workers refuse the registry's champion, or others give its verdicts; clear those over.

    Raises:
        NotLeaderError: the run was given up; nothing was stored.
        StoreError: the database refused.
    """
    since = promoted_at(connection, champion, scope)
    if since is None:
        return
    said = refusals(connection, champion, scope, "champion", since=since, now=context.now)
    refused = (
        f"{len(said.refused)} of {said.live} workers refuse the champion {champion} and go on with the one before: "
        f"{said.refused[0]}; restore its files, or go back with `coilflow models rollback`"
        if said.refused
        else None
    )
    after = max(since + _SILENT, context.now - _LATELY)
    judged = judged_by(connection, scope, since=after, until=context.now)
    own = any(version in judged for version in spellings(champion))
    others = sorted(version for version in judged if version not in spellings(champion))
    silent = (
        f"the registry names {champion} as champion, and it gave no verdict lately while {', '.join(others)} did; "
        "see that the workers run and reach the database"
        if others and not own
        else None
    )
    subject = scope.plant or "every plant"
    with fenced(connection, context.attempt_id):
        for kind, text in ((CHAMPION_REFUSED, refused), (CHAMPION_SILENT, silent)):
            if text is None:
                clear_alarm(connection, kind, subject, now=context.now)
            else:
                raise_alarm(connection, kind, subject, text=text, now=context.now)
