"""Whatever a FlowFile holds or lacks, each processor says what was wrong, keeps it, and works on with the next one."""

import io
import os
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest

from schemas.nifi_batches import COILS, MATRICES, VERDICTS
from store.coils import counts
from store.connection import connect
from tests.flows.given import coil, events_of
from tests.nifi.running import PROCESSORS, TRANSFORMS, Running, load
from tests.waiting import wait_until

ERROR, STEP, REMEDY = "coilflow.error", "coilflow.step", "coilflow.remedy"
READERS = sorted(set(TRANSFORMS) - {"ScoreModels"})  # which takes anything for a tick
GB = 2**30


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("COILFLOW_") and "TEST" not in name]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COILFLOW_DATA_DIR", str(tmp_path / "data"))


def running(name: str, dsn: str | None = None, **properties: str) -> Running:
    kind = load(PROCESSORS / f"{name}.py")
    known = {one.name for one in kind().getPropertyDescriptors()}
    given = {key.replace("_", " "): text for key, text in properties.items()}
    return Running(kind, {"Database DSN": dsn, **given} if dsn and "Database DSN" in known else given)


def arrow(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def claims_to_be(kind: str, schema: pa.Schema, *, change: str | None = None) -> bytes:
    """Arrow that says it is ours: with a column less, or with one whose type has another shape."""
    fields = [field for field in schema if field.name != "plant"]
    if change is not None:
        fields = [pa.field(f.name, pa.list_(pa.float32(), 3)) if f.name == change else f for f in schema]
    said = {b"coilflow.kind": kind.encode(), b"coilflow.rejects": b"[]", b"coilflow.refused": b"[]"}
    return arrow(pa.Table.from_pylist([], schema=pa.schema(fields, metadata=said)))


def says_wrong_things(kind: str, schema: pa.Schema) -> bytes:
    """Arrow of our schema whose metadata are none of ours."""
    said = {b"coilflow.kind": kind.encode(), b"coilflow.rejects": b'[{"step": 1}]', b"coilflow.refused": b"{"}
    return arrow(pa.Table.from_pylist([], schema=schema.with_metadata(said)))


BAD = {
    "a picture": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "zeros": b"\x00" * 100,
    "XML": b"<?xml version='1.0'?><coil/>",
    "prose": b"all is well",
    "half an object": b'{"specversion": "1.0", "type": "coil.chunk", "da',
    "another array": b"[1, 2, 3]",
    "another object": b'{"temperature": 460}',
    "no Unicode": b"\xff\xfe{}",
    "a deep one": b"[" * 5000 + b"]" * 5000,
    "CSV of other columns": b"a,b\n1,2\n",
    "Arrow of other columns": arrow(pa.table({"a": [1], "b": ["x"]})),
    "Arrow cut off": arrow(pa.table({"COILID": ["7"] * 1000}))[:300],
    "coils of another shape": claims_to_be("coils", COILS),
    "matrices of another shape": claims_to_be("matrices", MATRICES, change="matrix"),
    "verdicts of another shape": claims_to_be("verdicts", VERDICTS),
    "coils with other metadata": says_wrong_things("coils", COILS),
    "matrices with other metadata": says_wrong_things("matrices", MATRICES),
    "verdicts with other metadata": says_wrong_things("verdicts", VERDICTS),
}


@pytest.mark.parametrize("name", READERS)
def test_content_of_another_type_or_shape_is_kept_with_the_reason(database: str, name: str) -> None:
    processor = running(name, database)
    processor.schedule()
    for what, content in BAD.items():
        done = processor.give(content, {"uuid": what, "filename": "theirs"})
        assert (done.relationship, done.content) == ("dead_letter", content), what
        assert done.attributes[ERROR], what
        assert done.attributes[REMEDY], what
        assert not done.attributes[ERROR].startswith("unexpected "), (what, done.attributes[ERROR])
        assert done.attributes["filename"] == "theirs"
    assert len(processor.logger.bulletins) == len(BAD)
    processor.stop()


@pytest.mark.parametrize(
    ("name", "relationship"),
    [
        ("AssembleCoil", "waiting"),  # a tick
        ("JoinFeedback", "dead_letter"),
        ("NormalizeCoil", "dead_letter"),
        ("RecordVerdict", "dead_letter"),
        ("SampleForReview", "success"),  # no verdict stands
        ("ScoreCoil", "dead_letter"),
        ("ScoreModels", "unchanged"),  # a tick
    ],
)
def test_an_empty_flowfile_is_a_tick_or_is_kept_with_the_reason(database: str, name: str, relationship: str) -> None:
    processor = running(name, database)
    processor.schedule()
    done = processor.give(b"", {"uuid": "1"})
    processor.stop()
    assert (done.relationship, done.content) == (relationship, b"")
    assert (ERROR in done.attributes) == (relationship == "dead_letter")


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_gigabyte_is_not_read_and_the_next_flowfile_is(database: str, name: str) -> None:
    processor = running(name, database)
    processor.schedule()
    huge = processor.give(b"", {"uuid": "1"}, size=GB)
    after = processor.give(b"", {"uuid": "2"})
    processor.stop()
    assert huge.relationship == "dead_letter"
    assert "1,024 MB" in huge.attributes[ERROR]
    assert "split it" in huge.attributes[REMEDY]
    assert "1,024 MB" not in after.attributes.get(ERROR, "")


def in_attributes(event: dict[str, Any], *, less: str) -> dict[str, str]:
    """What ConsumeKafka makes of an event in binary mode, without one of its attributes."""
    envelope = {f"ce_{name}": str(text) for name, text in event.items() if name != "data"}
    attributes = {**envelope, "content-type": "application/json", "uuid": "1"}
    del attributes[less]
    return attributes


@pytest.mark.parametrize("missing", ["ce_id", "ce_source", "content-type", "uuid"])
def test_an_event_that_lacks_an_attribute_but_says_all_of_its_coil_is_heard(database: str, missing: str) -> None:
    processor = running("AssembleCoil", database)
    processor.schedule()
    events = events_of(coil("7"))
    given = [processor.give(orjson.dumps(one["data"]), in_attributes(one, less=missing)) for one in events]
    processor.stop()
    assert [one.relationship for one in given] == ["waiting"] * (len(events) - 1) + ["success"]
    with connect(database) as connection:
        assert counts(connection).dead_letters == 0


def test_an_event_without_its_version_rejects_its_coil_as_in_kafka(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COILFLOW_STREAM__DEADLINE_S", "0.001")
    processor = running("AssembleCoil", database)
    processor.schedule()
    chunk = events_of(coil("7"))[1]
    given = processor.give(orjson.dumps(chunk["data"]), in_attributes(chunk, less="ce_specversion"))
    assert given.relationship == "waiting"
    with connect(database) as connection:
        wait_until(lambda: processor.give(b"") and counts(connection).dead_letters)
        [letter] = connection.execute("select coil_id, error, original from coilflow.dead_letters").fetchall()
    processor.stop()
    assert (letter["coil_id"], "specversion" in letter["error"]) == ("7", True)
    assert orjson.loads(letter["original"])["data"] == chunk["data"]


def test_an_event_whose_type_is_missing_is_named_with_what_to_compare_it_with(database: str) -> None:
    processor = running("AssembleCoil", database)
    processor.schedule()
    content = orjson.dumps(events_of(coil("7"))[1]["data"])
    done = processor.give(content, {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/gauge"})
    processor.stop()
    assert (done.relationship, done.content) == ("dead_letter", content)
    assert "type" in done.attributes[ERROR]
    assert "schemas/examples" in done.attributes[REMEDY]


def test_feedback_without_any_attribute_is_stored(database: str) -> None:
    processor = running("JoinFeedback", database)
    processor.schedule()
    done = processor.give(b'{"COILID": "a", "LABEL": 1}', {})
    processor.stop()
    assert done.relationship == "success"


@pytest.mark.parametrize("name", ["NormalizeCoil", "ScoreCoil"])
def test_without_its_bundle_a_flowfile_waits_in_failure_and_goes_on_once_it_is_there(
    database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv("COILFLOW_ENSEMBLE", str(tmp_path / "no ensemble"))
    processor = running(name, database)
    processor.schedule()
    done = processor.give(b"coils", {"uuid": "1"})
    processor.stop()
    assert (done.relationship, done.content) == ("failure", b"coils")
    assert "no ensemble" in done.attributes[ERROR]
    assert done.attributes[REMEDY]
    monkeypatch.delenv("COILFLOW_ENSEMBLE")
    processor.schedule()
    after = processor.give(b"coils", {"uuid": "1"})
    processor.stop()
    assert after.relationship == "dead_letter"  # for what it is


@pytest.mark.parametrize(
    ("name", "property_", "text", "said"),
    [
        ("AssembleCoil", "Lease", "86401", "Lease"),
        ("AssembleCoil", "Batch Coils", "2147483647", "Batch Coils"),
        ("AssembleCoil", "Database DSN", "no such database", "database DSN"),
    ],
)
def test_a_property_out_of_range_that_no_validator_sees_is_named_with_every_flowfile(
    database: str, name: str, property_: str, text: str, said: str
) -> None:
    processor = running(name, database, **{property_: text})
    processor.schedule()
    for _ in range(2):
        done = processor.give(b"{}", {"uuid": "1"})
        assert (done.relationship, done.content) == ("failure", b"{}")
        assert said in done.attributes[ERROR]
        assert done.attributes[REMEDY]
    processor.stop()


def test_what_is_wrong_is_told_in_short_however_long_it_is() -> None:
    processor = running("NormalizeCoil")
    processor.schedule()
    done = processor.give(b"x" * 5_000_000, {"uuid": "long", "filename": "theirs"})
    assert done.relationship == "dead_letter"
    assert "column COILID" in done.attributes[ERROR]
    assert len(done.attributes[ERROR]) == 2000
