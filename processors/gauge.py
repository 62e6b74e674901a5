"""Doubts about the gauge itself."""

import numpy as np

from schemas.coils import BoolArray, FloatArray, IntArray
from schemas.layout import SENSORS_PER_FACE

_ACROSS = np.linspace(-1, 1, SENSORS_PER_FACE)
SQUARE = np.stack([np.ones_like(_ACROSS), _ACROSS, _ACROSS**2], axis=1)  # what wedge and bow of strip are made of
_MIN_ROWS = 10  # a shorter stretch is no stuck sensor
_SURPRISE = 15.0  # -log probability; what it finds, and what falsely: docs/results/gauge.md


def stuck_sensors(mean_g_m2: FloatArray, face_start: IntArray) -> BoolArray:
    """Sensors that repeat one value over a stretch in which the rest of their face moves.

    Readings are rounded, so a quiet coil repeats values too: a stretch of m rows is surprising where the other sensors
    change from row to row with rate c and m · -log(1 - c) exceeds a bound.

    Args:
        mean_g_m2: [R, 9] readings in g/m², rows in order along the strip.
        face_start: [2B + 1] offsets of the faces, top and bottom of each coil in turn; at least two rows a face.

    Returns:
        [2B, 9] bool: sensors that are stuck somewhere along the strip.
    """
    first, count = face_start[:-1], np.diff(face_start)
    stuck = np.zeros((len(count), SENSORS_PER_FACE), dtype=bool)
    if not len(count):
        return stuck
    changed = np.ones(mean_g_m2.shape, dtype=bool)
    changed[1:] = mean_g_m2[1:] != mean_g_m2[:-1]
    changed[first] = True
    by_sensor = changed.T.reshape(-1)  # track after track, so that a run is one stretch
    face, sensor, start, rows = _long_runs(by_sensor, face_start)
    offset = np.arange(SENSORS_PER_FACE)[:, None] * len(changed)
    own = np.add.reduceat(by_sensor, (offset + first).reshape(-1), dtype=np.int64).reshape(SENSORS_PER_FACE, -1) - 1
    rate = (own.sum(axis=0) - own)[sensor, face] / (count[face] - 1)
    for i in np.flatnonzero(_surprise(rows, rate) > _SURPRISE).tolist():
        inside = changed[start[i] + 1 : start[i] + rows[i]]
        stuck[face[i], sensor[i]] = _surprise(rows[i], _others(inside, sensor[i])) > _SURPRISE
    return stuck


def _long_runs(by_sensor: BoolArray, face_start: IntArray) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """The longest run of each track that has one worth a look: face, sensor, first row and number of rows."""
    starts = np.flatnonzero(by_sensor)
    rows = np.diff(starts, append=len(by_sensor))
    long = rows >= _MIN_ROWS
    starts, rows = starts[long], rows[long]
    sensor, start = np.divmod(starts, face_start[-1])
    face = np.searchsorted(face_start, start, side="right") - 1
    order = np.lexsort((-rows, sensor, face))  # of equal ones the first along the strip
    track = (face * SENSORS_PER_FACE + sensor)[order]
    order = order[np.diff(track, prepend=-1) != 0]
    return face[order], sensor[order], start[order], rows[order]


def _surprise(rows: IntArray, changes_of_others: FloatArray) -> FloatArray:
    rate = np.clip(changes_of_others / (SENSORS_PER_FACE - 1), 0.0, 0.99)
    return np.multiply(rows, -np.log1p(-rate))


def _others(changed: BoolArray, sensor: int) -> FloatArray:
    """Changes of the other sensors, a row."""
    share: FloatArray = np.asarray((changed.sum() - changed[:, sensor].sum()) / len(changed))
    return share
