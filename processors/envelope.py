"""Read the envelope of a CloudEvent, in Kafka's binary mode or in structured JSON."""

import json
from base64 import b64decode
from collections.abc import Mapping
from itertools import chain
from typing import NamedTuple

import orjson

from schemas.rejects import Headers

STRUCTURED = "application/cloudevents+json"
JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"
NO_EVENT = (
    "the message is no CloudEvent with specversion, type and data that name plant and coil_id",
    "compare it with the examples in schemas/examples",
)
Fault = tuple[str, str]  # error, remedy
_DEEPEST = 300


class Envelope(NamedTuple):
    """What tells how to read an event's data; nothing of it is checked yet."""

    kind: object
    version: object
    schema: object
    media: str  # of the data
    data: object  # where they stand in the envelope
    payload: bytes | None  # where they are still to be read


class NoJson(NamedTuple):
    """Bytes that are no JSON, and what they are."""

    what: str


def read_envelope(value: bytes, attributes: Mapping[str, bytes]) -> Envelope | Fault:
    """Read the envelope of a message from its headers, or from its value where that is the whole event."""
    media = media_type(as_text(attributes.get("content-type")))
    if not is_structured(attributes):
        schema = as_text(attributes.get("ce_dataschema")) or None
        kind, version = as_text(attributes.get("ce_type")), as_text(attributes.get("ce_specversion"))
        return Envelope(kind, version, schema, media or JSON, None, value)
    return _structured(value, media)


def is_structured(attributes: Mapping[str, bytes]) -> bool:
    """Whether the value is the whole event: its content type says so, or no header says otherwise."""
    media = media_type(as_text(attributes.get("content-type")))
    return media.startswith("application/cloudevents") or not {"ce_type", "ce_specversion"} & attributes.keys()


def event_id_of(headers: Headers) -> str | None:
    """The CloudEvents id of a message in binary mode, for logs."""
    return next((as_text(value) for name, value in headers if name == "ce_id"), None)


def read_json(value: bytes) -> object:
    """JSON, or what Python and others write for it: a NaN then reaches the coil, which is rejected with its place."""
    try:
        parsed = _parsed(value)
    except orjson.JSONDecodeError as error:
        parsed = _with_nan(value) or NoJson("not UTF-8" if "utf" in str(error).lower() else f"no JSON ({error})")
    deep = may_be_deep(value) and _is_deep(parsed)
    return NoJson(f"nested more than {_DEEPEST} deep") if deep else parsed


def may_be_deep(value: bytes) -> bool:
    """Whether JSON has brackets enough to be nested deeper than Python compares or shows; `read_json` says if it is."""
    return len(value) > 2 * _DEEPEST and value.count(b"[") + value.count(b"{") > _DEEPEST


def is_json(value: bytes) -> bool:
    """Whether `read_json` reads it."""
    return not isinstance(read_json(value), NoJson)


def on_one_line(value: bytes) -> bytes:
    """The same JSON without line ends: in JSON they stand between values only."""
    return value.replace(b"\r", b" ").replace(b"\n", b" ")


def holds_json(media: str) -> bool:
    """Whether data of that media type are JSON."""
    return media == JSON or media.endswith("+json")


def media_type(content_type: object) -> str:
    """`application/json; charset=utf-8` -> `application/json`."""
    return content_type.split(";", 1)[0].strip().lower() if isinstance(content_type, str) else ""


def as_text(value: bytes | None) -> str:
    """A header's value as text; a header may have none."""
    return (value or b"").decode("utf-8", "replace")


def _structured(value: bytes, media: str) -> Envelope | Fault:
    if media not in ("", JSON, STRUCTURED):
        return f"content-type {media[:60]!r} is none of {JSON}, {ARROW}, {STRUCTURED}", "send one of these"
    event = read_json(value)
    if isinstance(event, NoJson):
        return f"the message is {event.what}", "send one whole CloudEvent a message, or a line"
    if not isinstance(event, dict):
        return NO_EVENT
    try:
        payload = b64decode(event["data_base64"], validate=True) if "data_base64" in event else None
        data = event["data"] if payload is None else None
        media = media_type(event.get("datacontenttype")) or JSON
        return Envelope(event["type"], event["specversion"], event.get("dataschema"), media, data, payload)
    except ValueError:
        return "data_base64 is no base64", "encode the data as RFC 4648, section 4, says"
    except (KeyError, TypeError):
        return NO_EVENT


def _parsed(value: bytes) -> object:
    parsed: object = orjson.loads(value)
    return parsed


def _is_deep(parsed: object) -> bool:
    level = [parsed]
    for _ in range(_DEEPEST):
        nested = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = list(chain.from_iterable(nested))
        if not level:
            return False
    return True


def _with_nan(value: bytes) -> object:
    if b"NaN" not in value and b"Infinity" not in value:
        return None
    try:
        parsed: object = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return parsed
