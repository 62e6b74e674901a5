"""The baseline of `bench.normalize`: one coil at a time in pandas, as one would write it from the plant's definition.

Every step is a pandas operation over whole tracks: no loop over cells, and none over coils but the caller's.
"""

import numpy as np
import pandas as pd

from schemas.coils import FloatArray, Limits
from schemas.layout import GAUGE, MATRIX_ROWS


def folded(tiles: pd.DataFrame) -> list[pd.DataFrame]:
    """Tiles of one coil (TILEID, MID, MEAN) to top and bottom [n, 9] in g/m²; rows are found by the gap in TILEID."""
    faces = []
    for mid in (GAUGE.top_mid, GAUGE.bottom_mid):
        face = tiles[tiles["MID"] == mid].sort_values("TILEID").drop_duplicates("TILEID")
        row = (face["TILEID"].diff() > GAUGE.tile_step_max).cumsum()
        faces.append(
            face.assign(row=row, sensor=face.groupby(row).cumcount()).pivot(
                index="row", columns="sensor", values="MEAN"
            )
        )
    return faces


def normalized(faces: list[pd.DataFrame], zn_min: float, zn_max: float, limits: Limits) -> FloatArray:
    """Top and bottom of one coil to its matrix [264, 18]."""
    matrix: FloatArray = pd.concat([_face(face, zn_min, zn_max, limits) for face in faces], axis=1).to_numpy()
    return matrix


def _face(face: pd.DataFrame, zn_min: float, zn_max: float, limits: Limits) -> pd.DataFrame:
    v = face.apply(_calibrated, zn_min=zn_min)
    saliency = (v - zn_min).where(v < zn_min, 0.0) / abs(limits.low)
    saliency = saliency.mask(v > zn_max, (v - zn_max) / limits.high).clip(-1, 1)
    saliency.index = pd.Index(np.arange(len(v)) * (MATRIX_ROWS - 1) / (len(v) - 1))
    chunks = pd.Index(np.arange(MATRIX_ROWS, dtype=float))
    return saliency.reindex(saliency.index.union(chunks)).interpolate(method="index").loc[chunks]


def _calibrated(track: pd.Series, zn_min: float) -> pd.Series:
    """A run below `zn_min` in which any reading is under 5 g/m² becomes `zn_min`."""
    below = track < zn_min
    lowest = track.groupby((below != below.shift()).cumsum()).transform("min")
    return track.mask(below & (lowest < 5.0), zn_min)
