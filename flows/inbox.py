"""The inbox host: judges coils that came without Kafka, by the rules of the Kafka worker.

The inbox is the log: `inbox_id` plays the part of the offset, `received_at` that of the broker's timestamp, and the
database's clock that of the broker. A coil is judged in the transaction that took it, so that any number of processes
judge each coil once, and a killed one leaves nothing half done.
"""

import random
import threading
import time
from dataclasses import dataclass
from datetime import datetime

import structlog

from flows.inbox_coils import take_due
from flows.judge import Outcome, judge_each
from flows.kafka.database import backoff_s
from flows.kafka.metrics import COILS, COMMIT_FAILURES, STEP_SECONDS, SUPERSEDED, VERDICT_SECONDS
from flows.limited_database import LimitedDatabase
from flows.record_outcome import record_outcome
from flows.served import Current, Ensembles
from flows.tracing import Timeline, Tracing, trace_coils
from processors.decode import Decoder
from schemas.errors import StoreError
from schemas.rejects import Reject
from schemas.settings import Settings
from store.connection import Connection, store_errors
from store.inbox import database_clock, settle_coils

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
    connection: Connection,
    ensembles: Ensembles,
    settings: Settings,
    *,
    decode: Decoder,
    up_since: datetime,
    tracing: Tracing | None = None,
) -> Looked:
    """Judge the coils of the inbox that are due, one batch at most, in one transaction.

    Args:
        connection: on a database of this version, in no transaction.
        ensembles: the models by plant.
        settings: batch size, rules of the stream, tolerance profiles, destinations.
        decode: of events.
        up_since: since when events could come in without a break: silence before it was not the coil's own.
        tracing: of coils; None: nobody asks.

    Raises:
        StoreError: the database refused; the coils stay as they were.
    """
    timeline, began_ns = None if tracing is None else Timeline(), 0
    with store_errors("judge the inbox"), connection.transaction(), STEP_SECONDS.labels("inbox").time():
        taken = take_due(connection, settings, host="inbox", decode=decode, up_since=up_since)
        outcome, rejects = Outcome(decided=(), rejects=()), tuple[Reject, ...]()
        if taken.due:
            outcome = judge_each(taken.due, ensembles, settings, timeline=timeline)
            began_ns = time.time_ns()
            rejects = record_outcome(connection, outcome, settings, place="inbox").rejects
            settle_coils(connection, [one.coil.key for one in taken.due])
    for one in outcome.decided:
        COILS.labels(one.verdict.label.value).inc()
    SUPERSEDED.inc(sum(one.coil.revises for one in taken.due))
    COILS.labels("rejected").inc(len(rejects))
    ended_ns = time.time_ns()
    for due in taken.due:
        VERDICT_SECONDS.observe(max(0.0, ended_ns / 1e9 - due.coil.last_timestamp_ms / 1000))
    if tracing is not None and timeline is not None:
        trace_coils(
            tracing,
            [due.coil for due in taken.due],
            decided=outcome.decided,
            rejects=rejects,
            timeline=timeline,
            recorded_ns=(began_ns, ended_ns),
        )
    return Looked(
        taken=taken.taken,
        judged=len(taken.due) - len(rejects),
        rejected=len(rejects),
        unchanged=taken.unchanged,
        postponed=taken.postponed,
    )


class InboxJudge:
    """Judges the inbox in a thread of its own, whenever it is woken and when a deadline may have passed."""

    def __init__(
        self, dsn: str, current: Current, settings: Settings, *, decode: Decoder, tracing: Tracing | None = None
    ) -> None:
        self._database = LimitedDatabase(dsn, application_name="coilflow inbox")
        self._current = current
        self._settings = settings
        self._decode = decode
        self._tracing = tracing
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
                looked = judge_due(
                    connection,
                    self._current(),
                    self._settings,
                    decode=self._decode,
                    up_since=up_since,
                    tracing=self._tracing,
                )
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
