"""The plant's calibration rule: a gauge that calibrates itself in mid-coil reads near zero."""

import numpy as np

from schemas.coils import BoolArray, FloatArray, IntArray

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
    near_zero = mean_g_m2 < CALIBRATION_BELOW_G_M2
    marked = np.zeros(mean_g_m2.shape, dtype=bool)
    face_of_row = np.repeat(np.arange(len(face_start) - 1), np.diff(face_start))
    faces = np.unique(face_of_row[near_zero.any(axis=1)])
    if not len(faces):
        return marked
    rows = np.isin(face_of_row, faces)
    low = mean_g_m2[rows] < zn_min_g_m2[face_of_row[rows], None]
    anchor = near_zero[rows] & low
    first = np.diff(face_of_row[rows], prepend=-1) != 0
    last = np.roll(first, -1)
    marked[rows] = low & (_reached(low, anchor, first) | _reached(low[::-1], anchor[::-1], last[::-1])[::-1])
    return marked


def _reached(low: BoolArray, anchor: BoolArray, first: BoolArray) -> BoolArray:
    """Cells with an anchor at or before them in the same run; `first` marks the first row of each face."""
    index = np.arange(len(low))[:, None]
    run_start = np.maximum.accumulate(np.where(~low | first[:, None], index, 0), axis=0)
    run_start += ~np.take_along_axis(low, run_start, axis=0)
    last_anchor = np.maximum.accumulate(np.where(anchor, index, -1), axis=0)
    reached: BoolArray = last_anchor >= run_start
    return reached
