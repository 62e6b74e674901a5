"""Decode chunk events: one pass over what is right, a careful look at everything else."""

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeVar

import orjson
from pydantic import ValidationError

from processors.envelope import (
    JSON,
    NO_EVENT,
    Envelope,
    Fault,
    as_text,
    holds_json,
    is_json,
    is_structured,
    may_be_deep,
    media_type,
    on_one_line,
    read_envelope,
)
from processors.event_rows import FieldNames, event_rows, renamed
from schemas.coils import CoilKey
from schemas.events import CoilChunk, CoilEnded, CoilStarted
from schemas.faults import first_fault, shown
from schemas.rejects import Headers
from schemas.versions import readable_prefix, version_fault

MOST_DATA_BYTES = 16 * 1024 * 1024  # of one message: a larger one is refused unread
TYPES = ("coil.started", "coil.chunk", "coil.ended")
_MOST_ENVELOPE_BYTES = 1024 * 1024  # by which a structured message may be larger
_MOST_NAME = 200  # characters of a plant or a coil id, as the contract says
_EXPECTED = {kind.encode(): (kind, readable_prefix(kind).encode()) for kind in TYPES}
_JSON = JSON.encode()
_UNFIT = (ValueError, KeyError, TypeError, AttributeError, IndexError)
Contract = TypeVar("Contract", CoilStarted, CoilChunk, CoilEnded)


class ChunkEvent(NamedTuple):
    """One of the three chunk events: its type, its coil, and its data as the line sent it."""

    type: str
    key: CoilKey
    data: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class EventFault:
    """Why a message is no chunk event; `key` where its coil could still be read."""

    key: CoilKey | None
    error: str
    remedy: str
    aside: bool = False  # it says nothing of the coil's readings: the message alone is rejected, not its coil


Decoded = tuple[ChunkEvent, ...] | EventFault
Decoder = Callable[[bytes | None, Headers], Decoded]


def decoder(names: FieldNames | None) -> Decoder:
    """`decode_message` for a plant's own names of fields; without any it is the function itself."""
    return decode_message if names is None else partial(decode_message, names=names)


def decode_message(value: bytes | None, headers: Headers = (), names: FieldNames | None = None) -> Decoded:
    """Decode one message: CloudEvents 1.0 in Kafka's binary mode or in structured JSON, data in JSON or Arrow.

    Only the envelope and the coil are looked at; `parse_event` and the assembly look at the readings.

    Args:
        value: the message; None is a tombstone.
        headers: of the message; none for a line of a file, which is in structured mode.
        names: how the plant names the fields; None: as the contract does.

    Returns:
        One event, or as many as an Arrow payload has rows; else what is wrong. It raises nothing.
    """
    if value is not None and len(value) <= MOST_DATA_BYTES and not may_be_deep(value):
        try:
            kind, data = _binary(value, headers) if headers else _plain(value)
            if names is not None:
                data = renamed(data, kind, names)
            key = _coil_key(data["plant"], data["coil_id"])
            if key is not None:
                return (ChunkEvent(kind, key, data),)
        except _UNFIT:
            pass  # the careful look says what it is
    return _carefully(value, dict(headers), names)


def parse_event(event: ChunkEvent, contract: type[Contract]) -> Contract | Fault:
    """Read an event's data by its contract: the model where it fits, else (error, remedy)."""
    try:
        return contract.model_validate(event.data)
    except ValidationError as error:
        what = first_fault(error).sentence()
        return f"a {event.type} event is wrong: {what}", f"compare it with schemas/examples/{event.type}.json"


def structured_line(value: bytes | None, headers: Headers) -> bytes:
    """Any message as one line without its end: a CloudEvent in structured JSON, that reads back as the message would.

    Data in JSON stand there byte for byte, others as base64.
    """
    attributes = dict(headers)
    if value is not None and is_structured(attributes):
        one_line = b"\n" not in value and b"\r" not in value
        if one_line or is_json(value):
            return value if one_line else on_one_line(value)
    envelope: dict[str, object] = {
        name.removeprefix("ce_"): as_text(given) for name, given in headers if name.startswith("ce_")
    }
    for name in ("data", "data_base64", "datacontenttype"):
        envelope.pop(name, None)
    media = as_text(attributes.get("content-type"))
    if media:
        envelope["datacontenttype"] = media
    if value is None:
        return orjson.dumps(envelope)
    if holds_json(media_type(media) or JSON) and is_json(value):
        return orjson.dumps(envelope | {"data": orjson.Fragment(on_one_line(value))})
    return orjson.dumps(envelope | {"data_base64": b64encode(value).decode()})


