"""Laws of noticing missing rows by the positions of the others."""

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import assume, given
from hypothesis import strategies as st

from processors.grid import expected_rows

PITCHES = st.sampled_from([0.5, 7.3, 285.0, 1000.0])


def expected(*faces: npt.NDArray[np.floating[Any]]) -> list[int]:
    """Rows that each face should have."""
    start = np.concatenate(([0], np.cumsum([len(f) for f in faces])))
    rows: list[int] = expected_rows(np.concatenate(faces).astype(np.float64), start).tolist()
    return rows


@given(st.integers(2, 300), PITCHES, st.floats(0, 1e5), st.floats(-3, 3))
def test_whole_faces_miss_nothing_wherever_their_gauges_stand(
    rows: int, pitch: float, first: float, apart: float
) -> None:
    position = first + pitch * np.arange(rows)
    assert expected(position, position + apart * pitch) == [rows, rows]


@given(st.integers(10, 200), PITCHES, st.floats(-3, 3), st.data())
def test_missing_rows_are_counted_on_the_face_that_misses_them(
    rows: int, pitch: float, apart: float, data: st.DataObject
) -> None:
    missing = data.draw(st.sets(st.integers(1, rows - 2), max_size=rows // 6))
    kept = np.array([r for r in range(rows) if r not in missing])
    assume(abs(apart - np.rint(apart)) > 0.15 or np.rint(apart) == 0)  # else ends of the longer strip could be missing
    shift = 0.0 if np.rint(apart) == 0 and abs(apart) <= 0.15 else apart
    assert expected(pitch * kept, pitch * (np.arange(rows) + shift)) == [rows, rows]


@given(st.integers(12, 100), st.data())
def test_rows_missing_from_both_faces_are_found_too(rows: int, data: st.DataObject) -> None:
    missing = data.draw(st.sets(st.integers(1, rows - 2), min_size=1, max_size=rows // 8))
    position = 1000.0 * np.array([r for r in range(rows) if r not in missing])
    assert expected(position, position) == [rows, rows]


@given(st.integers(10, 60), st.integers(1, 4), st.integers(0, 4))
def test_rows_missing_at_an_end_of_one_face_are_known_from_the_other(rows: int, head: int, tail: int) -> None:
    whole = 500.0 * np.arange(rows)
    assert expected(whole[head : rows - tail], whole) == [rows, rows]


@given(st.integers(10, 60), st.integers(0, 2**32 - 1), st.floats(0, 0.04))
def test_rounded_positions_still_have_a_pitch(rows: int, seed: int, wobble: float) -> None:
    rng = np.random.default_rng(seed)
    kept = np.delete(np.arange(rows), rows // 2)
    position = 1000.0 * (kept + rng.uniform(-wobble, wobble, len(kept)))
    assert expected(position, position) == [rows, rows]


@given(st.lists(st.floats(1, 1e4), min_size=5, max_size=40), st.integers(0, 100))
def test_rows_without_a_pitch_are_all_there(steps: list[float], seed: int) -> None:
    position = np.cumsum(np.array(steps) * np.random.default_rng(seed).uniform(0.3, 3, len(steps)))
    step = np.diff(position) / np.median(np.diff(position))
    assume((np.abs(step - np.rint(step)) > 0.11).any())
    assert expected(position, position) == [len(position)] * 2


def test_a_coil_of_which_most_would_be_missing_has_no_pitch() -> None:
    position = np.array([0.0, 1, 2, 3, 500])
    assert expected(position, position) == [5, 5]


def test_each_coil_is_looked_at_by_itself() -> None:
    one, gap = 10.0 * np.arange(10), 7.0 * np.delete(np.arange(12), 5)
    assert expected(one, one, gap, gap, one, one) == [10, 10, 12, 12, 10, 10]
