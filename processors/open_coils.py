"""A coil while its events come in: what is new of each message, and when there is enough to decide."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from processors.chunks import CoilEvents
from processors.decode import ChunkEvent, structured_line
from schemas.coils import CoilKey, Order, Origin, StoredCoil
from schemas.layout import FACES, SENSORS_PER_FACE
from schemas.readings import rows_of
from schemas.rejects import Headers
from schemas.stream_settings import StreamSettings

Message = tuple[bytes | None, Headers]  # value and headers, as they came; None: a tombstone

_MOST_BYTES = 64 * 1024 * 1024  # of a coil's messages: a thousand times a large coil's
_ZEROS = [0.0] * SENSORS_PER_FACE


@dataclass(slots=True, kw_only=True)
class OpenCoil:
    """One coil in the memory of a host; only messages that say something new are kept.

    Offsets are those of the host's log (Kafka's, or the inbox's ids), times those of its clock.
    """

    key: CoilKey
    revises: bool = False  # its coil has a verdict: this makes a later revision
    holds_from: int | None = None  # oldest message that neither a verdict nor a parked state keeps
    first_offset: int = -1
    last_offset: int = -1
    last_ms: int = 0
    first_timestamp_ms: int = 0  # of the broker, or the inbox; 0: taken up from the database
    last_timestamp_ms: int = 0
    fault: tuple[str, str] | None = None
    messages: list[Message] = field(default_factory=list)
    message_bytes: int = 0
    after_reject: bool = False  # its coil was refused before it came
    noted: bool = False  # the database knows that it is open
    warned: bool = False
    _events: list[ChunkEvent] = field(default_factory=list)
    _rows: dict[Any, dict[str, Any]] = field(default_factory=dict)  # by face and position
    _count: dict[Any, int] = field(default_factory=dict)  # rows by face
    _started: dict[str, Any] | None = None
    _ended: dict[str, Any] | None = None
    _promised: int = 0

    def apply(self, events: Sequence[ChunkEvent], message: Message, *, offset: int, now_ms: int) -> bool:
        """Take one message of this coil; False where all of it was known, which changes nothing.

        Args:
            events: what the message says.
            message: the message itself, for the dead letter or the parked state that the coil may end as.
            offset: its place in the log.
            now_ms: the log's clock.
        """
        known = len(self._events)
        for event in events:
            if self._note(event):
                self._events.append(event)
        if len(self._events) == known:
            return False
        self._keep(message, offset, now_ms)
        return True

    def fail(self, fault: tuple[str, str], message: Message, *, offset: int, now_ms: int) -> None:
        """Take a message that names this coil and breaks its contract: the coil is rejected once it ends."""
        self.fault = self.fault or fault
        self._keep(message, offset, now_ms)

    def is_due(self, now_ms: int, rules: StreamSettings) -> bool:
        """Whether it can be decided now: whole, or silent for long enough, or too long to be one coil."""
        if self._ended is None:
            return self.is_silent(now_ms, rules) or self._is_too_long(rules)
        whole = self._started is not None and min(self._count.get(face, 0) for face in FACES) >= self._promised
        return (whole and not self.revises) or now_ms - self.last_ms >= 1000 * rules.settle_s

    def is_silent(self, now_ms: int, rules: StreamSettings) -> bool:
        """Whether it passed its deadline without an end."""
        return self._ended is None and now_ms - self.last_ms >= 1000 * rules.deadline_s

    @property
    def is_fragment(self) -> bool:
        """Whether its start, or a second row of a face, is missing."""
        return self._started is None or min(self._count.get(face, 0) for face in FACES) < 2

    @property
    def rows_per_face(self) -> int | None:
        """Rows that coil.ended promised, 0 where it promised none, None where it did not come."""
        return None if self._ended is None else self._promised

    @property
    def is_straggler(self) -> bool:
        """Whether it is no coil sent again but what came too late of one that was refused."""
        return self.after_reject and self._started is None

    def rebase(self, stored: StoredCoil) -> None:
        """Make it a revision of what was decided of its coil elsewhere: in another partition, or without Kafka."""
        base = revision_of(stored)
        if base is None:
            return
        base._events += [event for event in self._events if base._note(event)]
        self.revises = True
        self._events, self._rows, self._count = base._events, base._rows, base._count
        self._started, self._ended, self._promised = base._started, base._ended, base._promised

    def events_so_far(self, *, place: str, rules: StreamSettings, silent: bool) -> CoilEvents:
        """The coil for assembly.

        Args:
            place: of its messages, for a reject.
            rules: for the deadline that passed, and the most events a coil may have.
            silent: it passed the deadline.
        """
        return CoilEvents(
            key=self.key,
            origin=Origin(place=place, original=self.original),
            events=tuple(self._events),
            fault=self.fault or (_too_many(rules) if self._is_too_long(rules) else None),
            silent_s=rules.deadline_s if silent else None,
        )

    def original(self) -> bytes:
        """Its messages as CloudEvents in structured JSON, one a line."""
        return b"".join(structured_line(value, headers) + b"\n" for value, headers in self.messages)

    @property
    def rows(self) -> dict[Any, dict[str, Any]]:
        """Its rows as they came, by face and position."""
        return self._rows

    def band_g_m2(self) -> tuple[float, float] | None:
        """Its ordered band, once coil.started came with one."""
        band = (self._started or {}).get("zn_min_g_m2"), (self._started or {}).get("zn_max_g_m2")
        return band if all(isinstance(end, int | float) for end in band) else None  # type: ignore[return-value]

    def _is_too_long(self, rules: StreamSettings) -> bool:
        return len(self.messages) > rules.most_events_per_coil or self.message_bytes > _MOST_BYTES

    def _keep(self, message: Message, offset: int, now_ms: int) -> None:
        self.messages.append(message)
        self.message_bytes += len(message[0] or b"")
        if self.holds_from is None:
            self.holds_from = offset
        if self.first_offset < 0:
            self.first_offset = offset
        self.last_offset = offset
        self.last_ms = now_ms

    def _note(self, event: ChunkEvent) -> bool:
        """Whether it says something new; what disagrees with what is known is new, and rejects the coil later."""
        if event.type == "coil.chunk":
            return self._note_chunk(event.data)
        if event.type == "coil.ended":
            return self._note_end(event.data)
        if self._started is None:
            self._started = event.data
            return True
        return not _same_order(self._started, event.data, stored=self.revises)

    def _note_chunk(self, data: dict[str, Any]) -> bool:
        try:
            place = data["face"], data["position"]
            known = self._rows.get(place)
        except (KeyError, TypeError):
            return True  # assembly names what is wrong with it
        if known is not None:
            return not _same_readings(known, data)
        self._rows[place] = data
        self._count[place[0]] = self._count.get(place[0], 0) + 1
        return True

    def _note_end(self, data: dict[str, Any]) -> bool:
        promised = data.get("rows_per_face")
        news = self._ended is None or promised != self._ended.get("rows_per_face")
        self._ended = data
        self._promised = max(self._promised, promised if isinstance(promised, int) else 0)
        return news


def revision_of(stored: StoredCoil) -> OpenCoil | None:
    """A decided coil opened again for what comes late: its stored rows, to which messages are added.

    None where it was judged from a matrix, so that its rows are unknown.
    """
    rows = rows_of(stored.readings)
    if rows is None:
        return None
    coil = OpenCoil(key=stored.key, revises=True)
    identity = {"plant": stored.key.plant, "coil_id": stored.key.coil_id}
    events = []
    if stored.order is not None:
        started = stored.started_at.isoformat() if stored.started_at else None
        events.append(("coil.started", stored.order.model_dump() | {"started_at": started}))
    events += [("coil.chunk", row | {"face": FACES[row["face"]]}) for row in rows.to_pylist()]
    if stored.rows_per_face is not None:
        events.append(("coil.ended", {"rows_per_face": stored.rows_per_face or None}))
    for kind, data in events:
        event = ChunkEvent(type=kind, key=stored.key, data=identity | data)
        if coil._note(event):
            coil._events.append(event)
    return coil


def _same_readings(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(
        one.get("mean_g_m2") == other.get("mean_g_m2")
        and (one.get("std_g_m2") or _ZEROS) == (other.get("std_g_m2") or _ZEROS)
    )


def _same_order(one: dict[str, Any], other: dict[str, Any], *, stored: bool) -> bool:
    """Of a stored coil only the order is known, and what it lacks says nothing."""
    if not stored:
        return one == other
    try:
        pairs = zip(*(Order.model_validate(data).model_dump().values() for data in (one, other)), strict=True)
    except ValidationError:
        return False
    return all(mine is None or theirs is None or mine == theirs for mine, theirs in pairs)


def _too_many(rules: StreamSettings) -> tuple[str, str]:
    return (
        f"the coil has more than {rules.most_events_per_coil} events, or {_MOST_BYTES // 2**20} MiB of them",
        "check its coil_id: many coils seem to share it",
    )
