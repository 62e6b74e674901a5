"""Promises of grey-level Parquet files as a source."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import SourceError
from schemas.layout import MATRIX_SHAPE
from tests.flows.given import grey_row, write_grey
from tests.flows.judging import judge


def test_grey_levels_become_a_matrix_from_the_coils_minimum_to_its_maximum(tmp_path: Path) -> None:
    row = grey_row("5", label="NOK")
    (judged,) = judge(str(write_grey(tmp_path / "coils.parquet", [row]))).coils
    want = np.array(row["grey"]).reshape(MATRIX_SHAPE) / 127.5 - 1
    np.testing.assert_allclose(judged.matrix, want, atol=1e-6)
    assert (judged.matrix.min(), judged.matrix.max()) == (-1.0, 1.0)
    assert judged.truth == "NOK"
    assert judged.verdict.observed == 1.0
    assert judged.record is not None
    assert judged.record.order is None


def test_labels_are_optional(tmp_path: Path) -> None:
    row = grey_row("5")
    del row["label"]
    (judged,) = judge(str(write_grey(tmp_path / "coils.parquet", [row]))).coils
    assert judged.truth is None


def test_fixed_size_lists_of_bytes_are_read_alike(tmp_path: Path) -> None:
    plain = judge(str(write_grey(tmp_path / "a.parquet", [grey_row("5")]))).digest()
    table = pq.read_table(tmp_path / "a.parquet")
    fixed = pa.array([grey_row("5")["grey"]], type=pa.list_(pa.uint8(), MATRIX_SHAPE[0] * MATRIX_SHAPE[1]))
    pq.write_table(table.set_column(table.schema.get_field_index("grey"), "grey", fixed), tmp_path / "b.parquet")
    assert judge(str(tmp_path / "b.parquet")).digest() == plain


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("grey", [0] * 4751, "grey holds 4751 levels, expected 264 × 18"),
        ("grey", [0] * 4753, "grey holds 4753 levels, expected 264 × 18"),
        ("grey", [], "grey holds 0 levels"),
        ("grey", None, "grey holds 0 levels"),
        ("grey", [256] + [0] * 4751, "no number from 0 to 255"),
        ("grey", [-1] + [0] * 4751, "no number from 0 to 255"),
        ("grey", [None] + [0] * 4751, "no number from 0 to 255"),
        ("label", "maybe", "label is 'maybe', expected OK, NOK or nothing"),
        ("coil_id", None, "coil_id is empty"),
        ("coil_id", "", "the coil id is empty"),
    ],
)
def test_a_bad_coil_is_a_reject_with_its_row_and_the_others_are_judged(
    tmp_path: Path, column: str, value: Any, said: str
) -> None:
    rows = [grey_row("1"), {**grey_row("2"), column: value}, grey_row("3")]
    outcome = judge(str(write_grey(tmp_path / "coils.parquet", rows)))
    assert outcome.judged == ["1", "3"]
    (reject,) = outcome.rejects
    assert reject.place == "coils.parquet, row 2"
    assert said in reject.error
    (original,) = pa.ipc.open_stream(reject.original)
    assert original.to_pylist() == [rows[1]]


def test_a_file_cut_in_the_middle_is_an_error(tmp_path: Path) -> None:
    file = write_grey(tmp_path / "coils.parquet", [grey_row("1"), grey_row("2")])
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(SourceError, match=r"coils\.parquet is no whole Parquet file"):
        judge(str(file))


def test_a_damaged_row_group_is_a_reject_and_the_others_are_judged(tmp_path: Path) -> None:
    file = tmp_path / "coils.parquet"
    table = pa.Table.from_pylist([grey_row(i) for i in "123"])
    pq.write_table(table, file, row_group_size=1, write_page_checksum=True, compression="none", use_dictionary=False)
    start = pq.ParquetFile(file).metadata.row_group(1).column(1).data_page_offset
    content = bytearray(file.read_bytes())
    content[start + 60 : start + 100] = b"\x55" * 40
    file.write_bytes(bytes(content))
    outcome = judge(str(file))
    assert outcome.judged == ["1", "3"]
    (reject,) = outcome.rejects
    assert reject.place == "coils.parquet, from row 2, row group 2"
    assert b"\x55" * 40 in reject.original


def test_a_missing_column_or_another_kind_of_grey_is_an_error_that_says_what_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "coils.parquet"
    for rows, said in (
        ([{"coil_id": "1", "gray": [1]}], "column grey is missing, found coil_id, gray"),
        ([{"coil_id": "1", "grey": b"123"}], "column grey is binary, expected a list of uint8"),
        ([{"coil_id": "1", "grey": [0.5]}], "expected a list of uint8"),
    ):
        with pytest.raises(SourceError, match=said) as caught:
            judge(str(write_grey(file, rows)))
        assert "264 × 18 uint8" in caught.value.remedy


def test_a_coil_that_comes_twice_is_judged_once_and_a_second_opinion_is_a_reject(tmp_path: Path) -> None:
    other = {**grey_row("2"), "grey": grey_row("3")["grey"]}
    outcome = judge(str(write_grey(tmp_path / "a.parquet", [grey_row("1"), grey_row("2"), grey_row("1"), other])))
    assert outcome.judged == ["1", "2"]
    assert "twice" in outcome.rejected["2"].error
