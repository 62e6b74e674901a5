"""Hold the events of a file against the published contracts, and say what is wrong in words that help to mend it."""

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import NamedTuple

import orjson
from pydantic import ValidationError

from processors.decode import TYPES, EventFault, decode_message, parse_event
from processors.envelope import ARROW, NoJson, read_json
from processors.event_rows import FieldNames, renamed
from schemas.channels import EVENT_TYPES, MQTT_PAYLOADS
from schemas.events import EVENT, CoilChunk
from schemas.faults import first_fault, shown
from schemas.versions import version_fault

_STREAM_BEGIN, _FILE_BEGIN = b"\xff\xff\xff\xff", b"ARROW1"
_EXAMPLES = "compare it with schemas/examples"


class Checked(NamedTuple):
    """What is to say of one event of a file."""

    place: str  # such as "line 3"; empty where the whole file is one event
    fault: str | None  # with its remedy; None: it is right
    what: str = "right"


def check_events(content: bytes, names: FieldNames | None = None) -> list[Checked]:
    """Check every event of a file.

    Args:
        content: one event in JSON over any number of lines, a list of them, one a line, or a bare Arrow stream.
        names: how the plant names the fields; None: as the contracts do.
    """
    if content.startswith((_STREAM_BEGIN, _FILE_BEGIN)):
        return [_arrow("", content, names)]
    found = read_json(content)
    if isinstance(found, list):
        return [_event(f"event {i}", event, names) for i, event in enumerate(found, start=1)]
    if not isinstance(found, NoJson):
        return [_event("", found, names)]
    lines = [(i, read_json(line)) for i, line in enumerate(content.splitlines(), start=1) if line.strip()]
    if all(isinstance(event, NoJson) for _, event in lines):  # one event over several lines, and it is broken
        return [_event("", found, names)]
    return [_event(f"line {i}", event, names) for i, event in lines]


def _arrow(place: str, content: bytes, names: FieldNames | None) -> Checked:
    if content.startswith(_FILE_BEGIN):
        return Checked(place, "it is an Arrow file, expected an Arrow stream; write it with pyarrow.ipc.new_stream")
    envelope = {"specversion": "1.0", "type": "coil.chunk", "datacontenttype": ARROW}
    return _chunk_event(place, orjson.dumps(envelope | {"data_base64": b64encode(content).decode()}), names)


def _event(place: str, event: object, names: FieldNames | None) -> Checked:
    if isinstance(event, NoJson):
        return Checked(place, f"it is {event.what}; send one whole CloudEvent a line")
    if not isinstance(event, dict):
        return Checked(place, f"it is {shown(event)}, expected a CloudEvent as a JSON object; {_EXAMPLES}")
    if "type" not in event and "specversion" not in event:
        return _plant_payload(place, event)
    kind = event.get("type")
    if not isinstance(kind, str) or kind not in EVENT_TYPES:
        return Checked(place, f"type is {shown(kind)}, expected one of {', '.join(EVENT_TYPES)}; {_EXAMPLES}")
    fault = version_fault(kind, event.get("dataschema")) or _contract_fault(kind, _in_our_words(event, kind, names))
    if fault is not None:
        return Checked(place, "; ".join(fault))
    return _chunk_event(place, _text(event), names) if kind in TYPES else Checked(place, None, f"right, a {kind}")


def _in_our_words(event: Mapping[str, object], kind: str, names: FieldNames | None) -> Mapping[str, object]:
    data = event.get("data")
    return {**event, "data": renamed(data, kind, names)} if isinstance(data, dict) and names is not None else event


def _text(event: Mapping[str, object]) -> bytes:
    return json.dumps(event).encode()  # where orjson would make null of a NaN


def _contract_fault(kind: str, event: Mapping[str, object]) -> tuple[str, str] | None:
    remedy = f"compare it with schemas/examples/{kind}.json"
    if "data_base64" in event:  # what they hold is read as a worker would
        missing = [name for name in ("id", "source") if not event.get(name)]
        return (f"{missing[0]}: Field required", remedy) if missing else None
    try:
        EVENT.validate_json(_text(event))
    except ValidationError as error:
        return first_fault(error, below=1).sentence(), remedy
    return None


def _chunk_event(place: str, text: bytes, names: FieldNames | None) -> Checked:
    """An event that a worker would read."""
    found = decode_message(text, (), names)
    if isinstance(found, EventFault):
        return Checked(place, f"{found.error}; {found.remedy}")
    for row, event in enumerate(found, start=1):
        fault = parse_event(event, CoilChunk) if event.type == "coil.chunk" else None
        if isinstance(fault, tuple):
            return Checked(place, f"{f'row {row}: ' if len(found) > 1 else ''}{fault[0]}; {fault[1]}")
    rows = f", {len(found)} rows" if len(found) > 1 else ""
    return Checked(place, None, f"right, a {found[0].type} of coil {found[0].key.coil_id}{rows}")


def _plant_payload(place: str, payload: Mapping[str, object]) -> Checked:
    """The plant's own payloads have no envelope; they travel by MQTT only."""
    fields = {"SID": "mqtt.assesscoil", "COILID": "mqtt.opfeedback"}
    name = next((contract for field, contract in fields.items() if field in payload), None)
    if "LABEL" in payload and "SID" in payload:
        name = "mqtt.coilready"
    if name is None:
        return Checked(place, f"specversion and type are missing: it is no CloudEvent; {_EXAMPLES}")
    topic = name.removeprefix("mqtt.")
    try:
        MQTT_PAYLOADS[name].model_validate(payload)
    except ValidationError as error:
        return Checked(
            place, f"as the plant's payload {topic}: {first_fault(error).sentence()}; {_EXAMPLES}/{name}.json"
        )
    return Checked(
        place, None, f"right, as the plant's payload of MQTT topic {topic}; to Kafka and HTTP send CloudEvents"
    )
