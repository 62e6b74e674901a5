"""What the plant asks on its MQTT topics: its own payloads and CloudEvents in structured JSON."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from pydantic import ValidationError

from flows.intake import FEEDBACK, read_feedback
from processors.decode import Decoder, EventFault
from processors.envelope import NoJson, read_json
from schemas.coils import CoilKey, Truth
from schemas.faults import first_fault
from schemas.mqtt import AssessCoil, OpFeedback
from store.feedback import Feedback

Fault = tuple[str, str]  # error, remedy

_IDS = uuid.UUID("5a0c1f0e-5c0e-5f6b-9d0a-6d5e0c011f20")  # namespace of the ids we give to the plant's payloads
_LABELS: dict[int, Truth] = {1: "OK", 2: "NOK"}
_MOST_NAME = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class AssessRequest:
    """The coil is complete: assess it."""

    plant: str | None  # None: the message names none
    coil_id: str
    is_event: bool  # the message is a coil.ended event


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedbackRequest:
    """An operator judged a coil; without a label it stands in the plant's table."""

    plant: str | None
    coil_id: str
    label: Truth | None
    note: str | None


def read_assess(payload: bytes, decode: Decoder) -> AssessRequest | Fault:
    """Read a message of `assesscoil`: `{"SID": ...}`, bare or as a CloudEvent's data, or a `coil.ended` event.

    Args:
        payload: the message.
        decode: reads this plant's events.
    """
    message = _object(payload)
    if isinstance(message, tuple):
        return message
    if message.get("type") == "coil.ended":
        ended = decode(payload, ())
        if isinstance(ended, EventFault):
            return ended.error, ended.remedy
        key = ended[0].key
        return AssessRequest(plant=key.plant, coil_id=key.coil_id, is_event=True)
    data = _data(message)
    try:
        named = AssessCoil.model_validate(data)
    except ValidationError as error:
        return _wrong("assesscoil", error)
    plant = data.get("PLANT")
    return _unfit(plant, named.SID) or AssessRequest(
        plant=None if plant is None else str(plant), coil_id=named.SID.strip(), is_event=False
    )


def read_opfeedback(payload: bytes, *, now: datetime) -> FeedbackRequest | Feedback | Fault:
    """Read a message of `opfeedback`: `{"COILID": ...}` with or without label, or an `operator.feedback` event.

    Args:
        payload: the message.
        now: the receiver's time, with its zone.
    """
    message = _object(payload)
    if isinstance(message, tuple):
        return message
    if message.get("type") == FEEDBACK:
        return read_feedback(payload, now=now)
    data = _data(message)
    try:
        said = OpFeedback.model_validate(data)
    except ValidationError as error:
        return _wrong("opfeedback", error)
    plant = data.get("PLANT")
    return _unfit(plant, said.COILID) or FeedbackRequest(
        plant=None if plant is None else str(plant),
        coil_id=said.COILID.strip(),
        label=None if said.LABEL is None else _LABELS[said.LABEL],
        note=said.DESCRIP,
    )


def ended_event(key: CoilKey, topic: str) -> tuple[str, str, bytes]:
    """Source, id and bytes of the `coil.ended` that an `assesscoil` stands for: the same for the same coil."""
    source, event_id = f"/mqtt/{topic}", derived_id(key, "ended")
    event = {
        "specversion": "1.0",
        "type": "coil.ended",
        "source": source,
        "id": event_id,
        "data": {"plant": key.plant, "coil_id": key.coil_id},
    }
    return source, event_id, orjson.dumps(event)


def derived_id(key: CoilKey, *facts: str) -> str:
    """An event id for a payload that has none: the same for the same facts of the same coil."""
    return str(uuid.uuid5(_IDS, orjson.dumps([key.plant, key.coil_id, *facts]).decode()))


def plant_time(time: datetime | None, *, now: datetime) -> datetime:
    """A time of the plant's table with its zone: UTC where it names none, `now` where there is none.

    What is written there was said already: a local time that is ahead of UTC, or a clock that is, becomes `now`.
    """
    if time is None:
        return now
    return min(time if time.tzinfo else time.replace(tzinfo=UTC), now)


def _object(payload: bytes) -> dict[str, object] | Fault:
    message = read_json(payload)
    if isinstance(message, NoJson):
        return f"the message is {message.what}", "send one JSON object a message"
    if not isinstance(message, dict):
        return "the message is no JSON object", "send one JSON object a message"
    return message


def _data(message: dict[str, object]) -> dict[str, object]:
    """The plant's payload, out of its CloudEvent if it is in one."""
    data = message.get("data") if "specversion" in message else message
    return data if isinstance(data, dict) else {}


def _wrong(topic: str, error: ValidationError) -> Fault:
    fault = first_fault(error).sentence()
    return f"an {topic} message is wrong: {fault}", f"compare it with schemas/examples/mqtt.{topic}.json"


def _unfit(plant: object, coil_id: str) -> Fault | None:
    for name, value in (("plant", plant), ("coil id", coil_id.strip())):
        if value is None and name == "plant":
            continue
        text = str(value)
        if not text.isprintable() or not 0 < len(text) <= _MOST_NAME:
            return f"the {name} is no text of 1 to {_MOST_NAME} printable signs", f"correct the {name}"
    return None
