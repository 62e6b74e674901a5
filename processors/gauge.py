"""Doubts about the gauge itself."""

import numpy as np

from schemas.coils import FloatArray, IntArray
from schemas.layout import FACES

_MIN_ROWS = 10  # fewer rows may repeat a value by chance


def stuck_sensors(mean_g_m2: FloatArray, face_start: IntArray) -> dict[int, list[str]]:
    """Sensors that repeat one value over more than half of a coil.

    Args:
        mean_g_m2: [R, 9] readings in g/m², rows in order along the strip.
        face_start: [2B + 1] offsets of the faces, top and bottom of each coil in turn.

    Returns:
        Index of the coil -> names such as "top sensor 3" (counted from 1).
    """
    count = np.diff(face_start)
    if not len(count):
        return {}
    equal = np.zeros(mean_g_m2.shape, dtype=np.int64)
    equal[1:] = mean_g_m2[1:] == mean_g_m2[:-1]
    equal[face_start[:-1]] = 0
    share = np.add.reduceat(equal, face_start[:-1], axis=0) / count[:, None]
    stuck: dict[int, list[str]] = {}
    for face, sensor in np.argwhere((share > 0.5) & (count >= _MIN_ROWS)[:, None]).tolist():
        stuck.setdefault(face // 2, []).append(f"{FACES[face % 2]} sensor {sensor + 1}")
    return stuck
