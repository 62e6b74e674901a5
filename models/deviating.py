"""Where a coil deviates most, without any model: rectangles as an explanation names, of the deviation alone."""

import numpy as np

from models.explain import GROUP_SENSORS, SENSOR_GROUPS, WINDOW_ROWS, WINDOWS
from models.explained_regions import regions_of
from models.place_features import Place
from schemas.coils import Float32Array, FloatArray
from schemas.layout import FACES


def deviating_places(distance: Float32Array) -> list[Place]:
    """At most three places of a coil, the one with the largest deviation first; none where it nowhere deviates.

    Args:
        distance: float32 [264, 18] from the band, or from the commonest level; any unit.
    """
    return [
        Place(
            face=FACES[box.face],
            first_row=box.window * WINDOW_ROWS,
            last_row=(box.window + box.windows) * WINDOW_ROWS,
            first_sensor=box.group * GROUP_SENSORS,
            last_sensor=(box.group + box.groups) * GROUP_SENSORS - 1,
        )
        for box in regions_of(_cells(distance))
    ]


def _cells(distance: Float32Array) -> FloatArray:
    """How far each cell of an explanation's grid is from undisturbed strip in the mean, float64 [2, 24, 3]."""
    size = np.abs(distance, dtype=np.float64)
    cells: FloatArray = size.reshape(WINDOWS, WINDOW_ROWS, len(FACES), SENSOR_GROUPS, GROUP_SENSORS).mean(axis=(1, 4))
    return cells.transpose(1, 0, 2)
