"""What a FlowFile of AssembleCoil says, stored: chunk events in the inbox, or coils that `assesscoil` names."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from flows.intake import LONGEST_ID, LONGEST_SOURCE, Item, Message, Refused, read_event, take_in
from flows.mqtt.asked import end_coil, key_asked, plant_coils, several_plants
from flows.mqtt.requests import AssessRequest, Fault, derived_id, read_assess
from flows.nifi.coils import Carried, coil_rows
from flows.nifi.plant import plant_errors
from processors.assemble import Assembled
from processors.decode import Decoded, Decoder, EventFault, structured_line
from schemas.coils import CoilKey
from schemas.rejects import Reject, Step
from schemas.settings import Settings
from store.connection import Connection, utf8_fault
from store.deadletters import record_dead_letters
from store.inbox import InboxEvent

_SOURCE = "/nifi"  # of an event that names none that can be stored


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """What a FlowFile said; its rejects are dead letters already."""

    usable: int  # messages that were no rejects
    rejects: tuple[Reject, ...] = ()
    rows: tuple[pa.RecordBatch, ...] = ()  # of COILS: what the plant's tables had whole


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One message of `assesscoil`, and what the plant's tables know of its coil."""

    payload: bytes
    request: AssessRequest | Fault
    found: tuple[Assembled, ...] = ()


def unreadable(connection: Connection, content: bytes, error: str, *, place: str) -> Heard:
    """Keep a FlowFile that holds no messages."""
    remedy = "send CloudEvents in structured JSON: one, one a line, or an array"
    return _only(connection, [_reject(content, (error, remedy), place=place)])


def hear_events(
    connection: Connection, messages: Sequence[Message], settings: Settings, *, decode: Decoder, place: str
) -> Heard:
    """Store chunk events, and what operators said; what belongs to no coil is a dead letter.

    An event that names its coil and is wrong is stored too, and rejects its coil once that is due, as in Kafka: there
    is no sender who is told, and without it the coil would be judged on less.

    Raises:
        StoreError: the database refused.
    """
    now = datetime.now(UTC)
    items = [_event(one, decode, place=place, now=now) for one in messages]
    take_in(connection, items, settings, host="nifi")
    rejects = tuple(item.reject for item in items if isinstance(item, Refused))
    return Heard(usable=len(items) - len(rejects), rejects=rejects)


def _event(message: Message, decode: Decoder, *, place: str, now: datetime) -> Item:
    item = read_event(message, decode=decode, place=place, now=now)
    if not isinstance(item, Refused):
        return item
    decoded = decode(message.value, message.headers)
    key = _coil_of(decoded)
    if key is None or any(utf8_fault(text) is not None for text in key):
        return item
    line = structured_line(message.value, message.headers)
    kind = decoded[0].type if isinstance(decoded, tuple) else None
    own = _fits(item.source, LONGEST_SOURCE) and _fits(item.event_id, LONGEST_ID)
    return InboxEvent(
        key=key,
        source=str(item.source) if own else _SOURCE,
        event_id=str(item.event_id) if own else derived_id(key, hashlib.sha256(line).hexdigest()),
        is_start=kind == "coil.started",
        is_end=kind == "coil.ended",
        event=line,
    )


def _fits(text: str | None, longest: int) -> bool:
    return text is not None and 0 < len(text.encode()) <= longest


def _coil_of(decoded: Decoded) -> CoilKey | None:
    """The coil that a message says something of, right or wrong."""
    if isinstance(decoded, EventFault):
        return None if decoded.aside else decoded.key
    return decoded[0].key


def read_asked(messages: Sequence[Message], settings: Settings, *, decode: Decoder) -> tuple[Asked, ...]:
    """Read messages of `assesscoil`, and the coils that they name where the plant's tables have them.

    Raises:
        StoreError: the plant's database is away, or locked.
        SourceError: the tables cannot be read.
    """
    asked = []
    for one in messages:
        request = read_assess(one.value, decode)
        with plant_errors():
            found = plant_coils(request, settings) if isinstance(request, AssessRequest) else ()
        several = several_plants(found, request) if isinstance(request, AssessRequest) else None
        asked.append(Asked(payload=one.value, request=several or request, found=() if several else found))
    return tuple(asked)


def hear_asked(
    connection: Connection, asked: Sequence[Asked], settings: Settings, *, decode: Decoder, place: str
) -> Heard:
    """End coils that came event by event, and give those that came whole; what cannot be done is a dead letter.

    Raises:
        StoreError: the database refused.
    """
    rejects: list[Reject] = []
    rows: list[pa.RecordBatch] = []
    usable = 0
    for one in asked:
        if not isinstance(one.request, AssessRequest):
            rejects.append(_reject(one.payload, one.request, place=place))
            continue
        if one.found:
            rejects += [reject for part in one.found for reject in part.rejects]
            rows += [_whole(part) for part in one.found]
            usable += any(len(part.coils) for part in one.found)
            continue
        fate = end_coil(connection, one.request, one.payload, settings, decode=decode, host="nifi")
        if isinstance(fate, tuple):
            key = key_asked(one.request, settings)
            rejects.append(_reject(one.payload, fate, place=place, key=key, step="assemble"))
        else:
            usable += 1
    said = _only(connection, rejects)
    return Heard(usable=usable, rejects=said.rejects, rows=tuple(rows))


def _only(connection: Connection, rejects: Sequence[Reject]) -> Heard:
    record_dead_letters(connection, rejects)
    return Heard(usable=0, rejects=tuple(rejects))


def _whole(part: Assembled) -> pa.RecordBatch:
    return coil_rows(part.coils, [Carried(order=h.order, rows_per_face=h.rows_per_face) for h in part.coils.headers])


def _reject(original: bytes, fault: Fault, *, place: str, key: CoilKey | None = None, step: Step = "decode") -> Reject:
    error, remedy = fault
    return Reject(
        step=step, place=place, key=key, error=error, remedy=remedy, original=original, whole_coil=key is not None
    )
