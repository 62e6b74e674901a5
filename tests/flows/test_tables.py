"""Promises of the plant's tables as a source."""

from pathlib import Path

import numpy as np
import pytest

from schemas.errors import SourceError
from tests.flows.given import COIL_COLUMNS, TILE_COLUMNS, coil, coil_cells, csv_bytes, three, tile_cells, write_tables
from tests.flows.judging import judge


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tables(three(), tmp_path / "line")


def replace(file: Path, old: bytes, new: bytes, count: int = 1) -> None:
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new, count))


@pytest.mark.parametrize(
    "style",
    [
        {"sep": ";"},
        {"bom": True},
        {"end": "\r\n"},
        {"quote": '"'},
        {"sep": ";", "bom": True, "end": "\r\n", "quote": '"'},
    ],
    ids=str,
)
def test_every_dialect_of_csv_gives_the_same_coils(folder: Path, tmp_path: Path, style: dict[str, str]) -> None:
    assert judge(str(write_tables(three(), tmp_path / "other", **style))).digest() == judge(str(folder)).digest()


def test_unknown_columns_in_any_order_are_accepted(folder: Path, tmp_path: Path) -> None:
    want = judge(str(folder)).digest()
    rows = [{**cells, "tstamp": "2026-11-20", "SIDE": "TOP"} for given in three() for cells in tile_cells(given)]
    (folder / "tiles.csv").write_bytes(csv_bytes(rows, ("tstamp", "MEAN", "SIDE", "MID", "TILEID", "PLANT", "COILID")))
    assert judge(str(folder)).digest() == want


def test_shuffled_tiles_of_scattered_coils_give_the_same_verdicts_in_the_same_order_every_time(folder: Path) -> None:
    want = judge(str(folder)).digest()
    header, *lines = (folder / "tiles.csv").read_bytes().splitlines(keepends=True)
    orders = []
    for seed in (1, 1, 2):
        shuffled = [lines[i] for i in np.random.default_rng(seed).permutation(len(lines))]
        (folder / "tiles.csv").write_bytes(header + b"".join(shuffled))
        outcome = judge(str(folder))
        assert outcome.digest() == want
        orders.append(outcome.judged)
    assert orders[0] == orders[1]


def test_exact_repeats_of_tiles_change_nothing(folder: Path) -> None:
    want = judge(str(folder)).digest()
    lines = (folder / "tiles.csv").read_bytes().splitlines(keepends=True)
    (folder / "tiles.csv").write_bytes(b"".join(lines + lines[30:90] + lines[5:6]))
    assert judge(str(folder)).digest() == want


def test_a_coil_id_in_two_plants_is_two_coils(tmp_path: Path) -> None:
    here, there = coil("7"), coil("7", level=90.0)
    there.plant = "graz"
    outcome = judge(str(write_tables([here, there], tmp_path / "line")))
    assert {(c.verdict.key.plant, c.verdict.key.coil_id) for c in outcome.coils} == {("linz", "7"), ("graz", "7")}
    assert len({c.verdict.revision for c in outcome.coils}) == 2


def test_tables_that_name_no_plant_belong_to_the_plant_of_the_settings(folder: Path) -> None:
    for name, rows, columns in (
        ("coils.csv", [coil_cells(g) for g in three()], COIL_COLUMNS),
        ("tiles.csv", [t for g in three() for t in tile_cells(g)], TILE_COLUMNS),
    ):
        (folder / name).write_bytes(csv_bytes(rows, [c for c in columns if c != "PLANT"]))
    outcome = judge(str(folder))
    assert [c.verdict.key.plant for c in outcome.coils] == ["default"] * 3


def test_a_coil_that_is_listed_twice_alike_is_judged_once(folder: Path) -> None:
    with (folder / "coils.csv").open("ab") as out:
        out.write(b"2,linz,100.0,120.0,500.5,\n")
    assert judge(str(folder)).judged == ["1", "2", "3"]


def test_a_coil_that_is_listed_twice_with_different_values_is_a_reject(folder: Path) -> None:
    with (folder / "coils.csv").open("ab") as out:
        out.write(b"2,linz,100.0,140.0,500.5,\n")
    outcome = judge(str(folder))
    assert outcome.judged == ["1", "3"]
    assert "lists the coil twice, with different values" in outcome.rejected["2"].error


def test_a_coil_that_is_listed_without_tiles_is_a_reject_that_names_its_line(folder: Path) -> None:
    with (folder / "coils.csv").open("ab") as out:
        out.write(b"4,linz,100.0,120.0,500.5,\n")
    outcome = judge(str(folder))
    assert outcome.judged == ["1", "2", "3"]
    reject = outcome.rejected["4"]
    assert reject.place == "coils.csv, line 5"
    assert reject.original == b"SID,PLANT,ZnMin,ZnMax,LENGTH,CLASSLABEL\n4,linz,100.0,120.0,500.5,\n"


