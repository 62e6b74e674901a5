"""Laws of placing rows on the grid that they stand on."""

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import assume, given
from hypothesis import strategies as st

from processors.grid import place_rows

PITCHES = st.sampled_from([0.5, 7.3, 285.0, 1000.0])


def place(*faces: npt.NDArray[np.floating[Any]]) -> tuple[list[list[int]], list[int]]:
    """Grid rows of each face, and the size of its grid."""
    start = np.concatenate(([0], np.cumsum([len(f) for f in faces])))
    row, size = place_rows(np.concatenate(faces).astype(np.float64), start)
    return [part.tolist() for part in np.split(row, start[1:-1])], size.tolist()


@given(st.integers(2, 300), PITCHES, st.floats(0, 1e5))
def test_whole_faces_are_numbered_as_they_come(rows: int, pitch: float, first: float) -> None:
    position = first + pitch * np.arange(rows)
    assert place(position, position) == ([list(range(rows))] * 2, [rows, rows])


@given(st.integers(10, 200), PITCHES, st.data())
def test_missing_rows_leave_gaps_where_they_were(rows: int, pitch: float, data: st.DataObject) -> None:
    missing = data.draw(st.sets(st.integers(1, rows - 2), max_size=rows // 6))
    kept = np.array([r for r in range(rows) if r not in missing])
    top, whole = 100.0 + pitch * kept, 100.0 + pitch * np.arange(rows)
    assert place(top, whole) == ([kept.tolist(), list(range(rows))], [rows, rows])


@given(st.integers(12, 100), st.data())
def test_rows_missing_from_both_faces_are_found_too(rows: int, data: st.DataObject) -> None:
    missing = data.draw(st.sets(st.integers(1, rows - 2), min_size=1, max_size=rows // 8))
    kept = np.array([r for r in range(rows) if r not in missing])
    position = 1000.0 * kept
    assert place(position, position) == ([kept.tolist()] * 2, [rows, rows])


@given(st.integers(10, 60), st.integers(1, 4), st.integers(0, 4))
def test_rows_missing_at_an_end_of_one_face_are_known_from_the_other(rows: int, head: int, tail: int) -> None:
    whole = 500.0 * np.arange(rows)
    got, size = place(whole[head : rows - tail], whole)
    assert got[0] == list(range(head, rows - tail))
    assert size == [rows, rows]


@given(st.integers(10, 60), st.integers(0, 2**32 - 1), st.floats(0, 0.04))
def test_rounded_positions_still_are_a_grid(rows: int, seed: int, wobble: float) -> None:
    rng = np.random.default_rng(seed)
    kept = np.delete(np.arange(rows), rows // 2)
    position = 1000.0 * (kept + rng.uniform(-wobble, wobble, len(kept)))
    assert place(position, position) == ([kept.tolist()] * 2, [rows, rows])


@given(st.lists(st.floats(1, 1e4), min_size=5, max_size=40), st.integers(0, 100))
def test_irregular_rows_are_numbered_by_rank(steps: list[float], seed: int) -> None:
    position = np.cumsum(np.array(steps) * np.random.default_rng(seed).uniform(0.3, 3, len(steps)))
    step = np.diff(position) / np.median(np.diff(position))
    assume((np.abs(step - np.rint(step)) > 0.11).any())  # no grid
    assert place(position, position) == ([list(range(len(position)))] * 2, [len(position)] * 2)


def test_a_coil_of_which_most_is_missing_is_numbered_by_rank() -> None:
    position = np.array([0.0, 1, 2, 3, 500])
    assert place(position, position) == ([list(range(5))] * 2, [5, 5])


def test_each_coil_has_its_own_grid() -> None:
    one, gap = 10.0 * np.arange(10), 7.0 * np.delete(np.arange(12), 5)
    got, size = place(one, one, gap, gap, one, one)
    assert size == [10, 10, 12, 12, 10, 10]
    assert got[2] == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
