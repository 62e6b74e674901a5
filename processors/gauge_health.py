"""How each sensor of the gauge has done over many coils: stuck, noisy, off, calibrating; and rows that are missing.

One coil tells little of a sensor that reads off: a thin stripe looks alike. Over many coils stripes lie here and there,
and what stays is the gauge. A sensor is held against the line across the strip that the others of its face draw: wedge
and cross-bow of the strip bend that line by a square at most, so that a square is what is fitted.
"""

from dataclasses import dataclass

import numpy as np

from processors.calibration import calibration_runs
from processors.gauge import SQUARE, stuck_sensors
from schemas.coils import BoolArray, CoilBatch, FloatArray, IntArray
from schemas.layout import FACES, SENSORS_PER_FACE

OFF_SHARE = 0.03  # of the coating: half of the coils read further off than that, to one side
NOISY = 2.0  # times as restless from row to row as the others of its face, in half of the coils
_FACES = len(FACES)
_LEAST_KEPT = 6  # sensors that draw the line: it has three parameters
_MOSTLY = 0.5  # of the coils


@dataclass(frozen=True, kw_only=True, slots=True)
class GaugeHealth:
    """What was found; arrays [2, 9] by face and sensor, or [2] by face, shares in [0, 1]."""

    coils: int
    stuck_coils: IntArray  # [2, 9] in how many a stretch repeats one value
    calibrating_share: FloatArray  # [2, 9] of rows
    restless: FloatArray  # [2, 9] times the others' change from row to row, median; NaN: nothing known
    off_share: FloatArray  # [2, 9] reading above the others' line, relative to the coating, median; NaN: nothing known
    missing_share: FloatArray  # [2] of rows that were expected

    @property
    def off(self) -> BoolArray:
        """[2, 9] bool: which sensors read off."""
        found: BoolArray = np.abs(np.nan_to_num(self.off_share)) > OFF_SHARE
        return found

    @property
    def noisy(self) -> BoolArray:
        """[2, 9] bool: which sensors are noisy."""
        found: BoolArray = np.nan_to_num(self.restless) > NOISY
        return found


def gauge_health(coils: CoilBatch) -> GaugeHealth:
    """Look at the gauge over coils that one gauge measured.

    Args:
        coils: B of them, the more the better: a hundred tell an offset of 3% from what coils are like.
    """
    count, shape = len(coils), (_FACES, SENSORS_PER_FACE)
    if not count:
        none = np.zeros(shape)
        return GaugeHealth(
            coils=0,
            stuck_coils=none.astype(np.int64),
            calibrating_share=none,
            restless=np.full(shape, np.nan),
            off_share=np.full(shape, np.nan),
            missing_share=np.zeros(_FACES),
        )
    rows = np.diff(coils.face_start)
    calibrates = calibration_runs(
        coils.mean_g_m2,
        np.repeat([header.order.zn_min_g_m2 for header in coils.headers], _FACES).astype(np.float64),
        coils.face_start,
    )
    calibrating = np.add.reduceat(calibrates, coils.face_start[:-1], dtype=np.int64)
    told = np.add.reduceat(np.where(calibrates, 0.0, coils.mean_g_m2), coils.face_start[:-1])
    known = rows[:, None] - calibrating
    mean = np.divide(told, known, out=np.full(told.shape, np.nan), where=known > 0)
    stuck = stuck_sensors(coils.mean_g_m2, coils.face_start)
    missing = np.maximum(coils.expected_rows - rows, 0).reshape(count, _FACES).sum(axis=0)
    return GaugeHealth(
        coils=count,
        stuck_coils=stuck.reshape(count, _FACES, SENSORS_PER_FACE).sum(axis=0),
        calibrating_share=_by_face(calibrating).sum(axis=0) / rows.reshape(count, _FACES).sum(axis=0)[:, None],
        restless=_restless(np.where(calibrates, np.nan, coils.mean_g_m2), coils.face_start),
        off_share=np.stack([_off(_by_face(mean)[:, face]) for face in range(_FACES)]),
        missing_share=missing / coils.expected_rows.reshape(count, _FACES).sum(axis=0),
    )


def _restless(told_g_m2: FloatArray, face_start: IntArray) -> FloatArray:
    """[2, 9] mean change of each sensor from row to row over that of its face's middle sensor, median of the coils.

    Args:
        told_g_m2: [R, 9]; NaN where a sensor calibrates.
        face_start: [2B + 1] offsets of the faces.
    """
    change = np.abs(np.diff(told_g_m2, axis=0, prepend=np.nan))
    change[face_start[:-1]] = np.nan  # from one face to the next there is no step
    known = ~np.isnan(change)
    steps = np.add.reduceat(known, face_start[:-1], dtype=np.int64)
    moved = np.add.reduceat(np.where(known, change, 0.0), face_start[:-1])
    mean = np.divide(moved, steps, out=np.full(moved.shape, np.nan), where=steps > 0)
    middle = np.nanmedian(np.where(steps > 0, mean, 0.0), axis=1, keepdims=True)
    times = np.divide(mean, middle, out=np.full(mean.shape, np.nan), where=middle > 0)
    by_face = _by_face(times)
    told = ~np.isnan(by_face).all(axis=0)
    return np.where(told, np.nanmedian(np.where(told, by_face, 0.0), axis=0), np.nan)


def _off(mean_g_m2: FloatArray) -> FloatArray:
    """[9] how far each sensor of a face lies above the square through the others, relative to the coating, by median.

    A sensor that reads off bends the line that its neighbours are held against: the worst is set aside, and the others
    are looked at again. So is one that tells nothing of most coils, for it must not hide the rest.

    Args:
        mean_g_m2: [B, 9] of B coils; NaN where a sensor told nothing, whose coil then says nothing.
    """
    silent = np.isnan(mean_g_m2)
    kept = silent.mean(axis=0) < _MOSTLY
    whole = mean_g_m2[~silent[:, kept].any(axis=1)]
    if not len(whole) or kept.sum() < _LEAST_KEPT:
        return np.full(SENSORS_PER_FACE, np.nan)
    whole = np.where(kept, whole, np.nan)
    while True:
        off: FloatArray = np.median(_above_others(whole, kept), axis=0)
        worst = int(np.argmax(np.where(kept, np.abs(off), 0)))
        if abs(off[worst]) <= OFF_SHARE or kept.sum() <= _LEAST_KEPT:
            return off
        kept[worst] = False


def _above_others(mean_g_m2: FloatArray, kept: BoolArray) -> FloatArray:
    """[B, 9] relative distance of each sensor from the square through those kept, itself left out (Allen 1974)."""
    hat = SQUARE @ np.linalg.pinv(SQUARE[kept])
    distance = mean_g_m2 - mean_g_m2[:, kept] @ hat.T
    own = np.zeros(SENSORS_PER_FACE)
    own[kept] = np.diag(hat[kept])
    above: FloatArray = distance / (1 - own) / np.median(mean_g_m2[:, kept], axis=1, keepdims=True)
    return above


def _by_face(values: FloatArray | IntArray) -> FloatArray:
    """[2B, 9] as [B, 2, 9]."""
    by_face: FloatArray = values.reshape(-1, _FACES, SENSORS_PER_FACE).astype(np.float64)
    return by_face
