"""The inbox host: judges coils that came without Kafka, by the rules of the Kafka worker.

The inbox is the log: `inbox_id` plays the part of the offset, `received_at` that of the broker's timestamp, and the
database's clock that of the broker. A coil is judged in the transaction that took it, so that any number of processes
judge each coil once, and a killed one leaves nothing half done.
"""

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from flows.judge import DueCoil, Outcome, judge_each
from flows.kafka.database import backoff_s
from flows.kafka.metrics import COILS, COMMIT_FAILURES, STEP_SECONDS, SUPERSEDED
from flows.limited_database import LimitedDatabase
from flows.served import Current, Ensembles
from flows.shadows import count_unstored
from processors.decode import Decoder, EventFault
from processors.open_coils import OpenCoil, revision_of
from schemas.coils import CoilKey, StoredCoil
from schemas.errors import StoreError, StoreUnavailableError
from schemas.rejects import Reject
from schemas.settings import Settings
from store.connection import Connection, store_errors
from store.deadletters import record_dead_letters
from store.inbox import (
    StoredEvent,
    database_clock,
    inbox_events,
    postpone_coils,
    settle_coils,
    take_coils,
)
from store.log import decided_coils, refused_coils
from store.verdicts import record_verdicts

log = structlog.get_logger("coilflow.inbox")

_LONGEST_WAIT_S = 1.0  # between two looks at the inbox: deadlines are no finer than that


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """What one look at the inbox did; `taken` is the sum of the others."""

    taken: int
    judged: int
    rejected: int
    unchanged: int  # decided coils that what came late says nothing new of
    postponed: int


def judge_due(
    connection: Connection, ensembles: Ensembles, settings: Settings, *, decode: Decoder, up_since: datetime
) -> Looked:
    """Judge the coils of the inbox that are due, one batch at most, in one transaction.

    Args:
        connection: on a database of this version, in no transaction.
        ensembles: the models by plant.
        settings: batch size, rules of the stream, tolerance profiles, destinations.
        decode: of events.
        up_since: since when events could come in without a break: silence before it was not the coil's own.

    Raises:
        StoreError: the database refused; the coils stay as they were.
    """
    with store_errors("judge the inbox"), connection.transaction(), STEP_SECONDS.labels("inbox").time():
        keys = take_coils(connection, most=settings.batch_coils)
        if not keys:
            return Looked(taken=0, judged=0, rejected=0, unchanged=0, postponed=0)
        now = database_clock(connection)
        stored = decided_coils(connection, keys)
        refused = refused_coils(connection, keys)
        coils = [
            _open_coil(key, events, stored.get(key), decode, up_since, after_reject=key in refused)
            for key, events in inbox_events(connection, keys).items()
        ]
        said = [coil for coil in coils if coil.messages]
        due = [coil for coil in said if coil.is_due(_ms(now), settings.stream)]
        waiting = [coil for coil in said if not coil.is_due(_ms(now), settings.stream)]
        dues = [_due(coil, now, settings) for coil in due]
        outcome = judge_each(dues, ensembles, settings) if dues else Outcome(decided=(), rejects=())
        rejected = _record(connection, outcome, settings)
        look_at = {coil.key: _look_at(coil, settings) for coil in waiting}
        postpone_coils(connection, look_at)
        settle_coils(connection, [key for key in keys if key not in look_at])
    for one in outcome.decided:
        COILS.labels(one.verdict.label.value).inc()
    SUPERSEDED.inc(sum(coil.revises for coil in due))
    COILS.labels("rejected").inc(rejected)
    return Looked(
        taken=len(keys),
        judged=len(due) - rejected,
        rejected=rejected,
        unchanged=len(coils) - len(said),
        postponed=len(waiting),
    )


