"""Promises of folding tiles into rows by the gap in TILEID."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.tiles import Folded, Tiles, face_of_mid, fold_tiles

STEPS = np.array([0, 28, 57, 85, 114, 142, 171, 199, 228], dtype=np.float64)


def tiles_of(rows: int, pitch: float = 1000.0, *, first: float = 40.0) -> Tiles:
    """One coil, both faces, readings that differ everywhere."""
    face = np.concatenate([first + pitch * row + STEPS for row in range(rows)])
    size = len(face)
    return Tiles(
        coil=np.zeros(2 * size, dtype=np.int64),
        face=np.repeat([0, 1], size),
        tile_id=np.concatenate([face, face]),
        mean_g_m2=np.arange(2 * size, dtype=np.float64),
    )


def pick(tiles: Tiles, which: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> Tiles:
    return Tiles(
        coil=tiles.coil[which],
        face=tiles.face[which],
        tile_id=tiles.tile_id[which],
        mean_g_m2=tiles.mean_g_m2[which],
    )


def fault(tiles: Tiles) -> str:
    folded = fold_tiles(tiles)
    assert not len(folded.rows.coil)
    ((error, remedy),) = folded.faults.values()
    assert remedy
    return error


def assert_same(got: Folded, want: Folded) -> None:
    assert got.faults == want.faults
    for name in ("coil", "face", "position", "mean_g_m2", "std_g_m2"):
        np.testing.assert_array_equal(getattr(got.rows, name), getattr(want.rows, name))


@given(st.integers(1, 40), st.integers(300, 5000))
def test_rows_are_found_by_the_gap_whatever_the_pitch(rows: int, pitch: int) -> None:
    folded = fold_tiles(tiles_of(rows, pitch))
    assert not folded.faults
    assert folded.rows.position.tolist() == [40.0 + pitch * row for row in range(rows)] * 2
    np.testing.assert_array_equal(folded.rows.mean_g_m2.reshape(-1), np.arange(18 * rows))


@pytest.mark.parametrize("pitch", [255.0, 256.0, 258.0])
def test_rows_that_follow_each_other_without_a_gap_are_a_fault(pitch: float) -> None:
    assert "tiles, expected 9" in fault(tiles_of(3, pitch))


@given(st.integers(2, 10), st.data())
def test_order_and_exact_repeats_change_nothing(rows: int, data: st.DataObject) -> None:
    tiles = tiles_of(rows)
    size = len(tiles.coil)
    again = data.draw(st.lists(st.integers(0, size - 1), max_size=9))
    order = np.array(data.draw(st.permutations([*range(size), *again])), dtype=np.int64)
    assert_same(fold_tiles(pick(tiles, order)), fold_tiles(tiles))


@given(st.integers(2, 8), st.data())
def test_any_missing_tile_is_a_fault_that_names_its_row(rows: int, data: st.DataObject) -> None:
    tiles = tiles_of(rows)
    lost = data.draw(st.integers(0, len(tiles.coil) - 1))
    error = fault(pick(tiles, np.delete(np.arange(len(tiles.coil)), lost)))
    assert error.startswith(f"{'top' if lost < 9 * rows else 'bottom'} face, the row that starts at TILEID")
    assert "expected 9" in error


def test_a_row_wholly_missing_is_no_fault() -> None:
    tiles = tiles_of(5)
    folded = fold_tiles(pick(tiles, np.delete(np.arange(90), np.s_[18:27])))
    assert not folded.faults
    assert folded.rows.position.tolist()[:4] == [40.0, 1040.0, 3040.0, 4040.0]


def test_eighteen_tiles_without_a_gap_are_never_folded_in_nines() -> None:
    tile_id = 28.0 * np.arange(18)
    both = Tiles(
        coil=np.zeros(36, dtype=np.int64),
        face=np.repeat([0, 1], 18),
        tile_id=np.tile(tile_id, 2),
        mean_g_m2=np.full(36, 110.0),
    )
    assert fault(both) == "top face, the row that starts at TILEID 0 has 18 tiles, expected 9 that lie 28-29 apart"


def test_a_repeat_that_disagrees_is_a_fault_with_both_readings() -> None:
    tiles = tiles_of(2)
    twice = pick(tiles, np.array([*range(36), 3], dtype=np.int64))
    twice.mean_g_m2[-1] = 99.0
    assert fault(twice) == "top face has two tiles 125 that disagree: 3 and 99 g/m²"


def test_a_repeat_of_nothing_measured_agrees() -> None:
    tiles = tiles_of(2)
    tiles.mean_g_m2[3] = np.nan
    assert not fold_tiles(pick(tiles, np.array([*range(36), 3], dtype=np.int64))).faults


def test_an_unknown_gauge_or_no_position_is_a_fault() -> None:
    tiles = tiles_of(2)
    tiles.face[4] = -1
    assert "MID is neither 1234 (top) nor 1243 (bottom)" in fault(tiles)
    tiles = tiles_of(2)
    tiles.tile_id[4] = np.inf
    assert fault(tiles) == "a TILEID is no position on a strip"


def test_a_fault_stays_with_its_coil() -> None:
    good, bad = tiles_of(3), tiles_of(3)
    both = Tiles(
        coil=np.repeat([0, 1, 2], 54),
        face=np.tile(good.face, 3),
        tile_id=np.concatenate([good.tile_id, bad.tile_id, good.tile_id]),
        mean_g_m2=np.tile(good.mean_g_m2, 3),
    )
    folded = fold_tiles(pick(both, np.delete(np.arange(162), 60)))
    assert list(folded.faults) == [1]
    assert sorted(set(folded.rows.coil.tolist())) == [0, 2]
    assert len(folded.rows.coil) == 12


@pytest.mark.parametrize(("mid", "face"), [(b"1234", 0), (b"1243", 1), (b" 1234 ", 0), (b"12340", -1), (b"", -1)])
def test_the_face_is_told_by_the_mid(mid: bytes, face: int) -> None:
    assert face_of_mid(mid) == face