def test_wholly_missing_rows_are_judged_and_said(tmp_path: Path) -> None:
    given = coil("1", rows=20)
    del given.faces["bottom"][3], given.faces["bottom"][8]
    (judged,) = judge(str(write_tables([given], tmp_path / "line"))).coils
    assert judged.verdict.observed == pytest.approx(38 / 40)
    assert judged.verdict.reasons == ("missing_rows: 2 of 20 bottom",)


def test_two_tiles_of_one_place_that_disagree_reject_the_coil_and_say_which(folder: Path) -> None:
    with (folder / "tiles.csv").open("ab") as out:
        out.write(b"2,3100.0,1234,linz,99\n")
    outcome = judge(str(folder))
    assert "top face has two tiles 3100 that disagree: 110.03 and 99 g/m²" in outcome.rejected["2"].error


def test_a_truncated_row_is_a_reject_with_its_bytes_and_the_rest_is_judged(folder: Path) -> None:
    content = (folder / "tiles.csv").read_bytes()
    (folder / "tiles.csv").write_bytes(content[: content.rindex(b"1243,linz")])
    outcome = judge(str(folder))
    assert outcome.judged == ["1", "2"]
    assert outcome.rejected[None].place == f"tiles.csv, line {3 * 216 + 1}"
    assert outcome.rejected[None].error == "the row has 3 columns, expected 5"
    assert outcome.rejected[None].original == b"3,11328.0,"
    assert "has 8 tiles, expected 9" in outcome.rejected["3"].error


def test_a_bad_row_that_is_no_utf8_keeps_its_bytes(folder: Path) -> None:
    with (folder / "tiles.csv").open("ab") as out:
        out.write(b"3,\xff\xe4\n")
    outcome = judge(str(folder))
    assert outcome.judged == ["1", "2", "3"]
    assert outcome.rejected[None].original == b"3,\xff\xe4"


def test_a_row_with_too_many_columns_is_a_reject_of_its_own(folder: Path) -> None:
    with (folder / "coils.csv").open("ab") as out:
        out.write(b"4,linz,100.0,120.0,500.5,,,x\n")
    outcome = judge(str(folder))
    assert outcome.judged == ["1", "2", "3"]
    assert outcome.rejected[None].sentence().startswith("coils.csv, line 5: the row has 8 columns, expected 6; ")


def test_a_cell_that_is_no_number_or_no_utf8_rejects_its_coil_alone(folder: Path) -> None:
    replace(folder / "tiles.csv", b"2,100.0,1234,linz,110.0\n", b"2,100.0,1234,linz,1\xff0\n")
    replace(folder / "tiles.csv", b"1,100.0,1234,linz,110.0\n", b"1,1oo,1234,linz,110.0\n")
    outcome = judge(str(folder))
    assert outcome.judged == ["3"]
    assert "MEAN of tile 100 is '1\\\\xff0', which is no number" in outcome.rejected["2"].error
    assert "TILEID is '1oo', which is no number" in outcome.rejected["1"].error
    assert b"1\xff0" in outcome.rejected["2"].original


def test_a_row_of_the_table_of_coils_that_is_no_utf8_rejects_its_coil_alone(folder: Path) -> None:
    replace(folder / "coils.csv", b"2,linz,100.0,120.0,500.5,", b"2,linz,100.0,120.0,500.5,\xe4")
    outcome = judge(str(folder))
    assert outcome.judged == ["1", "3"]
    assert outcome.rejected["2"].error == "line 3 of the table of coils is no UTF-8 text"
    assert b"500.5,\xe4" in outcome.rejected["2"].original


def test_an_empty_reading_rejects_its_coil_alone(folder: Path) -> None:
    replace(folder / "tiles.csv", b"2,100.0,1234,linz,110.0\n", b"2,100.0,1234,linz,\n")
    outcome = judge(str(folder))
    assert outcome.judged == ["1", "3"]
    assert "top face, row 1, sensor 1" in outcome.rejected["2"].error


def test_a_tile_of_an_unknown_gauge_rejects_its_coil_alone(folder: Path) -> None:
    replace(folder / "tiles.csv", b"2,100.0,1234,", b"2,100.0,9999,")
    assert "a tile's MID is neither 1234 (top) nor 1243 (bottom)" in judge(str(folder)).rejected["2"].error


def test_an_unknown_label_rejects_its_coil_alone(folder: Path) -> None:
    replace(folder / "coils.csv", b"2,linz,100.0,120.0,500.5,", b"2,linz,100.0,120.0,500.5,maybe")
    assert "label 'maybe' is none of OK, NOK, 1, 2, 0" in judge(str(folder)).rejected["2"].error


