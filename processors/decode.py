"""Decode chunk events: the fast path for what is right, the published contract for what is not."""

import json
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError

from schemas.coils import CoilKey
from schemas.events import EVENT, CoilChunk, CoilEnded, CoilStarted

_TYPES = ("coil.started", "coil.chunk", "coil.ended")
Contract = TypeVar("Contract", CoilStarted, CoilChunk, CoilEnded)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkEvent:
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


def decode_event(message: bytes) -> ChunkEvent | EventFault:
    """Decode one CloudEvent in structured JSON mode.

    Only the envelope and the coil are looked at; `parse_event` and the assembly look at the readings.
    """
    try:
        event = _json(message)
    except orjson.JSONDecodeError as error:
        what = "not UTF-8" if "utf" in str(error).lower() else f"no JSON ({error})"
        return EventFault(key=None, error=f"the message is {what}", remedy="send one whole CloudEvent a line")
    try:
        kind, version, data = event["type"], event["specversion"], event["data"]
        key = CoilKey(plant=data["plant"], coil_id=data["coil_id"])
    except (KeyError, TypeError, IndexError):
        return EventFault(
            key=None,
            error="the message is no CloudEvent with specversion, type and data that name plant and coil_id",
            remedy="compare it with the examples in schemas/examples",
        )
    if version != "1.0":
        return EventFault(
            key=_known(key), error=f"specversion is {version!r}, expected '1.0'", remedy="send CloudEvents 1.0"
        )
    if not isinstance(kind, str) or kind not in _TYPES:
        return EventFault(
            key=_known(key),
            error=f"type {kind!r} is none of {', '.join(_TYPES)}",
            remedy="send it to its own topic",
            aside=True,
        )
    if not _known(key):
        return EventFault(
            key=None,
            error="plant and coil_id must be text of printable signs",
            remedy="quote them in the JSON, and leave control characters out",
        )
    return ChunkEvent(type=kind, key=key, data=data)


def parse_event(event: ChunkEvent, contract: type[Contract]) -> Contract | tuple[str, str]:
    """Read an event's data by its contract: the model where it fits, else (error, remedy)."""
    try:
        return contract.model_validate(event.data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ")
        message = message.replace("Tuple should have", "has to have").replace("items after validation", "values")
        what = f"{field}: {message}, got {str(first['input'])[:60]}" if field else message
        return f"a {event.type} event is wrong: {what}", f"compare it with schemas/examples/{event.type}.json"


def check_events(content: bytes) -> list[tuple[int | None, str | None]]:
    """Hold every event of a file against the published contracts.

    Args:
        content: one event over any number of lines, or one a line.

    Returns:
        Line (None where the whole file is one event) and what is wrong with the event there, None where nothing is.
    """
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError:
        lines = enumerate(content.splitlines(), start=1)
        return [(number, _event_fault(line)) for number, line in lines if line.strip()]
    return [(None, _event_fault(content))]


def _event_fault(message: bytes) -> str | None:
    try:
        EVENT.validate_json(message)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:])  # the first part names the type
        return f"{field + ': ' if field else ''}{first['msg']}, got {str(first['input'])[:60]}"
    return None


def _json(message: bytes) -> dict[str, Any]:
    """JSON, or what Python and others write for it: a NaN then reaches the coil, which is rejected with its place."""
    event: dict[str, Any]
    try:
        event = orjson.loads(message)
    except orjson.JSONDecodeError as fault:
        if b"NaN" not in message and b"Infinity" not in message:
            raise
        try:
            event = json.loads(message)
        except ValueError:
            raise fault from None
    return event


def _known(key: CoilKey) -> CoilKey | None:
    named = all(isinstance(name, str) and name.isprintable() for name in (key.plant, key.coil_id))
    return key if named else None
