"""What one partition of the log means: open coils, and the offset from which they could be built again."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from processors.clock import PartitionClock
from processors.decode import Decoded, EventFault
from processors.open_coils import Message, OpenCoil, revision_of
from schemas.coils import CoilKey, StoredCoil
from schemas.rejects import LogPlace, Reject
from schemas.stream_settings import StreamSettings


class LogMessage(NamedTuple):
    """One message as it was read and decoded."""

    offset: int
    timestamp_ms: int  # the broker's
    key: bytes | None
    message: Message
    decoded: Decoded


@dataclass(slots=True)
class Tally:
    """What was read and what became of it; both differences are always 0 (conservation)."""

    consumed: int = 0
    applied: int = 0
    duplicate: int = 0
    dead: int = 0
    coils_seen: int = 0  # opened here, once a revision
    coils_done: int = 0  # decided or refused

    @property
    def unaccounted_messages(self) -> int:
        """Messages that were read and neither applied, nor known, nor refused."""
        return self.consumed - self.applied - self.duplicate - self.dead


@dataclass(slots=True, kw_only=True)
class PartitionLog:
    """One partition, read in order. The log is the state: all that is here can be read again from `position`.

    Args:
        topic, partition: of the log.
        next_offset: where reading begins.
        settled: coils that were decided or refused, with the offset of their last message: a re-read skips these.
    """

    topic: str
    partition: int
    next_offset: int
    settled: dict[CoilKey, int] = field(default_factory=dict)
    open: dict[CoilKey, OpenCoil] = field(default_factory=dict)
    clock: PartitionClock = field(default_factory=PartitionClock)
    tally: Tally = field(default_factory=Tally)

    def restore(self, parked: OpenCoil, *, last_offset: int) -> None:
        """Take a parked coil up again; its messages up to its last offset are skipped.

        A verdict may hold all of them by now, so that nothing of it is new: then it is decided once more, to no effect,
        and is parked no longer.
        """
        parked.holds_from = None
        parked.first_offset = parked.last_offset = last_offset
        parked.noted = True
        self.tally.coils_seen += 1
        self.open[parked.key] = parked

    def strangers(self, messages: Iterable[LogMessage]) -> set[CoilKey]:
        """Coils that are not open here: the database has to say whether they were decided before."""
        found: set[CoilKey] = set()
        last: CoilKey | None = None  # a coil's messages mostly follow each other
        for one in messages:
            key = one.decoded.key if isinstance(one.decoded, EventFault) else one.decoded[0].key
            if key is None or key == last:
                continue
            if key in self.open:
                last = key
            elif self.settled.get(key, -1) < one.offset:
                found.add(key)
                last = key
        return found

    def read(
        self,
        messages: Sequence[LogMessage],
        decided: Mapping[CoilKey, StoredCoil],
        refused: Set[CoilKey] = frozenset(),
    ) -> list[Reject]:
        """Apply messages in the order of their offsets.

        Args:
            messages: from `next_offset` on.
            decided: of the strangers among their coils those that have a verdict.
            refused: of these strangers those that were refused and have none.

        Returns:
            Messages that are no chunk events and name no open coil; they are dead letters of their own.
        """
        rejects = []
        late: dict[CoilKey, OpenCoil] = {}  # decided coils opened again, until a message says something new
        tally, clock, opened, settled = self.tally, self.clock, self.open, self.settled
        last_timestamp_ms = -1  # a batch of the log often has one
        for one in messages:
            offset, timestamp_ms, _, message, decoded = one
            if timestamp_ms != last_timestamp_ms:
                clock.read(timestamp_ms)
                last_timestamp_ms = timestamp_ms
            self.next_offset = offset + 1
            tally.consumed += 1
            key = self._coil_of(decoded, decided) if isinstance(decoded, EventFault) else decoded[0].key
            if key is None:
                tally.dead += 1
                rejects.append(self._reject(one))
                continue
            coil = opened.get(key)
            if (settled.get(key, -1) if coil is None else coil.last_offset) >= offset:
                tally.duplicate += 1
                continue
            if coil is None:
                coil = late.get(key) or self._opened(key, decided)
                coil.after_reject = key in refused
            if isinstance(decoded, EventFault):
                coil.fail((decoded.error, decoded.remedy), message, offset=offset, now_ms=clock.now_ms)
            elif not coil.apply(decoded, message, offset=offset, now_ms=clock.now_ms):
                tally.duplicate += 1
                late[key] = coil
                continue
            tally.applied += 1
            coil.last_timestamp_ms = timestamp_ms
            if key not in opened:
                coil.first_timestamp_ms = timestamp_ms
                tally.coils_seen += 1
                opened[key] = coil
        return rejects

    def due(self, rules: StreamSettings) -> list[OpenCoil]:
        """Open coils that can be decided now, those that waited longest first."""
        now_ms = self.clock.now_ms
        return sorted((c for c in self.open.values() if c.is_due(now_ms, rules)), key=lambda coil: coil.last_offset)

    def position(self, without: Iterable[OpenCoil] = ()) -> int:
        """Offset to read on from after a restart, once the coils in `without` are stored."""
        stored = {id(coil) for coil in without}  # not by key: another partition may hold events of the same coil
        holds = [c.holds_from for c in self.open.values() if c.holds_from is not None and id(c) not in stored]
        return min(holds, default=self.next_offset)

    def holding_back(self, events: int) -> list[OpenCoil]:
        """Open coils that hold the position back by more than so many messages."""
        far = self.next_offset - events
        return [coil for coil in self.open.values() if coil.holds_from is not None and coil.holds_from < far]

    def place(self, coil: OpenCoil) -> str:
        """Where a coil's messages lie, for people."""
        return f"{self.topic}[{self.partition}], offsets {coil.first_offset} to {coil.last_offset}"

    def log_place(self, coil: OpenCoil) -> LogPlace:
        """The last message of a coil."""
        return LogPlace(topic=self.topic, partition=self.partition, offset=coil.last_offset)

    def close(self, coil: OpenCoil) -> None:
        """Forget a coil that is stored now."""
        del self.open[coil.key]
        self.tally.coils_done += 1

    @property
    def unaccounted_coils(self) -> int:
        """Coils that were seen and are neither open nor done with."""
        return self.tally.coils_seen - self.tally.coils_done - len(self.open)

    def forget_settled(self) -> None:
        """Drop what no re-read needs any more: coils whose last message was read again."""
        self.settled = {key: last for key, last in self.settled.items() if last >= self.next_offset}

    def _opened(self, key: CoilKey, decided: Mapping[CoilKey, StoredCoil]) -> OpenCoil:
        stored = decided.get(key)
        return (revision_of(stored) if stored is not None else None) or OpenCoil(key=key)

    def _coil_of(self, fault: EventFault, decided: Mapping[CoilKey, StoredCoil]) -> CoilKey | None:
        """The coil that a wrong message belongs to; None where it is refused alone.

        It belongs to no coil where it names none, says nothing of its readings or comes after its verdict.
        """
        late = fault.key in decided and fault.key not in self.open
        return None if fault.aside or late else fault.key

    def _reject(self, one: LogMessage) -> Reject:
        fault = one.decoded
        if not isinstance(fault, EventFault):
            raise TypeError("a message that was decoded is no reject")
        value, headers = one.message
        return Reject(
            step="decode",
            place=f"{self.topic}[{self.partition}], offset {one.offset}",
            key=fault.key,
            error=fault.error,
            remedy=fault.remedy,
            original=value or b"",  # a tombstone has none
            whole_coil=False,
            log=LogPlace(
                topic=self.topic, partition=self.partition, offset=one.offset, key=one.key, headers=tuple(headers)
            ),
        )
