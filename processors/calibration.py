"""The plant's calibration rule: a gauge that calibrates itself in mid-coil reads near zero."""

import numpy as np

from schemas.coils import BoolArray, FloatArray, IntArray
from schemas.layout import SENSORS_PER_FACE

CALIBRATION_BELOW_G_M2 = 5.0


def calibration_runs(mean_g_m2: FloatArray, zn_min_g_m2: FloatArray, face_start: IntArray) -> BoolArray:
    """Mark the cells of calibration runs.

    A contiguous run of readings of one sensor below `zn_min` in which any reading is under 5 g/m² is a calibration,
    not a defect (rule in use in the plant).

    Args:
        mean_g_m2: [R, 9] readings in g/m².
        zn_min_g_m2: [2B] lower end of each face's band.
        face_start: [2B + 1] offsets of the faces in the rows; a run never crosses a face.

    Returns:
        [R, 9] bool.
    """
    marked = np.zeros(mean_g_m2.shape, dtype=bool)
    near_zero = np.flatnonzero(mean_g_m2 < CALIBRATION_BELOW_G_M2)
    if not len(near_zero):
        return marked
    row, sensor = np.divmod(near_zero, SENSORS_PER_FACE)
    track = np.unique((np.searchsorted(face_start, row, side="right") - 1) * SENSORS_PER_FACE + sensor)
    face, sensor = np.divmod(track, SENSORS_PER_FACE)
    count = np.diff(face_start)[face]
    begin = np.cumsum(count) - count  # of each of these tracks, one after the other
    rows = np.repeat(face_start[face] - begin, count) + np.arange(count.sum())
    sensors = np.repeat(sensor, count)
    value = mean_g_m2[rows, sensors]
    low = value < np.repeat(zn_min_g_m2[face], count)
    begins = np.diff(low, prepend=False)
    begins[begin] = True
    lowest = np.minimum.reduceat(value, np.flatnonzero(begins))[np.cumsum(begins) - 1]  # of each reading's run
    calibrates = low & (lowest < CALIBRATION_BELOW_G_M2)
    marked[rows[calibrates], sensors[calibrates]] = True
    return marked
