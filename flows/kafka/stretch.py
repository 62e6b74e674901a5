"""A stretch of the log on its way into the database, and what follows for its partitions once it is there."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from flows.judge import Outcome
from flows.kafka import metrics
from flows.kafka.ownership import Owned
from flows.kafka.warnings import warning_event
from processors.early_warning import out_of_band
from processors.envelope import event_id_of
from processors.open_coils import OpenCoil
from processors.partition_log import PartitionLog
from schemas.events import CoilWarningEvent
from schemas.rejects import Reject
from schemas.settings import Settings
from store.log import Claim, LogBatch, ParkedCoil

log = structlog.get_logger("coilflow.kafka")

Due = tuple[PartitionLog, OpenCoil]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """What one commit says, and the coils and partitions that it is about."""

    batch: LogBatch
    due: Sequence[Due]
    parked: Sequence[OpenCoil]
    noted: Sequence[OpenCoil]
    warned: Sequence[OpenCoil]
    moved: Mapping[int, int]  # partition -> its new position

    def settle(self, owned: Mapping[int, Owned]) -> None:
        """The database has it: close what is decided, and let positions and parked coils go."""
        for coil in self.noted:
            coil.noted = True
        for coil in self.warned:
            coil.warned = True
        for coil in self.parked:
            coil.holds_from = None
        for number, position in self.moved.items():
            owned[number].committed = position
        for partition, coil in self.due:
            partition.close(coil)

    def report(self) -> None:
        """Count and log it."""
        now_s = time.time()
        for decided in self.batch.decided:
            if decided.role == "shadow":
                continue
            metrics.COILS.labels(decided.verdict.label.value).inc()
        for reject in self.batch.rejects:
            metrics.COILS.labels("rejected").inc(reject.whole_coil)
            names = reject.key._asdict() if reject.key else {}
            event_id = event_id_of(reject.log.headers) if reject.log else None
            names |= {"event_id": event_id} if event_id else {}
            log.warning(
                "rejected", place=reject.place, step=reject.step, error=reject.error, remedy=reject.remedy, **names
            )
        for _, coil in self.due:
            if coil.last_timestamp_ms <= 0:  # taken up from the database
                continue
            metrics.VERDICT_SECONDS.observe(max(0.0, now_s - coil.last_timestamp_ms / 1000))
        metrics.EARLY_WARNINGS.inc(len(self.batch.warnings))
        metrics.SUPERSEDED.inc(sum(coil.revises for _, coil in self.due))


def stretch_of(
    topic: str,
    owned: Mapping[int, Owned],
    due: Sequence[Due],
    outcome: Outcome,
    rejects: Sequence[Reject],
    *,
    noting: bool,
    settings: Settings,
    pending: Sequence[Reject] = (),
) -> Stretch | None:
    """What to commit now; None where nothing has changed.

    Args:
        topic: of the log.
        owned: partitions of this worker.
        due: coils that are decided now.
        outcome: of these.
        rejects: messages that were refused alone.
        noting: also tell the database which coils are open, and warn of those that are out of band already.
        settings: rules of the stream.
        pending: messages that were refused alone and are stored later: no position goes past them.
    """
    leaving = {id(coil) for _, coil in due}
    staying = [c for part in owned.values() for c in part.log.open.values() if id(c) not in leaving] if noting else []
    warnings = [(coil, event) for coil in staying if (event := _warning(coil, settings)) is not None]
    parking = [
        (number, coil)
        for number, part in owned.items()
        for coil in part.log.holding_back(settings.stream.park_after_events)
        if id(coil) not in leaving
    ]
    # A parked coil is noted as open with its events: whoever takes it up again takes it for noted.
    noted = [coil for coil in (staying or [coil for _, coil in parking]) if not coil.noted and not coil.is_straggler]
    stored = [coil for _, coil in due] + [coil for _, coil in parking]
    positions = {number: part.log.position(without=stored) for number, part in owned.items()}
    for place in [reject.log for reject in pending if reject.log and reject.log.partition in positions]:
        positions[place.partition] = min(positions[place.partition], place.offset)
    touched = (
        {number for number, position in positions.items() if position != owned[number].committed}
        | {partition.partition for partition, _ in due}
        | {number for number, _ in parking}
        | {reject.log.partition for reject in rejects if reject.log}
    ) & owned.keys()
    if not touched and not noted and not warnings:
        return None
    # What is said of open coils needs their partitions' epochs: another worker may have refused them by now.
    moved = {number: positions[number] for number in sorted(owned if noted or warnings else touched)}
    batch = LogBatch(
        topic=topic,
        positions=tuple(
            Claim(partition=number, next_offset=position, owner_epoch=owned[number].epoch)
            for number, position in moved.items()
        ),
        opened=tuple(coil.key for coil in noted),
        decided=(*outcome.decided, *outcome.shadows),
        rejects=(*rejects, *outcome.rejects),
        parked=tuple(
            ParkedCoil(partition=number, key=coil.key, last_offset=coil.last_offset, events=coil.original())
            for number, coil in parking
        ),
        warnings=tuple(event for _, event in warnings),
    )
    return Stretch(
        batch=batch,
        due=due,
        parked=[coil for _, coil in parking],
        noted=noted,
        warned=[coil for coil, _ in warnings],
        moved=moved,
    )


def _warning(coil: OpenCoil, settings: Settings) -> CoilWarningEvent | None:
    if coil.warned or coil.revises or settings.mode == "observe":
        return None
    found = out_of_band(coil, settings.stream)
    return None if found is None else warning_event(coil.key, found, warned_at=datetime.now(UTC))
