"""The data of the events in one message, under our names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from processors.arrow_chunks import arrow_chunks
from processors.envelope import ARROW, JSON, NO_EVENT, Envelope, Fault, NoJson, holds_json, read_json


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldNames:
    """How a plant names what its events' data hold."""

    fields: Mapping[str, Mapping[str, str]]  # type of event -> the plant's name of a field -> ours
    faces: Mapping[str, str]  # the plant's name of a face -> top or bottom


def event_rows(envelope: Envelope, names: FieldNames | None) -> list[dict[str, Any]] | Fault:
    """Data of the events in a message, at least one."""
    if envelope.media == ARROW:
        return _arrow_rows(envelope, names)
    if not holds_json(envelope.media):
        return f"the data's content type {envelope.media[:60]!r} is neither {JSON} nor {ARROW}", "send one of these"
    data = envelope.data if envelope.payload is None else read_json(envelope.payload)
    if isinstance(data, NoJson):
        return f"the message's data are {data.what}", "send the event's data as one JSON object"
    if isinstance(data, dict) and names is not None:
        data = renamed(data, str(envelope.kind), names)
    if not isinstance(data, dict) or not {"plant", "coil_id"} <= data.keys():
        return NO_EVENT
    return [data]


def _arrow_rows(envelope: Envelope, names: FieldNames | None) -> list[dict[str, Any]] | Fault:
    if envelope.payload is None:
        return f"the data's content type is {ARROW}, but there is no data_base64", "put the Arrow stream there"
    if envelope.kind != "coil.chunk":
        return "only coil.chunk events may carry Arrow", f"send the others as {JSON}"
    rows = arrow_chunks(envelope.payload, names.fields.get("coil.chunk", {}) if names else {})
    return rows if names is None or isinstance(rows, tuple) else [_with_our_face(row, names) for row in rows]


def renamed(data: dict[str, Any], kind: str, names: FieldNames) -> dict[str, Any]:
    """The same data with our names of fields and faces; where both names stand there, the plant's counts."""
    ours = names.fields.get(kind)
    if ours:
        theirs = {ours[name]: value for name, value in data.items() if name in ours}
        data = {name: value for name, value in data.items() if name not in ours} | theirs
    return _with_our_face(data, names)


def _with_our_face(data: dict[str, Any], names: FieldNames) -> dict[str, Any]:
    face = data.get("face")
    return data | {"face": names.faces[face]} if isinstance(face, str) and face in names.faces else data
