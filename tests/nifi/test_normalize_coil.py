"""NormalizeCoil alone: what it refuses, and what it keeps of it."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.nifi.normalize_coil import open_step
from flows.nifi.step import DEAD_LETTER, ERROR, REMEDY, STEP, SUCCESS, Hosted, StepResult
from models.ensemble import SHIPPED
from schemas.nifi_batches import read_batch
from tests.flows.given import csv_bytes, three
from tests.hosts.scenarios import SCENARIOS
from tests.nifi.test_both_roads import COLUMNS, as_arrow, as_csv, as_json_lines, assembled, due, mixed, wide


def run(content: bytes, **properties: str) -> StepResult:
    hosted = Hosted("normalize_coil", open_step)
    hosted.start({"Format": "detect", **properties})
    try:
        return hosted.run(content, {})
    finally:
        hosted.stop()


def refused(done: StepResult) -> str:
    """The sentence of a dead letter, whose content is kept."""
    assert done.relationship == DEAD_LETTER
    assert done.contents is None
    assert done.attributes[STEP] == "normalize_coil"
    assert done.attributes[REMEDY]
    return done.attributes[ERROR]


def arrow(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


@pytest.mark.parametrize("content", [b"", b" \n\n", b"\xef\xbb\xbf"])
def test_an_empty_flowfile_is_told_to_be_empty(content: bytes) -> None:
    assert "empty" in refused(run(content))


def test_arrow_of_another_shape_is_told_which_columns_are_missing() -> None:
    assert "COILID" in refused(run(arrow(pa.table({"a": [1], "b": ["x"]}))))


def test_matrices_are_no_coils() -> None:
    done = run(mixed([SCENARIOS["good"]]))
    assert done.contents is not None
    assert "COILID" in refused(run(done.contents))


def test_damaged_arrow_is_refused_and_kept() -> None:
    whole = as_arrow()
    for damaged in (whole[: len(whole) // 2], whole[:40], whole[:200] + bytes(64) + whole[264:]):
        refused(run(damaged))


def test_a_damaged_batch_of_coils_is_refused_and_kept() -> None:
    content, _ = assembled(due({"good": SCENARIOS["good"]}))
    assert run(content).relationship == SUCCESS
    refused(run(content[: len(content) // 2]))
    refused(run(content[: len(content) // 2], Format="coils"))


@given(st.binary(max_size=300))
def test_whatever_comes_is_a_result_and_never_an_error(content: bytes) -> None:
    assert run(content).relationship == DEAD_LETTER


def test_coils_of_the_inbox_go_on_also_where_all_are_refused_for_their_events_are_to_be_settled() -> None:
    content, _ = assembled(due({"negative": SCENARIOS["negative"]}))
    done = run(content)
    assert done.relationship == SUCCESS
    assert done.contents is not None
    batch = read_batch("matrices", done.contents)
    assert (batch.rows.num_rows, len(batch.rejects), len(batch.refused)) == (0, 1, 1)
    assert (done.attributes["coilflow.coils"], done.attributes["coilflow.rejects"]) == ("0", "1")


def test_coils_from_elsewhere_that_are_all_refused_stay_as_they_came_and_the_first_fault_is_told() -> None:
    said = refused(run(mixed([SCENARIOS["negative"], SCENARIOS["conflict"]])))
    assert "no coil can be used" in said
    assert "and 1 more" in said


def test_a_table_without_a_coils_band_is_told_what_is_missing() -> None:
    rows = wide(three())
    assert "ZnMin, ZnMax" in refused(run(csv_bytes(rows, COLUMNS[:5])))
    texts = [json.dumps({name: row[name] for name in COLUMNS[:5]}) for row in rows]
    assert "ZnMin, ZnMax" in refused(run("\n".join(texts).encode()))


def test_a_coil_whose_records_disagree_on_its_order_is_refused_alone() -> None:
    rows = wide(three())
    rows[3]["ZnMax"] = 180.0
    done = run(csv_bytes(rows, COLUMNS))
    assert done.contents is not None
    batch = read_batch("matrices", done.contents)
    assert batch.rows.column("coil_id").to_pylist() == ["2", "3"]
    [reject] = batch.rejects
    assert reject.key is not None
    assert reject.key.coil_id == "1"


def test_a_row_that_does_not_fit_is_refused_alone() -> None:
    done = run(as_csv() + b"one,two\n")
    assert done.contents is not None
    assert any("columns" in reject.error for reject in read_batch("matrices", done.contents).rejects)
    done = run(as_json_lines() + b"\nno json\n")
    assert done.contents is not None
    assert any("no JSON" in reject.error for reject in read_batch("matrices", done.contents).rejects)


def test_the_plant_of_coils_that_name_none_is_the_propertys() -> None:
    columns = [name for name in COLUMNS if name != "PLANT"]
    done = run(csv_bytes(wide(three()), columns), Plant="steyr")
    assert done.attributes["coilflow.plant"] == "steyr"
    assert done.attributes["coilflow.coils"] == "3"


def test_limits_are_the_shipped_ensembles_or_those_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "limits.json"
    file.write_text('{"low": -50, "high": 60}')
    shipped, own = open_step({}).limits, open_step({"Limits File": str(file)}).limits
    assert (own.low, own.high) == (-50, 60)
    manifest = json.loads((SHIPPED / "ensemble.json").read_text())
    assert (shipped.low, shipped.high) == (manifest["limits"]["low"], manifest["limits"]["high"])


@pytest.mark.parametrize(
    ("properties", "what"),
    [({"Format": "xml"}, "Format"), ({"Limits File": "/nowhere/limits.json"}, "limits.json")],
)
def test_a_wrong_property_is_named_and_no_content_is_lost(properties: dict[str, str], what: str) -> None:
    done = run(as_csv(), **properties)
    assert done.relationship == "failure"
    assert what in done.attributes[ERROR]