def test_a_coil_without_a_name_or_with_a_nul_is_a_reject(folder: Path) -> None:
    replace(folder / "coils.csv", b"\n2,linz", b"\n,linz")
    replace(folder / "tiles.csv", b"\n2,", b"\n,", -1)
    replace(folder / "coils.csv", b"\n3,linz", b"\n3\x00,linz")
    replace(folder / "tiles.csv", b"\n3,", b"\n3\x00,", -1)
    outcome = judge(str(folder))
    assert outcome.judged == ["1"]
    assert outcome.rejected[""].error == "the coil id is empty"
    assert outcome.rejected["3\x00"].error == "coil id holds a NUL character"


def test_ids_padded_with_blanks_are_one_coil(folder: Path) -> None:
    want = judge(str(folder)).digest()
    replace(folder / "coils.csv", b"\n2,linz", b"\n2   ,linz")
    replace(folder / "tiles.csv", b"\n3,", b"\n3  ,", -1)
    assert judge(str(folder)).digest() == want


def test_a_control_character_in_a_cell_rejects_its_coil_alone(folder: Path) -> None:
    replace(folder / "coils.csv", b"2,linz,100.0,120.0,500.5,", b"2,linz,100.0,120.0,500.5,\x1f")
    outcome = judge(str(folder))
    assert outcome.judged == ["1", "3"]
    assert b"500.5\x1f\x1f\n" in outcome.rejected["2"].original


def test_an_original_can_be_read_back_as_csv_whatever_its_cells_hold(folder: Path) -> None:
    coils = three()
    coils[1].plant = '"li;""nz"'
    coils[1].zn_max = 90.0
    outcome = judge(str(write_tables(coils, folder, sep=";")))
    assert outcome.judged == ["1", "3"]
    original = b'2;"li;""nz";100.0;90.0;500.5;\nCOILID;TILEID;MID;PLANT;MEAN\n2;100.0;1234;"li;""nz";110.0\n'
    assert original in outcome.rejected["2"].original


@pytest.mark.parametrize("name", ["coils.csv", "tiles.csv"])
def test_a_table_without_a_required_column_names_it(folder: Path, name: str) -> None:
    replace(folder / name, b"SID" if name == "coils.csv" else b"TILEID", b"X")
    with pytest.raises(SourceError, match=f"{name}: column (SID|TILEID) is missing, found .*X") as caught:
        judge(str(folder))
    assert "export it with the columns" in caught.value.remedy


@pytest.mark.parametrize("name", ["coils.csv", "tiles.csv"])
def test_an_empty_table_is_an_error_that_names_it(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    with pytest.raises(SourceError, match=f"{name} is empty"):
        judge(str(folder))


def test_tables_with_a_header_alone_are_an_error(folder: Path) -> None:
    with pytest.raises(SourceError, match="line holds no coil"):
        judge(str(write_tables([], folder)))


def test_what_follows_a_line_that_is_too_long_to_read_is_a_reject(folder: Path) -> None:
    with (folder / "tiles.csv").open("ab") as out:
        out.write(b"3," + b"9" * 20_000_000 + b",1234,linz,1\n")
    outcome = judge(str(folder))
    assert outcome.judged[:2] == ["1", "2"]
    assert "cannot be read to its end" in outcome.rejected[None].error


def test_a_table_with_one_column_twice_is_an_error_that_names_it(folder: Path) -> None:
    replace(folder / "coils.csv", b"ZnMin", b"ZnMax")
    with pytest.raises(SourceError, match="column ZnMax twice"):
        judge(str(folder))


def test_a_number_that_only_python_would_read_rejects_its_coil_alone(folder: Path) -> None:
    replace(folder / "tiles.csv", b"110.0", b"11_0.0")
    outcome = judge(str(folder))
    assert len(outcome.rejects) == 1
    assert "11_0.0" in outcome.rejects[0].error


def test_a_wrong_order_is_blamed_on_its_line_of_the_table_of_coils(folder: Path) -> None:
    replace(folder / "coils.csv", b"100.0,120.0", b"130.0,120.0")
    (reject,) = judge(str(folder)).rejects
    assert reject.place == "coils.csv, line 2"


def test_a_place_beyond_any_strip_rejects_its_coil_alone(folder: Path) -> None:
    replace(folder / "tiles.csv", b",11100.0,", b",1e300,")
    (reject,) = judge(str(folder)).rejects
    assert "position" in reject.error


def test_a_table_in_utf_16_is_an_error_that_says_so(folder: Path) -> None:
    file = folder / "coils.csv"
    file.write_bytes(file.read_bytes().decode().encode("utf-16"))
    with pytest.raises(SourceError, match="looks like UTF-16"):
        judge(str(folder))
