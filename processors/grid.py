"""Tell from the positions of its rows how many a coil should have, so that wholly missing rows are noticed."""

import numpy as np

from schemas.coils import BoolArray, FloatArray, IntArray

_TOLERANCE = 0.1  # of the pitch: rounded positions still count as regular


def expected_rows(position: FloatArray, face_start: IntArray) -> IntArray:
    """Rows that each face would have if none were missing.

    Where the rows of a face lie at multiples of one pitch, absent multiples between them are missing. Faces of one
    pitch and phase but unlike in number also show each other the rows missing at their ends; faces alike in number
    may stand apart, as their gauges do. Rows without a pitch are all there.

    Args:
        position: [R] float64, ascending within a face.
        face_start: [2B + 1] int64, top and bottom of each coil in turn; at least two rows a face.

    Returns:
        [2B] int64, each at least the number of rows the face has.
    """
    expected = np.diff(face_start)
    for coil in np.flatnonzero(_uneven(position, face_start)).tolist():
        low, middle, high = face_start[2 * coil : 2 * coil + 3].tolist()
        top, bottom = position[low:middle], position[middle:high]
        pitches = _pitch(top), _pitch(bottom)
        for face, (rows, pitch) in enumerate(zip((top, bottom), pitches, strict=True)):
            if pitch is not None:
                expected[2 * coil + face] = _steps(rows[-1] - rows[0], pitch) + 1
        if len(top) != len(bottom) and _on_one_grid(top, bottom, pitches):
            extent = max(top[-1], bottom[-1]) - min(top[0], bottom[0])
            expected[2 * coil : 2 * coil + 2] = _steps(extent, pitches[0] or 1.0) + 1
    return expected


def _uneven(position: FloatArray, face_start: IntArray) -> BoolArray:
    """Coils with unlike steps between their rows, or with unlike faces, [B]."""
    count = np.diff(face_start)
    if not len(count):
        return np.zeros(0, dtype=bool)
    step = np.diff(position, append=0.0)
    last = face_start[1:] - 1
    step[last] = step[last - 1]  # no step leads from face to face
    widest, narrowest = (of.reduceat(step, face_start[:-1]) for of in (np.maximum, np.minimum))
    uneven = (widest > (1 + _TOLERANCE) * narrowest).reshape(-1, 2).any(axis=1)
    unlike: BoolArray = np.logical_or(uneven, count[::2] != count[1::2])
    return unlike


def _pitch(position: FloatArray) -> float | None:
    """The pitch that most steps have and all are multiples of, or None where half of the rows would be missing."""
    step = np.diff(position)
    pitch = float(np.median(step))
    multiple = np.rint(step / pitch)
    regular = (np.abs(step / pitch - multiple) <= _TOLERANCE).all() and 2 * (multiple == 1).sum() > len(step)
    return pitch if regular and multiple.sum() + 1 <= 2 * len(position) else None


def _on_one_grid(top: FloatArray, bottom: FloatArray, pitches: tuple[float | None, float | None]) -> bool:
    one, other = pitches
    if one is None or other is None or abs(one - other) > _TOLERANCE * one:
        return False
    apart = (bottom[0] - top[0]) / one
    return bool(abs(apart - np.rint(apart)) <= _TOLERANCE and abs(apart) < max(len(top), len(bottom)))


def _steps(extent_of_positions: float, pitch: float) -> int:
    return int(np.rint(extent_of_positions / pitch))
