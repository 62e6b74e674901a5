"""Events that an MES sends without Kafka: read, held against their contracts, and stored in one transaction."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydantic import ValidationError

from processors.decode import ChunkEvent, Decoder, EventFault, parse_event, structured_line
from processors.envelope import read_json
from schemas.coils import CoilKey
from schemas.events import EVENT, CoilChunk, CoilEnded, CoilStarted, OperatorFeedbackEvent
from schemas.faults import first_fault
from schemas.rejects import Headers, Reject
from schemas.settings import Settings
from store.connection import Connection, store_errors, utf8_fault
from store.deadletters import record_dead_letters
from store.feedback import Feedback, record_feedback
from store.inbox import Host, InboxEvent, store_events

FEEDBACK = "operator.feedback"
LONGEST_ID, LONGEST_SOURCE = 200, 400  # bytes: with plant and coil they are a key of the database
MOST_AHEAD = timedelta(minutes=5)  # of a sender's clock: later is no time at which anything was said
_BLANK = " \t\r\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One event as it came: whole in `value`, or with its envelope in headers as Kafka's binary mode has it."""

    value: bytes
    headers: Headers = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """A message that is refused, to be kept as a dead letter; with its id and source where they could be read."""

    reject: Reject
    event_id: str | None
    source: str | None


Item = InboxEvent | Feedback | Refused


@dataclass(frozen=True, kw_only=True, slots=True)
class Fate:
    """What became of one event."""

    status: Literal["accepted", "repeated", "refused"]
    item: Item


def words_of(fates: Sequence[Fate]) -> list[Feedback]:
    """What people said that is new."""
    return [fate.item for fate in fates if fate.status == "accepted" and isinstance(fate.item, Feedback)]


