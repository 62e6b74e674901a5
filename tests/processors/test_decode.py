"""Messages are decoded whatever form of CloudEvents they come in, and none of them raises."""

import json
from base64 import b64encode
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.decode import MOST_DATA_BYTES, ChunkEvent, EventFault, decode_message, decoder, structured_line
from processors.envelope import ARROW, event_id_of
from processors.event_rows import FieldNames
from schemas.coils import CoilKey
from schemas.contracts import example_of
from schemas.rejects import Headers
from schemas.versions import dataschema

EXAMPLES = {kind: example_of(kind) for kind in ("coil.started", "coil.chunk", "coil.ended")}
KEY = CoilKey(plant="linz-hdg2", coil_id="226031456")


def headers_of(event: dict[str, Any], **changed: bytes | None) -> list[tuple[str, bytes]]:
    """The envelope as headers of Kafka's binary mode; None leaves one out."""
    told: dict[str, Any] = {
        f"ce_{name}": str(value).encode() for name, value in event.items() if name not in ("data", "datacontenttype")
    }
    told["content-type"] = b"application/json"
    told |= {name.replace("content_type", "content-type"): value for name, value in changed.items()}
    return [(name, value) for name, value in told.items() if value is not None]


def binary(kind: str, **changed: bytes | None) -> tuple[bytes, list[tuple[str, bytes]]]:
    """An example event in binary mode."""
    return orjson.dumps(EXAMPLES[kind]["data"]), headers_of(EXAMPLES[kind], **changed)


