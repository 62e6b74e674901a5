"""Decide what is due in the partitions that a worker owns, and commit it with their positions."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import structlog

from flows.judge import DueCoil, Outcome, judge
from flows.kafka import metrics
from flows.kafka.ownership import Owned
from flows.kafka.warnings import warning_event
from processors.early_warning import out_of_band
from processors.open_coils import OpenCoil
from processors.partition_log import PartitionLog
from processors.score import Scorer
from schemas.errors import BundleError, NotOwnerError, StoreError, StoreUnavailableError
from schemas.events import CoilWarningEvent
from schemas.rejects import Reject, Step
from schemas.settings import Settings
from store.connection import Connection
from store.log import Claim, Committed, LogBatch, ParkedCoil, commit_log

log = structlog.get_logger("coilflow.kafka")

NOTE_EVERY_S = 1.0  # open coils are noted, and positions moved without a verdict, no more often than this

Due = tuple[PartitionLog, OpenCoil]


class Committer:
    """Takes coils that are due out of their partitions once the database has them, and not before."""

    def __init__(self, settings: Settings, ensemble: Scorer, topic: str) -> None:
        self._settings = settings
        self._ensemble = ensemble
        self._topic = topic
        self._destinations = settings.destinations if settings.mode == "announce" else ()
        self._noted_s = time.monotonic()

    def run(self, connection: Connection, owned: Mapping[int, Owned], rejects: list[Reject]) -> None:
        """Commit batch after batch until nothing is due.

        Args:
            connection: of the worker.
            owned: its partitions.
            rejects: messages that were refused; emptied as they are stored.

        Raises:
            NotOwnerError: another worker owns one of the partitions.
            StoreUnavailableError: the database broke off; what was not stored is due still.
        """
        while True:
            due = self._due(owned)
            noting = time.monotonic() - self._noted_s >= NOTE_EVERY_S
            if not due and not rejects and not noting:
                return
            self._commit(connection, owned, due, rejects, noting=noting)
            if noting:
                self._noted_s = time.monotonic()

    def _due(self, owned: Mapping[int, Owned]) -> list[Due]:
        """At most a batch of coils, each once: a line that sends no keys may scatter one over partitions."""
        found = {coil.key: (part.log, coil) for part in owned.values() for coil in part.log.due(self._settings.stream)}
        return list(found.values())[: self._settings.batch_coils]

    def _commit(
        self, connection: Connection, owned: Mapping[int, Owned], due: list[Due], rejects: list[Reject], *, noting: bool
    ) -> None:
        try:
            self._store(connection, owned, due, self._judge(due), rejects, noting=noting)
        except (StoreUnavailableError, NotOwnerError):
            raise
        except StoreError as error:
            # One coil that cannot be stored must not hold the others up for ever.
            if not due:
                raise
            for one in due:
                self._commit_alone(connection, owned, one, error)

    def _commit_alone(self, connection: Connection, owned: Mapping[int, Owned], one: Due, first: StoreError) -> None:
        try:
            self._store(connection, owned, [one], self._judge([one]), [], noting=False)
        except (StoreUnavailableError, NotOwnerError):
            raise
        except StoreError as error:
            log.warning("coil cannot be stored", **_names(one[1]), error=str(error), in_its_batch=str(first))
            refused = Outcome(decided=(), rejects=(_refused(one, "store", error),))
            self._store(connection, owned, [one], refused, [], noting=False)

    def _judge(self, due: Sequence[Due]) -> Outcome:
        """Judge a batch; where the models fail on it, each coil alone, and refuse those they fail on again."""
        coils = [self._due_coil(one) for one in due]
        with metrics.STEP_SECONDS.labels("judge").time():
            try:
                return judge(coils, self._ensemble, self._settings)
            except BundleError as error:
                if len(due) == 1:
                    return Outcome(decided=(), rejects=(_refused(due[0], "score", error),))
        alone = [self._judge([one]) for one in due]
        return Outcome(
            decided=tuple(d for outcome in alone for d in outcome.decided),
            rejects=tuple(r for outcome in alone for r in outcome.rejects),
        )

    def _due_coil(self, one: Due) -> DueCoil:
        partition, coil = one
        return DueCoil(
            coil=coil,
            place=partition.place(coil),
            silent=coil.is_silent(partition.clock.now_ms, self._settings.stream),
            log=partition.log_place(coil),
        )

    def _store(
        self,
        connection: Connection,
        owned: Mapping[int, Owned],
        due: Sequence[Due],
        outcome: Outcome,
        rejects: list[Reject],
        *,
        noting: bool,
    ) -> None:
        leaving = {id(coil) for _, coil in due}
        staying = [(p, c) for p in owned.values() for c in p.log.open.values() if noting and id(c) not in leaving]
        opened = [coil for _, coil in staying if not coil.noted]
        warned = [(coil, event) for part, coil in staying if (event := self._warning(coil)) is not None]
        parking = [
            (part, coil)
            for part in owned.values()
            for coil in part.log.holding_back(self._settings.stream.park_after_events)
            if id(coil) not in leaving
        ]
        kept = [coil for _, coil in due] + [coil for _, coil in parking]
        moved = {
            number: position
            for number, part in owned.items()
            if (position := part.log.position(without=kept)) != part.committed
            or any(partition is part.log for partition, _ in due)
            or any(parked is part for parked, _ in parking)
        }
        touched = {reject.log.partition for reject in rejects if reject.log} | moved.keys()
        if not touched and not opened and not warned:
            return
        numbers = touched or owned.keys()
        batch = LogBatch(
            topic=self._topic,
            positions=tuple(
                Claim(partition=n, next_offset=moved.get(n, owned[n].committed), owner_epoch=owned[n].epoch)
                for n in sorted(numbers)
                if n in owned
            ),
            opened=tuple(coil.key for coil in opened),
            decided=outcome.decided,
            rejects=(*rejects, *outcome.rejects),
            parked=tuple(
                ParkedCoil(
                    partition=part.log.partition, key=coil.key, last_offset=coil.last_offset, events=coil.original()
                )
                for part, coil in parking
            ),
            warnings=tuple(event for _, event in warned),
        )
        with metrics.STEP_SECONDS.labels("commit").time():
            committed = commit_log(connection, batch, decided_at=datetime.now(UTC), destinations=self._destinations)
        for coil in opened:
            coil.noted = True
        for coil, _ in warned:
            coil.warned = True
        for _, coil in parking:
            coil.holds_from = None
        for number, position in moved.items():
            owned[number].committed = position
        rejects.clear()
        self._report(due, outcome, batch, committed)
        for partition, coil in due:
            partition.close(coil)

    def _warning(self, coil: OpenCoil) -> CoilWarningEvent | None:
        if coil.warned or coil.revises or not self._destinations:
            return None
        found = out_of_band(coil, self._settings.stream)
        return None if found is None else warning_event(coil.key, found, warned_at=datetime.now(UTC))

    def _report(self, due: Sequence[Due], outcome: Outcome, batch: LogBatch, committed: Committed) -> None:
        for decided in outcome.decided:
            metrics.COILS.labels(decided.verdict.label.value).inc()
        for reject in batch.rejects:
            log.warning(
                "rejected",
                place=reject.place,
                step=reject.step,
                error=reject.error,
                remedy=reject.remedy,
                **({"plant": reject.key.plant, "coil_id": reject.key.coil_id} if reject.key else {}),
            )
        metrics.COILS.labels("rejected").inc(len(outcome.rejects))
        metrics.EARLY_WARNINGS.inc(len(batch.warnings))
        now_s = time.time()
        for _, coil in due:
            metrics.VERDICT_SECONDS.observe(max(0.0, now_s - coil.last_timestamp_ms / 1000))
        metrics.SUPERSEDED.inc(sum(coil.revises for _, coil in due))
        if due:
            log.info("committed", verdicts=committed.new, repeated=committed.repeated, dead_letters=committed.dead)


def _refused(one: Due, step: Step, error: StoreError | BundleError) -> Reject:
    partition, coil = one
    return Reject(
        step=step,
        place=partition.place(coil),
        key=coil.key,
        error=str(error),
        remedy=error.remedy,
        original=coil.original(),
        log=partition.log_place(coil),
    )


def _names(coil: OpenCoil) -> dict[str, str]:
    return {"plant": coil.key.plant, "coil_id": coil.key.coil_id}