def split_batch(body: bytes, *, most: int | None = None) -> tuple[Message, ...] | str:
    """The events of a JSON array, each with the very bytes it came as; else what is wrong with the whole.

    Args:
        body: the array.
        most: one more than so many is read, and nothing after it; None: all are.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return "the batch is not UTF-8"
    found: list[Message] = []
    at, scanner = _after(text, 0, "["), json.JSONDecoder()
    if at is None:
        return "the batch is no JSON array"
    closed = _after(text, at, "]")
    while closed is None:
        try:
            _, end = scanner.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            return f"the batch is no JSON ({error})"
        found.append(Message(value=text[at:end].encode()))
        if most is not None and len(found) > most:
            return tuple(found)
        closed, comma = _after(text, end, "]"), _after(text, end, ",")
        if closed is None and comma is None:
            return f"the batch is no JSON array: a comma or its end is missing at character {end}"
        at = comma or end
    return tuple(found) if closed == len(text) else "the batch goes on after its end"


def read_event(message: Message, *, decode: Decoder, place: str, now: datetime) -> Item:
    """Read one event and hold it against its contract.

    Args:
        message: as it came.
        decode: of chunk events.
        place: where it came in, for a dead letter.
        now: the receiver's time, with its zone.
    """
    line = structured_line(message.value, message.headers)
    original = line if message.headers else message.value
    envelope = _envelope(line)
    event_id, source = (envelope.get(name) for name in ("id", "source"))

    def refused(key: CoilKey | None, error: str, remedy: str) -> Refused:
        return Refused(
            reject=Reject(
                step="decode",
                place=place,
                key=key,
                error=error,
                remedy=remedy,
                original=original,
                whole_coil=False,  # its sender is told at once, and sends it again
            ),
            event_id=_sayable(event_id),
            source=_sayable(source),
        )

    if envelope.get("type") == FEEDBACK:
        feedback = read_feedback(line, now=now)
        return feedback if isinstance(feedback, Feedback) else refused(None, *feedback)
    decoded = decode(message.value, message.headers)
    if isinstance(decoded, EventFault):
        return refused(decoded.key, decoded.error, decoded.remedy)
    key = decoded[0].key
    unnamed = _identity_fault(event_id, source)
    if unnamed is not None:
        return refused(key, *unnamed)
    for event in decoded:
        wrong = _contract_fault(event)
        if wrong is not None:
            return refused(key, *wrong)
    return InboxEvent(
        key=key,
        source=str(source),
        event_id=str(event_id),
        is_start=decoded[0].type == "coil.started",
        is_end=decoded[0].type == "coil.ended",
        event=line,
    )


def read_feedback(line: bytes, *, now: datetime) -> Feedback | tuple[str, str]:
    """Read an `operator.feedback` event in structured JSON; else (error, remedy).

    Args:
        line: the event.
        now: the receiver's time, with its zone: nobody said anything more than `MOST_AHEAD` after it.
    """
    remedy = f"compare it with schemas/examples/{FEEDBACK}.json"
    try:
        event = EVENT.validate_json(line)
    except ValidationError as error:
        return f"an {FEEDBACK} event is wrong: {first_fault(error, below=1).sentence()}", remedy
    if not isinstance(event, OperatorFeedbackEvent):
        return f"the event is of type {event.type}, expected {FEEDBACK}", remedy
    data = event.data
    if data.from_m is not None and data.to_m is not None and data.from_m > data.to_m:
        return f"an {FEEDBACK} event is wrong: from_m {data.from_m:g} lies past to_m {data.to_m:g}", remedy
    ahead = future_fault(data.given_at, now=now)
    if ahead is not None:
        return ahead
    unnamed = _identity_fault(event.id, event.source)
    return unnamed or Feedback(
        key=CoilKey(plant=data.plant, coil_id=data.coil_id),
        source=event.source,
        event_id=event.id,
        label=data.label,
        given_at=data.given_at,
        revision=data.revision,
        defect_kind=data.defect_kind,
        face=data.face,
        from_m=data.from_m,
        to_m=data.to_m,
        note=data.note,
        operator=data.operator,
        corrects=data.corrects,
        settles=data.settles,
    )


def future_fault(given_at: datetime, *, now: datetime) -> tuple[str, str] | None:
    """Why a time at which something is said to have been said cannot be: (error, remedy), None where it can.

    A later word replaces an earlier one, so one from the future would stand against all that is said until then.
    """
    if given_at <= now + MOST_AHEAD:
        return None
    return (
        f"the feedback was given at {given_at.isoformat()}, which is yet to come: "
        f"it is {now.isoformat(timespec='seconds')}",
        "correct the sender's clock or its time zone, then send it again",
    )


def take_in(
    connection: Connection,
    items: Sequence[Item],
    settings: Settings,
    *,
    now: datetime | None = None,
    host: Host = "inbox",
) -> tuple[Fate, ...]:
    """Store events, feedback and dead letters in one transaction; what was stored before is told and changes nothing.

    Args:
        connection: on a database of this version.
        items: as `read_event` gave them.
        settings: rules of the stream.
        now: when feedback came, with its time zone; None: now, by the database's clock.
        host: who judges the coils.

    Raises:
        StoreError: the database refused; nothing is stored then, and the same items may be given again.
    """
    chunks = [item for item in items if isinstance(item, InboxEvent)]
    said = [item for item in items if isinstance(item, Feedback)]
    with store_errors(f"take {len(items)} events in"), connection.transaction():
        new_chunks = iter(store_events(connection, chunks, settings.stream, host=host))
        new_said = iter(record_feedback(connection, said, received_at=now))
        refused = [item.reject for item in items if isinstance(item, Refused)]
        record_dead_letters(connection, refused, announce=settings.mode == "announce" and bool(settings.destinations))

    def fate(item: Item) -> Fate:
        if isinstance(item, Refused):
            return Fate(status="refused", item=item)
        new = next(new_chunks if isinstance(item, InboxEvent) else new_said)
        return Fate(status="accepted" if new else "repeated", item=item)

    return tuple(fate(item) for item in items)


def _after(text: str, at: int, sign: str) -> int | None:
    """Index past `sign` and the blanks around it, or None where something else stands at `at`."""
    while at < len(text) and text[at] in _BLANK:
        at += 1
    if not text.startswith(sign, at):
        return None
    at += 1
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at


def _envelope(line: bytes) -> dict[str, object]:
    event = read_json(line)
    return event if isinstance(event, dict) else {}  # decoding says what is wrong


def _sayable(name: object) -> str | None:
    return name if isinstance(name, str) and utf8_fault(name) is None else None


def _contract_fault(event: ChunkEvent) -> tuple[str, str] | None:
    if event.type == "coil.started":
        parsed: object = parse_event(event, CoilStarted)
    else:
        parsed = parse_event(event, CoilChunk) if event.type == "coil.chunk" else parse_event(event, CoilEnded)
    return parsed if isinstance(parsed, tuple) else None


def _identity_fault(event_id: object, source: object) -> tuple[str, str] | None:
    for name, value, longest in (("id", event_id, LONGEST_ID), ("source", source, LONGEST_SOURCE)):
        if not isinstance(value, str) or utf8_fault(value) or not 0 < len(value.encode()) <= longest:
            return (
                f"the event's {name} is no text of 1 to {longest} bytes",
                "give each event a source and an id of its own, so that a repeat is known",
            )
    return None
