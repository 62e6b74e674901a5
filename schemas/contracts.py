"""The published contracts, made from the models: `python -m schemas.contracts [--check]`.

One JSON Schema a message type (2020-12), and one AsyncAPI 3.0 document over all channels.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import yaml
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from schemas.channels import CHANNELS, CONTRACTS, DEAD_LETTER, EVENT_TYPES, Channel
from schemas.versions import CONTRACT_VERSION, dataschema

PUBLISHED = Path(__file__).parent / "published"
EXAMPLES = Path(__file__).parent / "examples"
_ENVELOPE = ("specversion", "id", "source", "type", "subject", "time", "dataschema")


def contract_files() -> dict[str, str]:
    """File name -> content of everything that is published."""
    files = {f"{name}.schema.json": _json(json_schema(name)) for name in CONTRACTS}
    return files | {
        "asyncapi.yaml": yaml.dump(asyncapi(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)
    }


def json_schema(name: str) -> dict[str, Any]:
    """JSON Schema of one contract, as a receiver may check it; events in structured mode."""
    schema = CONTRACTS[name].model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": dataschema(name),
        **schema,
    }


def example_of(name: str) -> dict[str, Any]:
    """The example message of one contract."""
    example: dict[str, Any] = orjson.loads((EXAMPLES / f"{name}.json").read_bytes())
    return example


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document; Kafka messages in CloudEvents binary mode, MQTT payloads as the plant names them."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "coilflow",
            "version": CONTRACT_VERSION,
            "description": "Coils of a galvanizing line in, verdicts out. Events are CloudEvents 1.0: in Kafka binary "
            "mode (attributes as ce_* headers, key = plant and coil, percent-encoded and joined by a slash).",
            "license": {"name": "AGPL-3.0-or-later"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {"host": "localhost:9092", "protocol": "kafka", "description": "The plant's Kafka."},
            "mqtt": {"host": "localhost:1883", "protocol": "mqtt", "description": "The plant's MQTT broker."},
        },
        "channels": {_identifier(channel.address): _channel(channel) for channel in CHANNELS},
        "operations": {f"{channel.action}_{_identifier(channel.address)}": _operation(channel) for channel in CHANNELS},
        "components": {
            "messages": {_identifier(name): _message(name) for name in CONTRACTS}
            | {_identifier(DEAD_LETTER): _dead_letter()},
            "schemas": _schemas(),
        },
    }


def stale(folder: Path) -> list[str]:
    """Names of published files that are missing, differ from the models or belong to no contract any more."""
    expected = contract_files()
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} if folder.is_dir() else {}
    return sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the published contracts, or with `--check` say which are stale and return 1."""
    parser = argparse.ArgumentParser(prog="python -m schemas.contracts", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where a file is stale")
    old = stale(PUBLISHED)
    if parser.parse_args(arguments).check:
        if old:
            sys.stderr.write(f"stale: {', '.join(old)}; run `python -m schemas.contracts` and commit the result\n")
        return 1 if old else 0
    PUBLISHED.mkdir(exist_ok=True)
    files = contract_files()
    for name in old:
        if name in files:
            (PUBLISHED / name).write_text(files[name], encoding="utf-8")
        else:
            (PUBLISHED / name).unlink()
    sys.stdout.write(f"{len(files)} contracts, {len(old)} of them changed\n")
    return 0


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        """Write repeated parts out."""
        return True


def _channel(channel: Channel) -> dict[str, Any]:
    return {
        "address": channel.address,
        "description": channel.description,
        "servers": [{"$ref": f"#/servers/{channel.protocol}"}],
        "messages": {
            _identifier(name): {"$ref": f"#/components/messages/{_identifier(name)}"} for name in channel.contracts
        },
    }


def _operation(channel: Channel) -> dict[str, Any]:
    here = f"#/channels/{_identifier(channel.address)}"
    operation: dict[str, Any] = {
        "action": channel.action,
        "channel": {"$ref": here},
        "messages": [{"$ref": f"{here}/messages/{_identifier(name)}"} for name in channel.contracts],
    }
    qos = 1 if channel.action == "receive" else 2  # as `flows.mqtt.bridge` subscribes; the default of `mqtt.qos`
    return operation | ({"bindings": {"mqtt": {"qos": qos}}} if channel.protocol == "mqtt" else {})


def _message(name: str) -> dict[str, Any]:
    model, example = CONTRACTS[name], example_of(name)
    message = {"name": name, "summary": _summary(model), "contentType": "application/json"}
    if name not in EVENT_TYPES:
        return message | {"payload": _ref(model), "examples": [{"payload": example}]}
    headers = {f"ce_{attribute}": example[attribute] for attribute in _ENVELOPE if attribute in example}
    return message | {
        "headers": _headers(model),
        "payload": _ref(_data_model(model)),
        "examples": [{"headers": headers, "payload": example["data"]}],
    }


def _dead_letter() -> dict[str, Any]:
    """Not an event: the message as it came, with the headers of Kafka Streams' dead letters (KIP-1034)."""
    errors = "__streams.errors."
    told = {
        "exception": ("The step that refused it, e.g. coilflow.decode.", "coilflow.decode"),
        "message": ("What is wrong, in one sentence.", "the event is no JSON: it ends within a list"),
        "stacktrace": ("What to do: the remedy.", "send the event again, NaN is no number in JSON"),
        "topic": ("Where it came from; left out, as partition and offset, where that was not Kafka.", "coil.chunks"),
        "partition": ("Decimal.", "2"),
        "offset": ("Decimal.", "90117"),
    }
    properties = {f"{errors}{name}": {"type": "string", "description": what} for name, (what, _) in told.items()}
    own = {"type": "string", "format": "uuid", "description": "The same whenever this dead letter is sent again."}
    headers = {f"{errors}{name}": value for name, (_, value) in told.items()}
    return {
        "name": DEAD_LETTER,
        "summary": "A message that could not be used: its own key, bytes and headers, and what was wrong.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "properties": {**properties, "coilflow.event.id": own},
            "required": [*(f"{errors}{name}" for name in ("exception", "message", "stacktrace")), "coilflow.event.id"],
        },
        "payload": {"description": "The bytes as they came, whatever they are."},
        "examples": [
            {
                "headers": {**headers, "coilflow.event.id": "c1d5a1de-6a5b-5c0e-8b0b-5f2b9f8c6d10"},
                "payload": '{"plant":"linz-hdg2","coil_id":"226031457","position":1029,"mean_g_m2":[108.4,NaN',
            }
        ],
    }


