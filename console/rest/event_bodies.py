"""How events are sent, for the OpenAPI document: the published contracts, in every form that is read."""

from typing import Any

from pydantic.json_schema import models_json_schema

from processors.envelope import STRUCTURED
from schemas.contracts import example_of
from schemas.events import CoilChunkEvent, CoilEndedEvent, CoilStartedEvent, OperatorFeedbackEvent

BATCH = "application/cloudevents-batch+json"
MOST_EVENTS = 5_000
_ARROW = "application/vnd.apache.arrow.stream"
_MODELS = {
    "coil.started": CoilStartedEvent,
    "coil.chunk": CoilChunkEvent,
    "coil.ended": CoilEndedEvent,
    "operator.feedback": OperatorFeedbackEvent,
}
_REF = "#/components/schemas/"
_EVENT = {"$ref": f"{_REF}Event"}


def event_operation() -> dict[str, Any]:
    """Body and headers of `POST /api/v1/events`."""
    one = {name: {"value": example_of(name)} for name in _MODELS}
    data = [{"$ref": _REF + model.__name__.removesuffix("Event")} for model in _MODELS.values()]
    return {
        "requestBody": {
            "required": True,
            "content": {
                STRUCTURED: {"schema": _EVENT, "examples": one},
                BATCH: {
                    "schema": {"type": "array", "items": _EVENT, "maxItems": MOST_EVENTS},
                    "example": [example_of("coil.started"), example_of("coil.chunk"), example_of("coil.ended")],
                },
                "application/json": {"schema": {"anyOf": data, "description": "`data` alone, with `ce-` headers."}},
                _ARROW: {
                    "schema": {
                        "type": "string",
                        "format": "binary",
                        "description": "Many rows of one coil as an Arrow IPC stream, with `ce-` headers.",
                    }
                },
            },
        },
        "parameters": [
            {
                "name": f"ce-{name}",
                "in": "header",
                "required": False,
                "description": f"`{name}` of the event in binary mode, percent-encoded.",
                "schema": {"type": "string"},
            }
            for name in ("id", "source", "type", "specversion")
        ],
    }


def event_schemas() -> dict[str, Any]:
    """What the body refers to."""
    _, found = models_json_schema(
        [(model, "validation") for model in _MODELS.values()], ref_template=f"{_REF}{{model}}"
    )
    refs = {name: _REF + model.__name__ for name, model in _MODELS.items()}
    event = {
        "title": "Event",
        "description": "A CloudEvent 1.0 in structured JSON.",
        "oneOf": [{"$ref": ref} for ref in refs.values()],
        "discriminator": {"propertyName": "type", "mapping": refs},
    }
    return {**found["$defs"], "Event": event}