@lru_cache(maxsize=4096)  # a coil's events name it a hundred times
def _coil_key(plant: str, coil_id: str) -> CoilKey | None:
    named = all(name.isprintable() and 0 < len(name) <= _MOST_NAME for name in (plant, coil_id))
    return CoilKey(plant=plant, coil_id=coil_id) if named else None


def _binary(value: bytes, headers: Headers) -> tuple[str, dict[str, Any]]:
    """Type and data of a message in binary mode as nearly all are; raises one of _UNFIT for any other."""
    kind = version = schema = None
    media = _JSON
    for name, given in headers:  # faster than a dict: the names are new strings, each to be hashed
        if name == "ce_type":
            kind = given
        elif name == "ce_specversion":
            version = given
        elif name == "content-type":
            media = given
        elif name == "ce_dataschema":
            schema = given
    expected, prefix = _EXPECTED[kind]  # type: ignore[index]
    if version != b"1.0" or media != _JSON or not (schema is None or schema.startswith(prefix)):
        raise ValueError("not as nearly all are")
    return expected, orjson.loads(value)


def _plain(value: bytes) -> tuple[str, dict[str, Any]]:
    """The same of a line in structured mode."""
    event = orjson.loads(value)
    kind = event["type"]
    if (
        kind not in TYPES
        or event["specversion"] != "1.0"
        or event.get("datacontenttype", JSON) != JSON
        or version_fault(kind, event.get("dataschema"))
        or "data_base64" in event
    ):
        raise ValueError("not as nearly all are")
    return kind, event["data"]


def _carefully(value: bytes | None, attributes: Mapping[str, bytes], names: FieldNames | None) -> Decoded:
    envelope = _opened(value, attributes)
    if not isinstance(envelope, Envelope):
        return _unread(*envelope)
    rows = event_rows(envelope, names)
    key = None if isinstance(rows, tuple) else _key(rows[0])
    fault = _envelope_fault(envelope)
    if fault is not None and rows is not NO_EVENT:
        other = isinstance(envelope.kind, str) and envelope.kind not in TYPES and envelope.version == "1.0"
        return EventFault(key=key, error=fault[0], remedy=fault[1], aside=other)
    if isinstance(rows, tuple):
        return _unread(*rows)
    if key is None:
        return _unread(_key_fault(rows[0]), "write both as text in quotes")
    return tuple([ChunkEvent(str(envelope.kind), key, row) for row in rows])


def _opened(value: bytes | None, attributes: Mapping[str, bytes]) -> Envelope | Fault:
    if value is None:
        return "the message has no value", "send events only; a tombstone deletes no coil"
    if len(value) > MOST_DATA_BYTES + (_MOST_ENVELOPE_BYTES if is_structured(attributes) else 0):
        return (
            f"the message has {len(value) / 2**20:.1f} MiB, at most {MOST_DATA_BYTES // 2**20} MiB are read",
            "send one event, or the rows of one coil, a message",
        )
    return read_envelope(value, attributes)


def _unread(error: str, remedy: str) -> EventFault:
    return EventFault(key=None, error=error, remedy=remedy)


def _envelope_fault(envelope: Envelope) -> Fault | None:
    if envelope.version != "1.0":
        return f"specversion is {shown(envelope.version)}, expected '1.0'", "send CloudEvents 1.0"
    if not isinstance(envelope.kind, str) or envelope.kind not in TYPES:
        return f"type {shown(envelope.kind)} is none of {', '.join(TYPES)}", "send it to its own topic"
    return version_fault(envelope.kind, envelope.schema)


def _key(data: Mapping[str, Any]) -> CoilKey | None:
    plant, coil_id = data["plant"], data["coil_id"]
    named = all(isinstance(n, str) and n.isprintable() and 0 < len(n) <= _MOST_NAME for n in (plant, coil_id))
    return CoilKey(plant=plant, coil_id=coil_id) if named else None


def _key_fault(data: Mapping[str, Any]) -> str:
    got = " and ".join(shown(data[name]) or "an object" for name in ("plant", "coil_id"))
    return f"plant and coil_id must be text of 1 to {_MOST_NAME} printable signs, got {got}"