class InboxJudge:
    """Judges the inbox in a thread of its own, whenever it is woken and when a deadline may have passed."""

    def __init__(self, dsn: str, current: Current, settings: Settings, *, decode: Decoder) -> None:
        self._database = LimitedDatabase(dsn, application_name="coilflow inbox")
        self._current = current
        self._settings = settings
        self._decode = decode
        self._woken = threading.Event()
        self._stopped = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._guarded, name="inbox judge", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Something came in: look at it now."""
        self._woken.set()

    def stop(self) -> None:
        """Finish the batch in hand and end; raises what the thread died of, if it did."""
        self._stopped.set()
        self._woken.set()
        self._thread.join()
        if self._failed is not None:
            raise self._failed

    @property
    def alive(self) -> bool:
        """Whether it judges."""
        return self._thread.is_alive()

    def _guarded(self) -> None:
        try:
            self.run()
        except BaseException as error:  # handed to whoever stops it, and shown as not ready
            self._failed = error
            log.exception("the inbox is not judged any more")
        finally:
            self._database.close()

    def run(self) -> None:
        """Judge until stopped; what fails, above all a database that is away, is tried again with growing pauses."""
        up_since, failures = None, 0
        while not self._stopped.is_set():
            self._woken.clear()
            try:
                connection = self._database.connection()
                up_since = up_since or database_clock(connection)
                looked = judge_due(connection, self._current(), self._settings, decode=self._decode, up_since=up_since)
            except Exception as error:  # whatever it is: coils that wait are judged after it
                self._database.close()
                up_since, failures = None, failures + 1
                COMMIT_FAILURES.labels("inbox").inc()
                pause_s = backoff_s(failures, jitter=random.random())  # noqa: S311 - no secret
                if isinstance(error, StoreError):
                    log.warning("the inbox waits", error=str(error), remedy=error.remedy, pause_s=round(pause_s, 2))
                else:
                    log.exception("a look at the inbox failed and is taken again", pause_s=round(pause_s, 2))
                self._stopped.wait(pause_s)
                continue
            failures = 0
            if looked.taken:
                log.info("inbox judged", judged=looked.judged, rejected=looked.rejected, postponed=looked.postponed)
            else:
                self._woken.wait(min(_LONGEST_WAIT_S, self._settings.stream.settle_s))


def _open_coil(
    key: CoilKey,
    events: Sequence[StoredEvent],
    stored: StoredCoil | None,
    decode: Decoder,
    up_since: datetime,
    *,
    after_reject: bool,
) -> OpenCoil:
    coil = (revision_of(stored) if stored is not None else None) or OpenCoil(key=key, after_reject=after_reject)
    for one in events:
        decoded, now_ms = decode(one.event, ()), _ms(max(one.received_at, up_since))
        message = (one.event, ())
        if isinstance(decoded, EventFault):  # it was right when it was taken in: another version of us took it
            coil.fail((decoded.error, decoded.remedy), message, offset=one.inbox_id, now_ms=now_ms)
        else:
            coil.apply(decoded, message, offset=one.inbox_id, now_ms=now_ms)
    return coil


def _due(coil: OpenCoil, now: datetime, settings: Settings) -> DueCoil:
    return DueCoil(
        coil=coil,
        place=f"inbox, events {coil.first_offset} to {coil.last_offset}",
        silent=coil.is_silent(_ms(now), settings.stream),
        log=None,
    )


def _look_at(coil: OpenCoil, settings: Settings) -> datetime:
    wait_s = settings.stream.deadline_s if coil.rows_per_face is None else settings.stream.settle_s
    return datetime.fromtimestamp(coil.last_ms / 1000, UTC) + timedelta(seconds=wait_s)


def _record(connection: Connection, outcome: Outcome, settings: Settings) -> int:
    """Store what was judged; a coil that the database refuses becomes a dead letter. Returns the coils rejected."""
    announced = settings.destinations if settings.mode == "announce" else ()
    decided_at = datetime.now(UTC)

    def store(part: Outcome) -> None:
        with connection.transaction():  # a savepoint
            record_verdicts(connection, (*part.decided, *part.shadows), decided_at=decided_at, destinations=announced)
            record_dead_letters(connection, part.rejects)

    try:
        store(outcome)
    except StoreUnavailableError:
        raise
    except StoreError as error:
        log.warning("a batch was refused by the database and is stored coil by coil", coils=len(outcome.decided))
        if outcome.shadows:
            count_unstored(error)
    else:
        return len(outcome.rejects)
    store(Outcome(decided=(), rejects=outcome.rejects))
    refused = 0
    for one in outcome.decided:
        refused += _stored_alone(store, Outcome(decided=(one,), rejects=()))
    return len(outcome.rejects) + refused


def _stored_alone(store: Callable[[Outcome], None], one: Outcome) -> int:
    """Store one coil, or why it cannot be stored; returns how many were refused."""
    try:
        store(one)
    except StoreUnavailableError:
        raise
    except StoreError as error:
        verdict = one.decided[0].verdict
        reject = Reject(
            step="store",
            place="inbox",
            key=verdict.key,
            error=str(error),
            remedy=error.remedy,
            original=one.decided[0].readings,
        )
        store(Outcome(decided=(), rejects=(reject,)))
        return 1
    return 0


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)
