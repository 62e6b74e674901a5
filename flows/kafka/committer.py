"""Decide what is due in the partitions that a worker owns, and commit it with their positions."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from flows.assemble_due import DueCoil
from flows.judge import Outcome, judge, judge_each
from flows.kafka import metrics
from flows.kafka.ownership import Owned
from flows.kafka.stretch import Due, Stretch, stretch_of
from flows.served import Current
from flows.shadows import count_unstored
from flows.tracing import Timeline, Tracing, trace_coils
from processors.open_coils import OpenCoil
from schemas.errors import BundleError, NotOwnerError, StoreError, StoreUnavailableError
from schemas.rejects import Reject
from schemas.settings import Settings
from store.connection import Connection
from store.log import commit_log, decided_coils

log = structlog.get_logger("coilflow.kafka")

_MODEL_RETRIES = 2
_NOTE_EVERY_S = 1.0  # open coils are noted, and positions moved without a verdict, no more often than this


class Committer:
    """Takes coils that are due out of their partitions once the database has them, and not before.

    The statement runs in a thread of its own while the next messages are fetched and decoded; until it is answered,
    nothing is applied to a partition.
    """

    def __init__(self, settings: Settings, current: Current, topic: str, tracing: Tracing | None) -> None:
        self._settings = settings
        self._tracing = tracing
        self._current = current
        self._topic = topic
        self._destinations = settings.destinations if settings.mode == "announce" else ()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit")
        self._flight: tuple[Stretch, Future[None]] | None = None
        self._noted_s = time.monotonic()
        self._model_failures = 0

    def close(self) -> None:
        """Wait for a statement that is on its way, whatever becomes of it."""
        self._thread.shutdown(wait=True)

    def start(self, connection: Connection, owned: Mapping[int, Owned], rejects: list[Reject]) -> bool:
        """Judge the next batch and send it to the database; whether more may be due than fits into it.

        Args:
            connection: of the worker; not to be used until `finish`.
            owned: its partitions.
            rejects: messages that were refused alone.

        Raises:
            BundleError: the models fail; it is to be tried again.
            StoreError: the database refused.
        """
        due = self._due(owned)
        self._merge(connection, [coil for _, coil in due if not coil.revises])
        noting = time.monotonic() - self._noted_s >= _NOTE_EVERY_S
        if not due and not rejects and not noting:
            return False
        if noting:
            self._noted_s = time.monotonic()
        timeline = None if self._tracing is None else Timeline()
        stretch = self._stretch(owned, due, self._judge(due, timeline), rejects, noting=noting)
        if stretch is None:
            return False
        self._flight = stretch, self._thread.submit(self._send, connection, stretch, timeline)
        return len(due) == self._settings.batch_coils

    def finish(self, connect: Callable[[], Connection], owned: Mapping[int, Owned], rejects: list[Reject]) -> None:
        """Wait for the answer and take what is stored out of the partitions and out of `rejects`.

        Raises:
            NotOwnerError: another worker owns one of the partitions.
            StoreUnavailableError: the database broke off; what was not stored is due still.
            StoreError: it refused for good, and no single coil is to blame.
        """
        if self._flight is None:
            return
        (stretch, answer), self._flight = self._flight, None
        try:
            answer.result()
        except (StoreUnavailableError, NotOwnerError):
            raise
        except StoreError as error:
            if not stretch.due:
                raise
            for one in stretch.due:  # one coil that cannot be stored must not hold the others up for ever
                self._commit_alone(connect(), owned, one, error, rejects)
            return
        self._settle(stretch, owned, rejects)

    def _merge(self, connection: Connection, coils: Sequence[OpenCoil]) -> None:
        """A coil may have been decided elsewhere since its first message came here: then this is a revision of it."""
        decided = decided_coils(connection, [coil.key for coil in coils]) if coils else {}
        for coil in coils:
            if coil.key in decided:
                coil.rebase(decided[coil.key])

    def _due(self, owned: Mapping[int, Owned]) -> list[Due]:
        """At most a batch of coils, each once: a line that sends no keys may scatter one over partitions."""
        found = {coil.key: (part.log, coil) for part in owned.values() for coil in part.log.due(self._settings.stream)}
        return list(found.values())[: self._settings.batch_coils]

    def _judge(self, due: Sequence[Due], timeline: Timeline | None) -> Outcome:
        """Judge a batch. Where the models fail, it may pass, as for want of memory: twice the batch is tried again.

        Raises:
            BundleError: the models failed on it for the first or second time.
        """
        coils = [
            DueCoil(
                coil=coil,
                place=partition.place(coil),
                silent=coil.is_silent(partition.clock.now_ms, self._settings.stream),
                log=partition.log_place(coil),
            )
            for partition, coil in due
        ]
        ensembles = self._current()
        with metrics.STEP_SECONDS.labels("judge").time():
            try:
                outcome = judge(coils, ensembles, self._settings, timeline=timeline)
            except BundleError:
                self._model_failures += 1
                if self._model_failures <= _MODEL_RETRIES:
                    raise
                outcome = judge_each(coils, ensembles, self._settings, timeline=timeline)
            except Exception as error:  # noqa: BLE001 - told for the coil that it came of, by judge_each
                log.warning("a step breaks on a batch: judging its coils one by one", why=repr(error))
                outcome = judge_each(coils, ensembles, self._settings, timeline=timeline)
        self._model_failures = 0
        return outcome

    def _stretch(
        self,
        owned: Mapping[int, Owned],
        due: Sequence[Due],
        outcome: Outcome,
        rejects: Sequence[Reject],
        *,
        noting: bool,
        pending: Sequence[Reject] = (),
    ) -> Stretch | None:
        return stretch_of(
            self._topic, owned, due, outcome, rejects, noting=noting, settings=self._settings, pending=pending
        )

    def _send(self, connection: Connection, stretch: Stretch, timeline: Timeline | None) -> None:
        began_ns = time.time_ns()
        with metrics.STEP_SECONDS.labels("commit").time():
            commit_log(connection, stretch.batch, decided_at=datetime.now(UTC), destinations=self._destinations)
        stretch.report()
        if self._tracing is not None and timeline is not None:
            trace_coils(
                self._tracing,
                [coil for _, coil in stretch.due],
                decided=stretch.batch.decided,
                rejects=stretch.batch.rejects,
                timeline=timeline,
                recorded_ns=(began_ns, time.time_ns()),
            )

    def _settle(self, stretch: Stretch, owned: Mapping[int, Owned], rejects: list[Reject]) -> None:
        stretch.settle(owned)
        stored = {id(reject) for reject in stretch.batch.rejects}
        rejects[:] = [reject for reject in rejects if id(reject) not in stored]

    def _commit_alone(
        self,
        connection: Connection,
        owned: Mapping[int, Owned],
        one: Due,
        first: StoreError,
        pending: Sequence[Reject],
    ) -> None:
        timeline = None if self._tracing is None else Timeline()
        judged = self._judge([one], timeline)
        if judged.shadows:
            count_unstored(first)  # whichever row the database refused, what counts is stored without them
        for outcome in (replace(judged, shadows=()), Outcome(decided=(), rejects=(_unstorable(one, first),))):
            stretch = self._stretch(owned, [one], outcome, [], noting=False, pending=pending)
            if stretch is None:
                return
            try:
                self._send(connection, stretch, timeline)
            except (StoreUnavailableError, NotOwnerError):
                raise
            except StoreError as error:
                if not outcome.decided:
                    raise
                log.warning(
                    "coil cannot be stored", plant=one[1].key.plant, coil_id=one[1].key.coil_id, error=str(error)
                )
            else:
                self._settle(stretch, owned, [])
                return


def _unstorable(one: Due, error: StoreError) -> Reject:
    partition, coil = one
    return Reject(
        step="store",
        place=partition.place(coil),
        key=coil.key,
        error=str(error),
        remedy=error.remedy,
        original=coil.original(),
        log=partition.log_place(coil),
    )
