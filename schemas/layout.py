"""Geometry of the gauge and of the coil matrix (plant tables and study; see docs/normalisation.md)."""

from dataclasses import dataclass
from typing import Literal

Face = Literal["top", "bottom"]

FACES: tuple[Face, Face] = ("top", "bottom")
SENSORS_PER_FACE = 9
MATRIX_ROWS = 264
FARTHEST = 1e12  # position along the strip, in any unit down to micrometres
MOST_ROWS = 100_000  # a face: more is a mistake
MATRIX_COLUMNS = len(FACES) * SENSORS_PER_FACE
MATRIX_SHAPE = (MATRIX_ROWS, MATRIX_COLUMNS)


@dataclass(frozen=True, kw_only=True, slots=True)
class GaugeLayout:
    """How the plant's table names the faces and numbers the tiles of one gauge.

    `TILEID` is a position along the strip; the nine sensors of a row lie 28-29 apart, so a step outside
    `tile_step_min..tile_step_max` starts the next row.
    """

    top_mid: str = "1234"
    bottom_mid: str = "1243"
    tile_step_min: float = 27.0
    tile_step_max: float = 30.0


GAUGE = GaugeLayout()
