"""Decode chunk events: the fast path for what is right, the published contract for what is not."""

from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from schemas.coils import CoilKey
from schemas.events import CoilChunk, CoilEnded, CoilStarted

_CONTRACTS: dict[str, type[BaseModel]] = {"coil.started": CoilStarted, "coil.chunk": CoilChunk, "coil.ended": CoilEnded}


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


def decode_event(message: bytes) -> ChunkEvent | EventFault:
    """Decode one CloudEvent in structured JSON mode.

    Only the envelope and the coil are looked at; `check_event` and the assembly look at the readings.
    """
    try:
        event = orjson.loads(message)
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
    if kind not in _CONTRACTS:
        return EventFault(
            key=_known(key),
            error=f"type {kind!r} is none of {', '.join(_CONTRACTS)}",
            remedy="send it to its own topic",
        )
    if not _known(key):
        return EventFault(key=None, error="plant and coil_id must be text", remedy="quote them in the JSON")
    return ChunkEvent(type=kind, key=key, data=data)


def check_event(event: ChunkEvent) -> tuple[str, str] | None:
    """Hold an event's data against its contract: None where it fits, else (error, remedy)."""
    try:
        _CONTRACTS[event.type].model_validate(event.data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ")
        what = f"{field}: {message}, got {str(first['input'])[:60]}" if field else message
        return f"a {event.type} event is wrong: {what}", f"compare it with schemas/examples/{event.type}.json"
    return None


def _known(key: CoilKey) -> CoilKey | None:
    return key if isinstance(key.plant, str) and isinstance(key.coil_id, str) else None
