"""A FlowFile of more records than can be held is told so before they are read, by their count, whatever its length."""

import io
from pathlib import Path

import pyarrow as pa
import pytest

from flows.nifi.bounds import MOST_BRACKETS, MOST_COILS, MOST_RECORDS, MOST_ROWS, MOST_VALUES
from flows.nifi.incoming import Format, read_coils
from flows.nifi.messages import messages_of
from flows.nifi.sample_for_review import SampleForReview
from schemas.errors import SourceError
from schemas.mapping import OUR_NAMES
from tests.nifi.running import PROCESSORS, Running, load

TILES = b"COILID,TILEID,MID,MEAN,ZnMin,ZnMax\n"
CHUNKS = b"coil_id,face,position," + b",".join(b"mean_g_m2_%d" % i for i in range(1, 10)) + b"\n"


def arrow(columns: dict[str, list[float]]) -> bytes:
    table, sink = pa.table(columns), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def long_arrow() -> bytes:
    """A few kB that are a million rows over and over."""
    schema, sink = pa.schema([("COILID", pa.float64())]), io.BytesIO()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        for _ in range(200):
            writer.write_batch(pa.record_batch([pa.array([0.0] * 100_000)], schema=schema))
    return sink.getvalue()


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("events", b"{}\n" * (MOST_RECORDS + 1)),
        ("events", b"[" + b"{}," * MOST_RECORDS + b"{}]"),
        ("tiles json", b"{}\n" * (MOST_RECORDS + 1)),
        ("tiles json", b"[" + b"{}," * MOST_RECORDS + b"{}]"),
        ("tiles json", b"[" + b"{}," * MOST_BRACKETS + b"{}]"),
        ("tiles json", b"[" + b"0," * MOST_VALUES + b"0]"),
        ("events", b'{"a":[' + b"0," * MOST_VALUES + b"0]}"),
        ("tiles csv", TILES + b"\n" * MOST_ROWS + b"1"),
        ("tiles csv", TILES + b"".join(b"%d,0,1234,1,1,2\n" % i for i in range(MOST_COILS + 1))),
        ("tiles csv", CHUNKS + b"\n" * MOST_RECORDS + b"1"),
        ("arrow", arrow(dict.fromkeys(("face", "position", "mean_g_m2"), [0.0] * (MOST_RECORDS + 1)))),
        ("arrow", arrow({"COILID": [0.0] * (MOST_ROWS + 1)})),
    ],
)
def test_whole_coils_of_too_many_records_are_refused_with_what_to_do(form: Format, content: bytes) -> None:
    with pytest.raises(SourceError, match=r"more than (10|250|1,000|8,000),000 ") as refused:
        list(read_coils(content, form, OUR_NAMES, plant="linz"))
    assert "FlowFiles" in refused.value.remedy


@pytest.mark.parametrize(
    "content",
    [
        b"{}\n" * (MOST_RECORDS + 1),
        b"[" + b"{}," * MOST_RECORDS + b"{}]",
        b"[" + b"0," * MOST_VALUES + b"0]",
        b'{"a":[' + b"0," * MOST_VALUES + b"0]}",
    ],
)
def test_messages_that_are_too_many_are_refused_with_what_to_do(content: bytes) -> None:
    with pytest.raises(SourceError) as refused:
        messages_of(content, {})
    assert "FlowFiles" in refused.value.remedy


def test_a_message_in_binary_mode_is_one_and_may_hold_as_many_values() -> None:
    with pytest.raises(SourceError, match="more than 8,000,000 values "):
        messages_of(b"[" + b"0," * MOST_VALUES + b"0]", {"ce_type": "coil.chunk"})


def test_arrow_that_is_far_longer_than_it_came_is_not_read_to_its_end() -> None:
    content = long_arrow()
    assert len(content) < 1_000_000
    without_its_end = content[: len(content) // 2]
    with pytest.raises(SourceError, match="more than 1,000,000 records"):
        list(read_coils(without_its_end, "arrow", OUR_NAMES, plant="linz"))


def test_as_many_as_are_allowed_pass() -> None:
    assert len(messages_of(b"{}\n" * MOST_RECORDS, {})) == MOST_RECORDS
    with pytest.raises(SourceError, match="more than 250,000 records"):
        SampleForReview().run(b"{}\n" * (MOST_RECORDS + 1), {})


def test_nifi_keeps_such_a_flowfile_and_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COILFLOW_DATA_DIR", str(tmp_path))
    processor = Running(load(PROCESSORS / "NormalizeCoil.py"))
    content = b"{}\n" * (MOST_RECORDS + 1)
    processor.schedule()
    done = processor.give(content)
    processor.stop()
    assert (done.relationship, done.content) == ("dead_letter", content)
    assert "more than 250,000 records" in done.attributes["coilflow.error"]
