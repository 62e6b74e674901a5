"""Promises of the doubts about the gauge."""

import numpy as np

from processors.gauge import stuck_sensors
from schemas.coils import FloatArray


def lively(rows: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).normal(110, 3, (rows, 9)).round(1)


def found(*faces: FloatArray) -> set[tuple[int, int]]:
    """Face and sensor, both counted from 0."""
    start = np.concatenate(([0], np.cumsum([len(f) for f in faces])))
    stuck = stuck_sensors(np.concatenate(faces), start)
    assert stuck.shape == (len(faces), 9)
    return {(face, sensor) for face, sensor in np.argwhere(stuck).tolist()}


def test_a_sensor_that_repeats_one_value_while_the_others_move_is_found() -> None:
    top, bottom = lively(60), lively(60, 1)
    bottom[20:45, 6] = bottom[20, 6]
    assert found(lively(60, 2), lively(60, 3), top, bottom) == {(3, 6)}


def test_several_stuck_sensors_are_all_found() -> None:
    top, bottom = lively(60), lively(60, 1)
    top[:, 0], top[30:, 8] = 110.0, 111.0
    assert found(top, bottom) == {(0, 0), (0, 8)}


def test_a_quiet_coil_is_not_stuck() -> None:
    quiet = np.full((60, 9), 110.0)
    assert found(quiet, quiet) == set()


def test_a_short_repeat_is_not_stuck() -> None:
    top = lively(60)
    top[10:19, 3] = 110.0
    assert found(top, lively(60, 1)) == set()


def test_a_run_does_not_go_on_from_one_face_to_the_next() -> None:
    top, bottom = lively(60), lively(60, 1)
    top[-8:, 3] = bottom[:8, 3] = 110.0
    assert found(top, bottom) == set()


def test_no_rows_are_no_doubts() -> None:
    assert stuck_sensors(np.zeros((0, 9)), np.zeros(1, dtype=np.int64)).shape == (0, 9)