def _headers(model: type[BaseModel]) -> dict[str, Any]:
    """The envelope as headers of Kafka's binary mode."""
    schema = model.model_json_schema()
    return {
        "type": "object",
        "properties": {
            f"ce_{attribute}": {"type": "string", **({"const": fixed} if fixed else {})}
            for attribute in _ENVELOPE
            for fixed in [schema["properties"][attribute].get("const")]
        },
        "required": ["ce_specversion", "ce_id", "ce_source", "ce_type"],
    }


def _schemas() -> dict[str, Any]:
    models = [_data_model(model) for model in EVENT_TYPES.values()]
    models += [model for name, model in CONTRACTS.items() if name not in EVENT_TYPES]
    _, schema = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    defined: dict[str, Any] = schema["$defs"]
    return defined


def _data_model(event: type[BaseModel]) -> type[BaseModel]:
    data = event.model_fields["data"].annotation
    if not (isinstance(data, type) and issubclass(data, BaseModel)):
        raise TypeError(f"{event.__name__}.data is no model")
    return data


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _summary(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _identifier(name: str) -> str:
    """`coil.chunks.dead-letter` -> `coilChunksDeadLetter`: AsyncAPI allows no dots in component names."""
    first, *rest = re.split(r"[.-]", name)
    return first + "".join(part.capitalize() for part in rest)


def _json(schema: dict[str, Any]) -> str:
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


if __name__ == "__main__":
    sys.exit(main())