def arrow(columns: dict[str, Any] | None = None, *, leave: tuple[str, ...] = (), **options: Any) -> bytes:
    """An Arrow stream with two rows of the coil."""
    nine = pa.array([[110.0 + i for i in range(9)], [111.0 + i for i in range(9)]], pa.list_(pa.float64(), 9))
    told = {
        "plant": pa.array([KEY.plant] * 2),
        "coil_id": pa.array([KEY.coil_id] * 2),
        "face": pa.array(["top", "bottom"]),
        "position": pa.array([0.0, 29.0]),
        "mean_g_m2": nine,
    }
    told |= columns or {}
    table = pa.table({name: column for name, column in told.items() if name not in leave})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def arrow_message(content: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    return content, headers_of(EXAMPLES["coil.chunk"], content_type=ARROW.encode())


def events(value: bytes | None, headers: Headers = ()) -> tuple[ChunkEvent, ...]:
    found = decode_message(value, headers)
    assert not isinstance(found, EventFault), found
    return found


def fault(value: bytes | None, headers: Headers = ()) -> EventFault:
    found = decode_message(value, headers)
    assert isinstance(found, EventFault), found
    return found


@pytest.mark.parametrize("kind", EXAMPLES)
def test_binary_and_structured_mode_say_the_same(kind: str) -> None:
    want = (ChunkEvent(kind, KEY, EXAMPLES[kind]["data"]),)
    value, headers = binary(kind)
    line = orjson.dumps(EXAMPLES[kind])
    assert events(value, headers) == want
    assert events(line) == want
    assert events(line, [("content-type", b"application/cloudevents+json; charset=UTF-8")]) == want
    assert events(line, [("traceparent", b"00-1")]) == want


@pytest.mark.parametrize(
    "media", [b"application/json", b"Application/JSON; charset=utf-8", None, b"application/x+json"]
)
def test_every_way_to_say_json_is_read(media: bytes | None) -> None:
    value, headers = binary("coil.chunk", content_type=media)
    assert events(value, headers)[0].data == EXAMPLES["coil.chunk"]["data"]


def test_unknown_fields_headers_and_attributes_are_kept_or_passed_over() -> None:
    value, headers = binary("coil.chunk", ce_traceparent=b"00-1", shift=b"\xff")
    data = orjson.loads(value) | {"shift": {"name": "night"}}
    assert events(orjson.dumps(data), headers)[0].data == data
    assert orjson.loads(structured_line(value, headers))["traceparent"] == "00-1"


@pytest.mark.parametrize("version", ["1.0.0", "1.7.0", "1.99.3"])
@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_newer_minor_version_is_read(kind: str, version: str) -> None:
    schema = dataschema(kind).replace("1.0.0", version)
    assert events(*binary(kind, ce_dataschema=schema.encode()))
    assert events(orjson.dumps(EXAMPLES[kind] | {"dataschema": schema}))


def test_a_plants_own_schema_says_nothing_of_our_version() -> None:
    assert events(*binary("coil.chunk", ce_dataschema=b"https://schemas.plant.example/chunk/7"))


@pytest.mark.parametrize("version", ["2.0.0", "10.1.0", "12345678901.0.0"])
def test_a_newer_major_version_is_refused_by_name_and_its_coil_is_known(version: str) -> None:
    schema = dataschema("coil.chunk").replace("1.0.0", version)
    for found in (
        fault(*binary("coil.chunk", ce_dataschema=schema.encode())),
        fault(orjson.dumps(EXAMPLES["coil.chunk"] | {"dataschema": schema})),
    ):
        assert found.error == f"the event is of coil.chunk version {version}, this coilflow reads 1.x"
        assert found.remedy == "update coilflow, or send version 1"
        assert (found.key, found.aside) == (KEY, False)


@pytest.mark.parametrize("schema", ["urn:coilflow:coil.ended:1.0.0", "urn:coilflow:coil.chunk:next", "urn:coilflow:"])
def test_a_schema_of_ours_that_fits_no_version_is_refused(schema: str) -> None:
    assert "is no version of coil.chunk" in fault(*binary("coil.chunk", ce_dataschema=schema.encode())).error


def test_a_type_of_another_topic_is_set_aside() -> None:
    value, headers = binary("coil.chunk", ce_type=b"coil.weighed")
    found = fault(value, headers)
    assert (found.aside, found.key) == (True, KEY)


def test_another_standard_is_refused() -> None:
    assert fault(*binary("coil.chunk", ce_specversion=b"0.3")).error == "specversion is '0.3', expected '1.0'"
    assert fault(*binary("coil.chunk", ce_specversion=None)).error == "specversion is '', expected '1.0'"


def test_a_tombstone_is_a_fault() -> None:
    assert fault(None, headers_of(EXAMPLES["coil.chunk"])).error == "the message has no value"
    assert fault(None).error == "the message has no value"


def test_fifty_megabytes_are_refused_unread() -> None:
    _, headers = binary("coil.chunk")
    for found in (fault(b"[" * 50_000_000, headers), fault(b"[" * 50_000_000)):
        assert found.error == "the message has 47.7 MiB, at most 16 MiB are read"
    assert "is no JSON" not in fault(b"[" * (MOST_DATA_BYTES + 1), headers).error


@pytest.mark.parametrize(
    ("name", "got"),
    [
        (226031456, "226031456"),
        ("", "''"),
        (None, "None"),
        (True, "True"),
        (["a"], "['a']"),
        ({"a": "b"}, "an object"),
        ("a\u0000", r"'a\x00'"),
        ("x" * 201, "'" + "x" * 58 + "…"),
    ],
)
def test_a_coil_id_that_is_no_printable_text_is_refused_and_shown(name: object, got: str) -> None:
    data = EXAMPLES["coil.chunk"]["data"] | {"coil_id": name}
    for found in (
        fault(orjson.dumps(data), headers_of(EXAMPLES["coil.chunk"])),
        fault(orjson.dumps(EXAMPLES["coil.chunk"] | {"data": data})),
    ):
        assert found.error == f"plant and coil_id must be text of 1 to 200 printable signs, got 'linz-hdg2' and {got}"
        assert found.key is None


def test_a_nan_reaches_the_coil_in_both_modes() -> None:
    data = EXAMPLES["coil.chunk"]["data"] | {"mean_g_m2": [float("nan")] * 9}
    value, headers = json.dumps(data).encode(), headers_of(EXAMPLES["coil.chunk"])
    assert str(events(value, headers)[0].data) == str(data)
    assert str(events(structured_line(value, headers))[0].data) == str(data)


@pytest.mark.parametrize("media", [b"text/xml", b"application/cloudevents+avro", b"application/avro", b"\xff"])
def test_a_content_type_that_we_do_not_read_is_named(media: bytes) -> None:
    assert "content" in fault(*binary("coil.chunk", content_type=media)).error


def test_the_id_of_a_message_is_there_for_logs() -> None:
    assert event_id_of(binary("coil.chunk")[1]) == "226031456-17"
    assert event_id_of([]) is None


def test_arrow_rows_are_chunk_events_in_every_mode() -> None:
    value, headers = arrow_message(arrow())
    envelope = {name: told for name, told in EXAMPLES["coil.chunk"].items() if name != "data"}
    line = orjson.dumps(envelope | {"datacontenttype": ARROW, "data_base64": b64encode(value).decode()})
    first, second = events(value, headers)
    assert first == ChunkEvent(
        "coil.chunk",
        KEY,
        {
            "plant": KEY.plant,
            "coil_id": KEY.coil_id,
            "face": "top",
            "position": 0.0,
            "mean_g_m2": [110.0 + i for i in range(9)],
        },
    )
    assert second.data["face"] == "bottom"
    assert events(line) == events(structured_line(value, headers)) == (first, second)


def test_arrow_takes_optional_columns_other_lists_and_unknown_columns() -> None:
    free = pa.array([[1.0] * 9, [2.0] * 9], pa.large_list(pa.float64()))
    holes = pa.array([None, [0.5] * 9], pa.list_(pa.float64(), 9))
    columns = {"mean_g_m2": free, "std_g_m2": holes, "count": pa.array([3, 4]), "shift": pa.array(["a", "b"])}
    first, second = events(*arrow_message(arrow(columns)))
    assert (first.data["mean_g_m2"], first.data["std_g_m2"], first.data["count"]) == ([1.0] * 9, None, 3)
    assert second.data["std_g_m2"] == [0.5] * 9
    assert "shift" not in first.data


EIGHT = pa.array([[1.0] * 8] * 2, pa.list_(pa.float64(), 8))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no sound Arrow stream"),
        (b"ARROW1\x00\x00", "no sound Arrow stream"),
        (arrow()[:-200], "no sound Arrow stream"),
        (arrow(leave=("face",)), "has no column face"),
        (arrow({"mean_g_m2": EIGHT}), "column mean_g_m2 is fixed_size_list<item: double>[8], expected"),
        (arrow({"mean_g_m2": pa.array([[1.0] * 9, [1.0] * 8])}), "column mean_g_m2 has rows of 8 values, expected 9"),
        (arrow({"mean_g_m2": pa.array([[1] * 9] * 2, pa.list_(pa.int64(), 9))}), "column mean_g_m2 is"),
        (arrow({"mean_g_m2": pa.array([None, [1.0] * 9], pa.list_(pa.float64(), 9))}), "has 1 empty cells"),
        (arrow({"position": pa.array(["0", "1"])}), "column position is string, expected double"),
        (arrow({"face": pa.array(["top", None])}), "column face has 1 empty cells"),
        (arrow({"face": pa.array(["top", "top"]).dictionary_encode()}), "dictionary-encoded"),
        (arrow({"coil_id": pa.array(["1", "2"])}), "more than one coil"),
        (arrow(compression="zstd"), "compressed"),
        (arrow(compression="lz4"), "compressed"),
        (arrow() + arrow(), None),
    ],
)
def test_an_unsound_arrow_stream_is_a_fault(content: bytes, said: str | None) -> None:
    if said is None:
        assert len(events(*arrow_message(content))) == 2  # what follows the end of the stream is nobody's
    else:
        assert said in fault(*arrow_message(content)).error


