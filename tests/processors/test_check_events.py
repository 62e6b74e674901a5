"""The doctor says of an event which field is wrong, what was expected, what it got and what to do."""

import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import orjson
import pytest

from processors.check_events import check_events
from processors.decode import EventFault, decode_message
from processors.envelope import ARROW
from processors.event_rows import FieldNames
from schemas.channels import EVENT_TYPES, MQTT_PAYLOADS
from schemas.contracts import example_of
from tests.processors.test_decode import EXAMPLES, arrow, arrow_message

DOCS = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Code blocks of docs/events.md."""
    return re.findall(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)


def said(event: object) -> str:
    """What is wrong with one event."""
    [(place, fault, _)] = check_events(event if isinstance(event, bytes) else orjson.dumps(event))
    assert place == ""
    assert fault is not None
    return fault


def changed(kind: str = "coil.chunk", /, **fields: object) -> dict[str, Any]:
    return EXAMPLES[kind] | {"data": EXAMPLES[kind]["data"] | fields}


@pytest.mark.parametrize("name", [*EVENT_TYPES, *MQTT_PAYLOADS])
def test_every_example_is_right_over_lines_on_one_and_in_a_list(name: str) -> None:
    example = example_of(name)
    for content in (orjson.dumps(example, option=orjson.OPT_INDENT_2), orjson.dumps(example), orjson.dumps([example])):
        [(_, fault, what)] = check_events(content)
        assert fault is None
        assert what.startswith("right")


def test_the_examples_of_the_docs_are_right() -> None:
    [block] = blocks("json")
    assert check_events(block.encode())[0].what == "right, a coil.chunk of coil 226031456"
    [program] = blocks("python")
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102 - our own page
    assert check_events(names["value"])[0].what == "right, a coil.chunk of coil 226031456, 2 rows"
    assert not isinstance(decode_message(*arrow_message(names["value"])), EventFault)


@pytest.mark.parametrize(
    ("event", "parts"),
    [
        (changed(mean_g_m2=[1.0] * 8), ("data.mean_g_m2: has to have at least 9 values", "examples/coil.chunk.json")),
        (changed(face="left"), ("data.face: Input should be 'top' or 'bottom', got 'left'",)),
        (changed(coil_id=226031456), ("data.coil_id: Input should be a valid string, got 226031456",)),
        (changed("coil.started", zn_min_g_m2=130.0), ("zn_min 130 is not below zn_max 120",)),
        (EXAMPLES["coil.chunk"] | {"specversion": "0.3"}, ("specversion: Input should be '1.0', got '0.3'",)),
        (EXAMPLES["coil.chunk"] | {"type": "coil.weighed"}, ("type is 'coil.weighed', expected one of coil.started",)),
        (
            EXAMPLES["coil.chunk"] | {"dataschema": "urn:coilflow:coil.chunk:2.1.0"},
            ("the event is of coil.chunk version 2.1.0, this coilflow reads 1.x", "update coilflow"),
        ),
        ({"SID": ""}, ("as the plant's payload assesscoil: SID: String should have at least 1 character",)),
        ({"coil": "7"}, ("specversion and type are missing: it is no CloudEvent",)),
        (b"7", ("it is 7, expected a CloudEvent as a JSON object",)),
        (b"{", ("it is no JSON", "send one whole CloudEvent a line")),
        (b"\xff\xfe", ("it is no",)),
        (b"ARROW1\x00\x00", ("it is an Arrow file, expected an Arrow stream", "pyarrow.ipc.new_stream")),
        (arrow(leave=("face",)), ("has no column face",)),
        (arrow(compression="lz4"), ("is compressed", "let Kafka compress")),
    ],
)
def test_what_is_wrong_is_named_with_the_remedy(event: object, parts: tuple[str, ...]) -> None:
    fault = said(event)
    for part in parts:
        assert part in fault
    assert "; " in fault


def test_an_arrow_row_that_breaks_the_contract_is_named() -> None:
    envelope = {name: told for name, told in EXAMPLES["coil.chunk"].items() if name != "data"}
    line = envelope | {"datacontenttype": ARROW, "data_base64": b64encode(arrow({"face": ["top", "left"]})).decode()}
    assert said(line).startswith("row 2: a coil.chunk event is wrong: face: Input should be 'top' or 'bottom'")
    del line["id"]
    assert said(line).startswith("id: Field required")


def test_a_plants_own_names_are_right_by_its_mapping() -> None:
    data = dict(EXAMPLES["coil.chunk"]["data"])
    data["SID"] = data.pop("coil_id")
    event = orjson.dumps(EXAMPLES["coil.chunk"] | {"data": data})
    assert "data.coil_id: Field required" in said(event)
    names = FieldNames(fields={"coil.chunk": {"SID": "coil_id"}}, faces={})
    assert check_events(event, names)[0].fault is None


def test_lines_are_counted_as_an_editor_does() -> None:
    right = orjson.dumps(EXAMPLES["coil.chunk"])
    assert [place for place, _, _ in check_events(right + b"\n\n" + right + b"\n{\n")] == ["line 1", "line 3", "line 4"]
