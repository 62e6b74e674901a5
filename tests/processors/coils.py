"""Coils for tests: built by hand, or drawn by Hypothesis."""

import numpy as np
from hypothesis import strategies as st

from schemas.coils import ChunkRows, CoilHeader, CoilKey, FloatArray, Limits, Order

LIMITS = Limits(low=-60.0, high=80.0)


def header(coil_id: str = "1", zn_min: float = 100.0, zn_max: float = 120.0) -> CoilHeader:
    """A coil's header with its band."""
    return CoilHeader(
        key=CoilKey(plant="p", coil_id=coil_id), order=Order(zn_min_g_m2=zn_min, zn_max_g_m2=zn_max, length_m=500.0)
    )


def rows_of(*coils: tuple[FloatArray, FloatArray], pitch: float = 500.0) -> ChunkRows:
    """Rows of coils given as (top [n, 9], bottom [m, 9]), evenly spaced."""
    faces = [face for coil in coils for face in coil]
    mean = np.concatenate(faces)
    return ChunkRows(
        coil=np.repeat(np.arange(len(faces)) // 2, [len(f) for f in faces]),
        face=np.repeat(np.arange(len(faces)) % 2, [len(f) for f in faces]),
        position=np.concatenate([np.arange(len(f)) * pitch for f in faces]),
        mean_g_m2=mean,
        std_g_m2=np.zeros_like(mean),
    )


@st.composite
def coil_readings(draw: st.DrawFn, max_rows: int = 320) -> tuple[FloatArray, FloatArray]:
    """Top and bottom of one coil, often unlike in number of rows, with runs below the band and near zero."""
    rows = draw(st.one_of(st.integers(2, 12), st.integers(2, max_rows)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    faces = []
    for n in (rows, max(2, rows + draw(st.sampled_from([0, 0, -1, -3, 2])))):
        v = rng.normal(110, draw(st.sampled_from([3.0, 15.0, 60.0])), (n, 9)).clip(0).round(2)
        for _ in range(draw(st.integers(0, 3))):
            start, sensor = int(rng.integers(n)), int(rng.integers(9))
            v[start : start + int(rng.integers(1, 6)), sensor] = rng.uniform(0, 9)
        faces.append(v)
    return faces[0], faces[1]
