"""Promises of normalised Arrow files as a source."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from flows.matrices import read_blocks
from flows.sources.open import open_source
from schemas.coils import Limits
from schemas.errors import SourceError
from schemas.matrices import MATRIX_BATCH, empty_batch, tensor_column, tensor_values
from tests.flows.given import three, write_events
from tests.flows.judging import MeanScorer, judge


@pytest.fixture
def batch(tmp_path: Path) -> pa.RecordBatch:
    """Coils 1, 2 and 3, normalised."""
    return normalized(tmp_path, MeanScorer.limits)


def normalized(folder: Path, limits: Limits) -> pa.RecordBatch:
    source = open_source(str(write_events(three(), folder / "line.jsonl")), plant="default")
    blocks = [block.batch for block in read_blocks(source, limits, coils=64, records=False)]
    return pa.Table.from_batches(blocks, schema=MATRIX_BATCH).combine_chunks().to_batches()[0]


def write(file: Path, batches: Sequence[pa.RecordBatch], *, stream: bool = False) -> str:
    with (
        pa.OSFile(str(file), "wb") as sink,
        (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, batches[0].schema) as writer,
    ):
        for each in batches:
            writer.write_batch(each)
    return str(file)


def one_by_one(batch: pa.RecordBatch) -> list[pa.RecordBatch]:
    return [batch.slice(i, 1) for i in range(batch.num_rows)]


def with_column(batch: pa.RecordBatch, name: str, values: Any) -> pa.RecordBatch:
    at = batch.schema.get_field_index(name)
    column = values if isinstance(values, pa.Array) else pa.array(values, type=batch.schema.field(at).type)
    return batch.set_column(at, pa.field(name, column.type), column)


@pytest.mark.parametrize("stream", [False, True])
def test_file_and_stream_form_give_the_verdicts_of_the_readings(
    tmp_path: Path, batch: pa.RecordBatch, *, stream: bool
) -> None:
    want = judge(str(tmp_path / "line.jsonl")).digest()
    assert judge(write(tmp_path / "coils.arrow", [batch], stream=stream)).digest() == want


def test_only_id_matrix_and_scale_are_needed(tmp_path: Path, batch: pa.RecordBatch) -> None:
    few = batch.select(["matrix", "coil_id", "scale"])
    first, second = (judge(write(tmp_path / "coils.arrow", [few])) for _ in range(2))
    assert first.judged == ["1", "2", "3"]
    assert {c.verdict.key.plant for c in first.coils} == {"default"}
    assert [c.verdict.revision for c in first.coils] == [c.verdict.revision for c in second.coils]
    assert all(len(c.verdict.revision) == 64 and c.verdict.observed == 1.0 for c in first.coils)


@pytest.mark.parametrize("column", ["coil_id", "matrix", "scale"])
def test_a_missing_column_is_an_error_that_names_it(tmp_path: Path, batch: pa.RecordBatch, column: str) -> None:
    names = [name for name in batch.schema.names if name != column]
    with pytest.raises(SourceError, match=f"coils.arrow: column {column} is missing"):
        judge(write(tmp_path / "coils.arrow", [batch.select(names)]))


def test_another_tensor_shape_is_an_error_that_names_both(tmp_path: Path, batch: pa.RecordBatch) -> None:
    cells = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(3 * 264 * 264, dtype=np.float32)), 264 * 264)
    square = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float32(), (264, 264)), cells)
    with pytest.raises(SourceError, match=r"264,264.*expected .*264,18"):
        judge(write(tmp_path / "coils.arrow", [with_column(batch, "matrix", square)]))


def test_a_column_of_another_kind_is_an_error(tmp_path: Path, batch: pa.RecordBatch) -> None:
    wrong = with_column(batch, "reasons", pa.array([1.5, 2.5, 3.5]))
    with pytest.raises(SourceError, match="a column is of another type"):
        judge(write(tmp_path / "coils.arrow", [wrong]))


def test_a_file_that_is_no_arrow_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "coils.arrow"
    file.write_bytes(b"coil_id,matrix\n1,2\n")
    with pytest.raises(SourceError, match=r"coils\.arrow is no Arrow IPC file"):
        judge(str(file))


@pytest.mark.parametrize("stream", [False, True])
def test_a_file_cut_in_the_middle_gives_the_batches_before_the_cut_and_a_reject(
    tmp_path: Path, batch: pa.RecordBatch, *, stream: bool
) -> None:
    file = Path(write(tmp_path / "coils.arrow", one_by_one(batch), stream=stream))
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * 8 // 10])
    outcome = judge(str(file))
    assert outcome.judged == ["1", "2"]
    reject = outcome.rejected[None]
    assert reject.place == "coils.arrow, batch 3"
    assert "ends or is damaged there" in reject.error
    assert reject.original
    assert content[: len(content) * 8 // 10].endswith(reject.original)


def test_a_file_cut_between_two_batches_says_that_something_is_missing(tmp_path: Path, batch: pa.RecordBatch) -> None:
    two = Path(write(tmp_path / "two.arrow", one_by_one(batch)[:2], stream=True)).read_bytes()
    file = Path(write(tmp_path / "coils.arrow", one_by_one(batch)))
    file.write_bytes(file.read_bytes()[: len(two)])  # a file begins with eight bytes more, a stream ends with them
    outcome = judge(str(file))
    assert outcome.judged == ["1", "2"]
    assert outcome.rejected[None].place == "coils.arrow, batch 3"


def test_a_batch_that_is_damaged_is_a_reject_and_those_behind_it_are_judged(
    tmp_path: Path, batch: pa.RecordBatch
) -> None:
    file = Path(write(tmp_path / "coils.arrow", one_by_one(batch)))
    content = bytearray(file.read_bytes())
    marks = [i for i in range(8, len(content) - 8, 8) if content[i : i + 4] == b"\xff\xff\xff\xff" and content[i + 4]]
    content[marks[2] + 8 : marks[2] + 40] = b"\x7f" * 32  # metadata of the second batch: marks[0] is the schema's
    file.write_bytes(bytes(content))
    outcome = judge(str(file))
    assert outcome.judged == ["1", "3"]
    assert outcome.rejected[None].place == "coils.arrow, batch 2"


def test_mixed_scales_are_each_scored_on_their_own(tmp_path: Path, batch: pa.RecordBatch) -> None:
    mixed = with_column(batch, "scale", ["limits", "self", "limits"])
    assert sorted(judge(write(tmp_path / "coils.arrow", [mixed])).judged) == ["1", "2", "3"]


def test_a_matrix_with_a_nan_or_out_of_range_is_a_reject_of_its_coil(tmp_path: Path, batch: pa.RecordBatch) -> None:
    values = tensor_values(batch).copy()
    values[0, 5, 3], values[2, 9, 9] = np.nan, 1.5
    outcome = judge(write(tmp_path / "coils.arrow", [with_column(batch, "matrix", tensor_column(values))]))
    assert outcome.judged == ["2"]
    assert "no number in [-1, 1]" in outcome.rejected["1"].error
    assert "no number in [-1, 1]" in outcome.rejected["3"].error
    (kept,) = pa.ipc.open_stream(outcome.rejected["3"].original)
    assert tensor_values(kept)[0, 9, 9] == 1.5


def test_other_limits_are_a_reject_that_names_both_versions(tmp_path: Path) -> None:
    other = Limits(low=-1.0, high=2.0)
    outcome = judge(write(tmp_path / "coils.arrow", [normalized(tmp_path, other)]))
    assert not outcome.coils
    assert f"with limits {other.version}, the ensemble's are {MeanScorer.limits.version}" in outcome.rejected["1"].error


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("scale", "grey", "scale is 'grey', expected limits or self"),
        ("scale", None, "scale is None, expected limits or self"),
        ("label", "maybe", "label is 'maybe', expected OK, NOK or nothing"),
        ("observed", None, "observed is None"),
        ("observed", 1.5, "observed is 1.5"),
        ("zn_min", 130.0, "zn_min 130 is not below zn_max 120 g/m²"),
        ("zn_min", None, "half a band"),
        ("zn_max", float("nan"), "zn_max_g_m2: input should be a finite number"),
        ("length_m", -5.0, "length_m: input should be greater than 0"),
        ("coil_id", "", "the coil id is empty"),
        ("coil_id", "2\x00", "coil id holds a NUL character"),
        ("coil_id", None, "coil_id is empty"),
    ],
)
def test_a_bad_cell_rejects_its_coil_alone(
    tmp_path: Path, batch: pa.RecordBatch, column: str, value: object, said: str
) -> None:
    values = batch.column(column).to_pylist()
    outcome = judge(write(tmp_path / "a.arrow", [with_column(batch, column, [values[0], value, values[2]])]))
    assert outcome.judged == ["1", "3"]
    (reject,) = outcome.rejects
    assert said in reject.error
    assert reject.place == "a.arrow, batch 1, row 2"
    assert reject.original


def test_an_empty_matrix_rejects_its_coil_alone(tmp_path: Path, batch: pa.RecordBatch) -> None:
    matrix = batch.column("matrix").take(pa.array([0, None, 2]))
    outcome = judge(write(tmp_path / "coils.arrow", [with_column(batch, "matrix", matrix)]))
    assert outcome.judged == ["1", "3"]
    assert outcome.rejected["2"].error == "the matrix is empty"


def test_a_coil_that_comes_twice_is_judged_once_and_a_second_opinion_is_a_reject(
    tmp_path: Path, batch: pa.RecordBatch
) -> None:
    same, other = batch.slice(1, 1), with_column(batch.slice(1, 1), "revision", ["f" * 64])
    outcome = judge(write(tmp_path / "coils.arrow", [batch, same.cast(batch.schema), other.cast(batch.schema)]))
    assert outcome.judged == ["1", "2", "3"]
    assert "the coil stands there twice, with different matrices" in outcome.rejected["2"].error


def test_a_file_without_coils_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"coils\.arrow holds no coil"):
        judge(write(tmp_path / "coils.arrow", [empty_batch()]))
