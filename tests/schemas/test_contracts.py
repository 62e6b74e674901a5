"""The published contracts are fresh, valid and agree with the models."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator
from jsonschema.exceptions import ValidationError as SchemaError
from pydantic import ValidationError

from schemas import contracts
from schemas.channels import CHANNELS, CONTRACTS, DEAD_LETTER, EVENT_TYPES
from schemas.contracts import PUBLISHED, asyncapi, contract_files, example_of, json_schema, main, stale

DOCUMENT = asyncapi()


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for part in node.values():
            yield from references(part)
    elif isinstance(node, list):
        for part in node:
            yield from references(part)


def resolved(reference: str) -> Any:
    node: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def check_in_document(schema: dict[str, Any], value: object) -> None:
    """Validate against a schema whose references point into the AsyncAPI document."""
    Draft7Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


def test_what_is_published_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_a_missing_and_a_foreign_file_are_found_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "published"
    monkeypatch.setattr(contracts, "PUBLISHED", folder)
    assert main(["--check"]) == 1
    assert main([]) == 0
    (folder / "coil.chunk.schema.json").write_text("{}")
    (folder / "coil.ended.schema.json").unlink()
    (folder / "old.schema.json").write_text("{}")
    assert stale(folder) == ["coil.chunk.schema.json", "coil.ended.schema.json", "old.schema.json"]
    assert main(["--check"]) == 1
    assert "run `python -m schemas.contracts`" in capsys.readouterr().err
    assert main([]) == 0
    assert stale(folder) == []


@pytest.mark.parametrize("name", CONTRACTS)
def test_each_example_fits_its_published_schema(name: str) -> None:
    schema = json_schema(name)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(example_of(name))


@pytest.mark.parametrize("name", CONTRACTS)
def test_schema_and_model_refuse_the_same_gaps(name: str) -> None:
    validator = Draft202012Validator(json_schema(name))
    example = example_of(name)
    for parent in (example, example.get("data", {})):
        for field in list(parent):
            without = copy.deepcopy(example)
            del (without if parent is example else without["data"])[field]
            try:
                CONTRACTS[name].model_validate(without)
            except ValidationError:
                with pytest.raises(SchemaError):
                    validator.validate(without)
            else:
                validator.validate(without)


def test_the_document_is_asyncapi_3() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    assert DOCUMENT.keys() <= {
        "asyncapi", "info", "defaultContentType", "servers", "channels", "operations", "components"
    }  # fmt: skip
    assert yaml.safe_load((PUBLISHED / "asyncapi.yaml").read_text(encoding="utf-8")) == yaml.safe_load(
        contract_files()["asyncapi.yaml"]
    )


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert found
    assert [reference for reference in found if not resolved(reference)] == []


def test_every_channel_stands_once_with_its_messages() -> None:
    addresses = [channel["address"] for channel in DOCUMENT["channels"].values()]
    assert sorted(addresses) == sorted({channel.address for channel in CHANNELS})
    assert {
        "coil.chunks", "coil.verdicts", "operator.feedback", "model.events", "coil.chunks.dead-letter",
        "assesscoil", "opfeedback", "coilready",
    } <= set(addresses)  # fmt: skip
    carried = {name for channel in CHANNELS for name in channel.contracts}
    assert carried == {*CONTRACTS, DEAD_LETTER}


@pytest.mark.parametrize("name", DOCUMENT["operations"])
def test_an_operation_uses_messages_of_its_channel(name: str) -> None:
    operation = DOCUMENT["operations"][name]
    assert operation["action"] in {"send", "receive"}
    channel = operation["channel"]["$ref"]
    assert resolved(channel)["messages"]
    for message in operation["messages"]:
        assert message["$ref"].startswith(f"{channel}/messages/")
        assert "payload" in resolved(resolved(message["$ref"])["$ref"])


@pytest.mark.parametrize("name", DOCUMENT["components"]["messages"])
def test_each_example_in_the_document_fits_its_payload_and_headers(name: str) -> None:
    message = DOCUMENT["components"]["messages"][name]
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)
    [example] = message["examples"]
    check_in_document(message["payload"], example["payload"])
    assert ("headers" in message) == (message["name"] in {*EVENT_TYPES, DEAD_LETTER})
    if "headers" in message:
        check_in_document(message["headers"], example["headers"])
    if message["name"] in EVENT_TYPES:
        with pytest.raises(SchemaError):
            check_in_document(message["headers"], {**example["headers"], "ce_type": "other"})