def test_an_arrow_stream_without_rows_with_too_many_or_too_large_is_a_fault() -> None:
    table = pa.ipc.open_stream(arrow()).read_all()

    def stream(rows: pa.Table) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        content: bytes = sink.getvalue().to_pybytes()
        return content

    assert "has no rows" in fault(*arrow_message(stream(table.slice(0, 0)))).error
    many = table.take(pa.array(np.zeros(20_001, dtype=np.int64)))
    assert "more than 20000 rows" in fault(*arrow_message(stream(many))).error
    assert "at most 8 MiB are read" in fault(*arrow_message(arrow() + b"\x00" * 2**23)).error


def test_a_start_in_arrow_is_a_fault() -> None:
    headers = headers_of(EXAMPLES["coil.started"], content_type=ARROW.encode())
    assert fault(arrow(), headers).error == "only coil.chunk events may carry Arrow"


@pytest.mark.parametrize(("opened", "closed"), [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
@pytest.mark.parametrize("field", [b"note", b"plant"])
def test_data_nested_deeper_than_python_can_compare_are_a_fault(field: bytes, opened: bytes, closed: bytes) -> None:
    deep = opened * 1000 + b"0" + closed * 1000
    data = b'{"plant":"p","coil_id":"7","' + field + b'":' + deep + b"}"
    structured = b'{"specversion":"1.0","type":"coil.started","data":' + data + b"}"
    for value, headers in ((data, headers_of(EXAMPLES["coil.started"])), (structured, ())):
        found = decode_message(value, headers)
        assert isinstance(found, EventFault)
        assert found.error.endswith("nested more than 300 deep")


def test_many_brackets_side_by_side_are_no_fault() -> None:
    data = EXAMPLES["coil.started"]["data"] | {"history": [[{"by": [1]}]] * 500}
    assert decode_message(orjson.dumps(data), headers_of(EXAMPLES["coil.started"])) == (
        ChunkEvent("coil.started", KEY, data),
    )


def test_a_plants_own_names_are_read_as_ours_in_every_form() -> None:
    names = FieldNames(
        fields={"coil.chunk": {"mill": "plant", "SID": "coil_id", "side": "face", "zn": "mean_g_m2"}},
        faces={"OS": "top", "US": "bottom"},
    )
    theirs = {"mill": "linz", "SID": "7", "side": "OS", "position": 0.0, "zn": [1.0] * 9, "shift": "x"}
    ours = {"plant": "linz", "coil_id": "7", "face": "top", "position": 0.0, "mean_g_m2": [1.0] * 9, "shift": "x"}
    decode = decoder(names)
    value, headers = orjson.dumps(theirs), headers_of(EXAMPLES["coil.chunk"])
    want = (ChunkEvent("coil.chunk", CoilKey(plant="linz", coil_id="7"), ours),)
    assert decode(value, headers) == want
    assert decode(structured_line(value, headers), ()) == want
    table = pa.ipc.open_stream(arrow({"face": pa.array(["OS", "US"])})).read_all()
    sink = pa.BufferOutputStream()
    renamed = table.rename_columns(["mill", "SID", "side", "position", "zn"])
    with pa.ipc.new_stream(sink, renamed.schema) as writer:
        writer.write_table(renamed)
    rows = decode(*arrow_message(sink.getvalue().to_pybytes()))
    assert not isinstance(rows, EventFault)
    assert [row.data["face"] for row in rows] == ["top", "bottom"]
    assert decoder(None) is decode_message


names = st.text(max_size=20)
leaf = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | names
)
document = st.recursive(leaf, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4))
header_values = st.none() | st.binary(max_size=30) | st.sampled_from([b"1.0", b"coil.chunk", ARROW.encode(), b"[]"])
some_headers = st.lists(
    st.tuples(
        st.sampled_from(["ce_type", "ce_specversion", "ce_id", "ce_dataschema", "content-type", "ce_data", "x"]),
        header_values,
    ),
    max_size=6,
)


