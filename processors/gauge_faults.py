"""Sensors that are dead, stuck, noisy or off, as far as one coil can tell.

A stripe of a fouled lip is off as a sensor may be, but it begins, ends or swells within the coil, or is wider than one
sensor; the outermost sensors see the edges of the strip, which stand off as far. So few that are off are named, and
hardly one falsely; `processors.gauge_health` tells the others over many coils.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from processors.calibration import CALIBRATION_BELOW_G_M2, calibration_runs
from processors.gauge import SQUARE, stuck_sensors
from schemas.coils import BoolArray, FloatArray, IntArray
from schemas.layout import FACES, SENSORS_PER_FACE
from schemas.verdicts import Reason

_KINDS = (Reason.GAUGE_DEAD, Reason.GAUGE_STUCK, Reason.GAUGE_NOISY, Reason.GAUGE_OFFSET)
_DEAD_ROWS = 10  # near zero; calibrations last one to five
_MOST_DEAD = 4  # of a face
_LEAST_ROWS = 18  # of a face, to call a sensor of it noisy or off
_RESTLESS = 2.0  # times the face's middle sensor, by the root of what a reading jumps to and fro
_RESTLESS_STEPS = 0.4  # beyond that: a quiet reading flickers between two steps of the gauge
_PARTS = 6  # of the coil's length, each of which must say of an offset what the whole does
_OFF_SHARE = 0.05  # of the coating, at least
_OFF_PARTS = 0.3  # by how much of the whole's a part may differ
_OFF_SURPRISE = 6.0  # times as far from the square through the others as these lie from it, studentised
_INNER = slice(2, SENSORS_PER_FACE - 2)
_HAT = SQUARE @ np.linalg.pinv(SQUARE)
_FREE = 1 - np.diag(_HAT)
_ABOVE_OTHERS = (np.eye(SENSORS_PER_FACE) - _HAT) / _FREE[:, None]  # each sensor itself left out (Allen 1974)
_FREEDOM = SENSORS_PER_FACE - 4  # of the others beside their square


def sensor_faults(mean_g_m2: FloatArray, zn_min_g_m2: FloatArray, face_start: IntArray) -> dict[int, list[str]]:
    """Reasons that name faulty sensors, each sensor once.

    A sensor is dead where it reads near zero longer than any calibration, stuck as `stuck_sensors` says, noisy where it
    jumps to and fro more than its face does, and off where it alone stands beside the square through the others of its
    face by one factor over the whole coil.

    Args:
        mean_g_m2: [R, 9] readings in g/m², rows in order along the strip.
        zn_min_g_m2: [2B] lower end of each face's band.
        face_start: [2B + 1] offsets of the faces, top and bottom of each coil in turn; at least two rows a face.

    Returns:
        Index of the coil -> reasons such as "gauge_dead: top sensor 3, bottom sensor 1" (counted from 1).
    """
    if len(face_start) < 2:
        return {}
    dead = _dead(mean_g_m2, face_start)
    stuck = stuck_sensors(mean_g_m2, face_start) & ~dead
    calibrates = np.flatnonzero(calibration_runs(mean_g_m2, zn_min_g_m2, face_start))
    told = mean_g_m2
    if len(calibrates):
        told = mean_g_m2.copy()
        told.reshape(-1)[calibrates] = np.nan
    with np.errstate(all="ignore"):  # a reading that is no number, or none at all, is refused later
        noisy = _noisy(told, face_start) & ~(dead | stuck)
        off = _off(told, face_start) & ~(dead | stuck | noisy).any(axis=1, keepdims=True)
    names: dict[tuple[int, Reason], list[str]] = {}
    for kind, face, sensor in np.argwhere([dead, stuck, noisy, off]).tolist():
        names.setdefault((face // 2, _KINDS[kind]), []).append(f"{FACES[face % 2]} sensor {sensor + 1}")
    found: dict[int, list[str]] = {}
    for (coil, reason), sensors in names.items():
        found.setdefault(coil, []).append(reason.of(", ".join(sensors)))
    return found


def _dead(mean_g_m2: FloatArray, face_start: IntArray) -> BoolArray:
    """[2B, 9] bool: sensors with a stretch near zero; strip that has next to no zinc is not seen by a few alone."""
    dead = np.zeros((len(face_start) - 1, SENSORS_PER_FACE), dtype=bool)
    rows, sensors = np.divmod(np.flatnonzero(mean_g_m2 < CALIBRATION_BELOW_G_M2), SENSORS_PER_FACE)
    faces = np.searchsorted(face_start, rows, side="right") - 1
    near_zero = np.bincount(faces * SENSORS_PER_FACE + sensors, minlength=dead.size)
    for track in np.flatnonzero(near_zero >= _DEAD_ROWS).tolist():
        face, sensor = divmod(track, SENSORS_PER_FACE)
        low = mean_g_m2[face_start[face] : face_start[face + 1], sensor] < CALIBRATION_BELOW_G_M2
        dead[face, sensor] = sliding_window_view(low, _DEAD_ROWS).all(axis=1).any()
    dead &= dead.sum(axis=1, keepdims=True) <= _MOST_DEAD
    return dead


def _noisy(told_g_m2: FloatArray, face_start: IntArray) -> BoolArray:
    """[2B, 9] bool: sensors whose readings jump to and fro, NaN where one says nothing.

    What the strip does moves a reading there, and later back; only noise turns at every row. By the root of the jumps'
    geometric mean single large ones count for little.
    """
    step = np.diff(told_g_m2.astype(np.float32), axis=0)
    step[face_start[1:-1] - 1] = np.nan  # from one face to the next there is none
    turn = np.zeros(told_g_m2.shape, dtype=np.float32)
    np.fmin(step[:-1] * step[1:], 0.0, out=turn[1:-1])
    np.sqrt(np.sqrt(np.negative(turn, out=turn), out=turn), out=turn)
    rows = np.diff(face_start)
    restless = np.add.reduceat(turn, face_start[:-1]) / rows[:, None]
    middle = np.sort(restless, axis=1)[:, SENSORS_PER_FACE // 2, None]
    size = np.abs(step)
    smallest = np.minimum.reduceat(np.where(size > 0, size, np.inf), face_start[:-1]).min(axis=1, keepdims=True)
    noisy: BoolArray = restless > _RESTLESS * middle + _RESTLESS_STEPS * np.sqrt(smallest)
    return noisy & (rows >= _LEAST_ROWS)[:, None]


def _off(told_g_m2: FloatArray, face_start: IntArray) -> BoolArray:
    """[2B, 9] bool: inner sensors that read off, NaN where one says nothing."""
    rows = np.diff(face_start)
    start = (face_start[:-1, None] + rows[:, None] * np.arange(_PARTS) // _PARTS).reshape(-1)
    known = np.isfinite(told_g_m2)
    if known.all():
        mean = np.add.reduceat(told_g_m2, start) / np.diff(start, append=len(told_g_m2))[:, None]
    else:
        count = np.add.reduceat(known, start, dtype=np.int64)
        mean = np.add.reduceat(np.where(known, told_g_m2, 0.0), start) / np.where(count, count, np.nan)
    parts = (mean / mean.mean(axis=1, keepdims=True)).reshape(-1, _PARTS, SENSORS_PER_FACE)
    above = parts @ _ABOVE_OTHERS.T
    whole = above.mean(axis=1)
    own = whole**2 * _FREE  # what a sensor takes from the squares beside the fit when it is left out
    others = (own * _FREE).sum(axis=1, keepdims=True) - own
    alike = (np.abs(above - whole[:, None]) < _OFF_PARTS * np.abs(whole[:, None])).all(axis=1)
    clear = (np.abs(whole) > _OFF_SHARE) & (own * _FREEDOM > _OFF_SURPRISE**2 * others)
    off: BoolArray = np.zeros(whole.shape, dtype=bool)
    off[:, _INNER] = (clear & alike & (own == own.max(axis=1, keepdims=True)))[:, _INNER]
    return off & (rows >= _LEAST_ROWS)[:, None]
