"""Promises of `coilflow normalize`."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from schemas.coils import Limits
from schemas.matrices import MATRIX_BATCH, tensor_values
from tests.console.conftest import Coilflow, Write
from tests.flows.given import coil, grey_row, three, write_events, write_grey, write_tables
from tests.models.coils import LIMITS


def read(file: Path) -> pa.Table:
    with pa.memory_map(str(file)) as handle:
        return pa.ipc.open_file(handle).read_all()


def test_tables_and_events_give_equal_bytes(coilflow: Coilflow, place: Path) -> None:
    coils = [coil(str(i), level=90.0 + i, rows=20 + i) for i in range(5)]
    sources = [write_tables(coils, place / "line"), write_events(coils, place / "line.jsonl")]
    for number, source in enumerate(sources):
        assert coilflow("normalize", source, "--out", place / f"{number}.arrow").code == 0
    assert (place / "0.arrow").read_bytes() == (place / "1.arrow").read_bytes()


def test_simulated_tables_and_events_give_equal_bytes(coilflow: Coilflow, place: Path) -> None:
    for form in ("tables", "events"):
        assert coilflow("simulate", "--coils", 5, "--out", place / form, "--format", form, "--seed", 4).code == 0
    coilflow("normalize", place / "tables", "--out", place / "t.arrow")
    coilflow("normalize", place / "events" / "events.jsonl", "--out", place / "e.arrow")
    tables, events = read(place / "t.arrow"), read(place / "e.arrow")
    for column in ("coil_id", "revision", "matrix", "spread", "zn_min", "zn_max", "length_m", "customer"):
        assert tables[column].combine_chunks() == events[column].combine_chunks(), column


def test_the_file_holds_the_published_columns_and_says_which_limits(
    coilflow: Coilflow, write: Write, place: Path
) -> None:
    ran = coilflow("normalize", write(three()), "--out", place / "out.arrow")
    assert ran.code == 0
    assert f"3 coils in {place / 'out.arrow'}" in ran.out
    table = read(place / "out.arrow")
    assert table.schema == MATRIX_BATCH
    assert set(table["limits_version"].to_pylist()) == {LIMITS.version}
    assert set(table["scale"].to_pylist()) == {"limits"}


def test_limits_of_ones_own_scale_the_matrix(coilflow: Coilflow, place: Path) -> None:
    source = write_tables([coil("1", level=80.0)], place / "line")
    matrices = []
    for factor in (1, 2):
        limits = {"low": -40.0 * factor, "high": 60.0 * factor}
        (place / "limits.json").write_text(json.dumps(limits))
        assert coilflow("normalize", source, "--out", place / "o.arrow", "--limits", place / "limits.json").code == 0
        table = read(place / "o.arrow")
        assert table["limits_version"].to_pylist() == [Limits.model_validate(limits).version]
        matrices.append(tensor_values(table.to_batches()[0]).copy())
    assert matrices[0].min() < -0.2
    np.testing.assert_allclose(matrices[0], 2 * matrices[1], atol=1e-6)


def test_matrices_against_other_limits_are_not_judged(coilflow: Coilflow, place: Path) -> None:
    (place / "limits.json").write_text('{"low": -1, "high": 1}')
    source = write_tables(three(), place / "line")
    coilflow("normalize", source, "--out", place / "o.arrow", "--limits", place / "limits.json")
    ran = coilflow("assess", place / "o.arrow")
    assert ran.code == 1
    assert ran.err.count("without --limits") == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "holds no limits"),
        ('{"low": -1}', "high: Field required"),
        ('{"low": 1, "high": 2}', "low: Input should be less than 0"),
        ("[]", "holds no limits"),
        (None, "cannot be read"),
    ],
)
def test_wrong_limits_are_wrong_use(coilflow: Coilflow, place: Path, text: str | None, said: str) -> None:
    if text is not None:
        (place / "limits.json").write_text(text)
    source = write_tables(three(), place / "line")
    ran = coilflow("normalize", source, "--out", place / "o.arrow", "--limits", place / "limits.json")
    assert ran.code == 2
    assert said in ran.sentence()
    assert "http" not in ran.sentence()
    assert not (place / "o.arrow").exists()


def test_grey_levels_and_matrices_are_wrong_use(coilflow: Coilflow, place: Path) -> None:
    coilflow("normalize", write_events(three(), place / "line.jsonl"), "--out", place / "line.arrow")
    write_grey(place / "coils.parquet", [grey_row("1")])
    for name, said in (("coils.parquet", "grey levels, whose scale is lost"), ("line.arrow", "normalised")):
        ran = coilflow("normalize", place / name, "--out", place / "o.arrow")
        assert ran.code == 2
        assert said in ran.sentence()


@pytest.mark.parametrize("out", ["absent/o.arrow", "."])
def test_a_place_that_cannot_be_written_is_wrong_use(coilflow: Coilflow, place: Path, out: str) -> None:
    ran = coilflow("normalize", write_tables(three(), place / "line"), "--out", place / out)
    assert ran.code == 2
    assert "; " in ran.sentence()


def test_a_run_that_fails_leaves_the_former_file(coilflow: Coilflow, place: Path) -> None:
    folder = write_tables(three(), place / "line")
    coilflow("normalize", folder, "--out", place / "o.arrow")
    before = (place / "o.arrow").read_bytes()
    (folder / "tiles.csv").write_bytes(b"")
    assert coilflow("normalize", folder, "--out", place / "o.arrow").code == 1
    assert (place / "o.arrow").read_bytes() == before
    assert not list(place.glob("*.partial"))


def test_a_run_without_coils_leaves_the_file_of_the_run_before(coilflow: Coilflow, place: Path) -> None:
    good, none = write_tables([coil("1")], place / "good"), write_tables([coil("1", rows=1)], place / "none")
    assert coilflow("normalize", good, "--out", place / "x.arrow").code == 0
    before = (place / "x.arrow").read_bytes()
    assert coilflow("normalize", none, "--out", place / "x.arrow").code == 1
    assert (place / "x.arrow").read_bytes() == before