def same(value: bytes | None, headers: Any) -> None:
    """A message and its line say the same, or both are faults."""
    found, again = decode_message(value, headers), decode_message(structured_line(value, headers))
    assert b"\n" not in structured_line(value, headers)
    assert isinstance(found, EventFault) == isinstance(again, EventFault), (found, again)
    if not isinstance(found, EventFault):
        assert repr(again) == repr(found)


@given(value=st.none() | st.binary(max_size=200), headers=some_headers)
def test_no_bytes_and_no_headers_raise(value: bytes | None, headers: Any) -> None:
    same(value, headers)


@given(
    kind=st.sampled_from(list(EXAMPLES)),
    extra=st.dictionaries(names, document, max_size=3),
    indent=st.sampled_from([None, 1]),
    attribute=st.dictionaries(st.from_regex(r"\A[a-z0-9]{1,10}\Z"), st.binary(max_size=20), max_size=2),
)
def test_a_message_and_its_line_say_the_same(kind: str, extra: Any, indent: Any, attribute: Any) -> None:
    data = extra | EXAMPLES[kind]["data"]
    value = json.dumps(data, indent=indent).encode()
    headers = headers_of(
        EXAMPLES[kind],
        **{f"ce_{name}": told for name, told in attribute.items()}
        | {"ce_type": kind.encode(), "ce_specversion": b"1.0", "ce_dataschema": None},
    )
    assert events(value, headers)[0].data == events(structured_line(value, headers))[0].data
    line = json.dumps(EXAMPLES[kind] | {"data": data}, indent=indent).encode()
    assert events(line) == events(structured_line(line, ())) == events(value, headers)


@given(data=st.data())
@settings(max_examples=300)
def test_a_message_damaged_anywhere_is_a_value(data: st.DataObject) -> None:
    whole = [
        binary("coil.chunk"),
        (orjson.dumps(EXAMPLES["coil.chunk"]), []),
        arrow_message(arrow()),
        (structured_line(*arrow_message(arrow())), []),
    ]
    value, headers = data.draw(st.sampled_from(whole))
    damaged = bytearray(value)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
        if not damaged:
            break
    same(bytes(damaged), headers)
