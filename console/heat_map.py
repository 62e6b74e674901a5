"""Heat maps of coils: colour is the distance from the ordered band, blue too thin, red too thick; for page and REST.

A picture is made of bytes directly: matplotlib takes ten times as long as a page may.
"""

from dataclasses import dataclass
from functools import cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flows.coil_matrix import CoilMatrix
from schemas.coils import Float32Array
from schemas.layout import FACES, MATRIX_ROWS, SENSORS_PER_FACE, Face

_COLOURED = 0.98  # of the cells lie within the colours: a short head does not wash the body out
_QUIET_G_M2 = 5.0  # the colours reach at least so far, so that noise does not look like a defect
_STEPS = 127  # of colour on either side of the band
_IN_BAND = 1 + _STEPS  # index of its colour; 0 is what was not measured
# ColorBrewer's RdBu, and for dark pages colours after Crameri's berlin, whose middle is dark. Thin to thick.
_LIGHT = ("053061", "2166ac", "4393c3", "92c5de", "d1e5f0", "f7f7f7", "fddbc7", "f4a582", "d6604d", "b2182b", "67001f")
_DARK = ("9eb0ff", "5ba4db", "2d759a", "1f5066", "183642", "1c1f24", "4a2013", "6f3523", "9a5240", "cf7f72", "ffadad")
_NOT_MEASURED = {False: "b8b8b8", True: "5a5a5a"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One cell of a heat map, for people who ask."""

    face: Face
    sensor: int  # 1..9 across the strip
    chunk: int  # 1..264 along it
    metre: float | None  # middle of the chunk; None where the length is not known
    coating_g_m2: float | None  # as read; None where it was not measured, or is not known
    distance_g_m2: float | None  # from the band, negative below it


@dataclass(frozen=True, kw_only=True, slots=True)
class HeatMap:
    """What a heat map shows of a coil. Arrays are float32 [264, 18], columns 0-8 top, 9-17 bottom, NaN not measured."""

    distance: Float32Array  # from the band in `unit`, negative below it
    coating_g_m2: Float32Array | None
    unit: str  # g/m², or that of a coil that was stretched to its own range
    length_m: float | None
    band_g_m2: tuple[float, float] | None
    reach: float  # distance at which the colours end


def heat_map_of(coil: CoilMatrix) -> HeatMap:
    """The heat map of a coil."""
    unseen = ~coil.measured
    distance = coil.matrix.copy()
    if coil.limits is not None:
        distance *= np.where(distance < 0, np.float32(-coil.limits.low), np.float32(coil.limits.high))
    distance[unseen] = np.nan
    coating = None if coil.coating_g_m2 is None else np.where(unseen, np.float32(np.nan), coil.coating_g_m2)
    return HeatMap(
        distance=distance,
        coating_g_m2=coating,
        unit="of its own range" if coil.limits is None else "g/m²",
        length_m=coil.length_m,
        band_g_m2=coil.band_g_m2,
        reach=1.0 if coil.limits is None else reach_of(distance),
    )


def reach_of(distance_g_m2: Float32Array) -> float:
    """The distance from the band at which the colours end, g/m².

    Args:
        distance_g_m2: float32 [264, 18], NaN where not measured.
    """
    measured = np.abs(distance_g_m2[~np.isnan(distance_g_m2)])
    return max(float(np.quantile(measured, _COLOURED)) if measured.size else 0.0, _QUIET_G_M2)


def heat_map_png(distance_g_m2: Float32Array, *, dark: bool, reach: float | None = None) -> bytes:
    """A heat map of one pixel a cell: 264 wide, 18 high, the top face's nine rows first, sensor 1 uppermost.

    Args:
        distance_g_m2: float32 [264, 18] distance from the band, NaN where not measured.
        dark: for a dark page.
        reach: distance at which the colours end; None: that of `reach_of`.
    """
    image = Image.fromarray(colour_indices(distance_g_m2, reach=reach or reach_of(distance_g_m2)).T)
    image.putpalette(palette(dark=dark))
    written = BytesIO()
    image.save(written, "PNG", compress_level=6)
    return written.getvalue()


def colour_indices(distance: Float32Array, *, reach: float) -> NDArray[np.uint8]:
    """The colour of each cell: 0 not measured, else 1 (at -reach, or below) to 255, uint8 of the same shape."""
    steps = np.rint(distance * np.float32(_STEPS / reach)).clip(-_STEPS, _STEPS) + _IN_BAND
    return np.ascontiguousarray(np.nan_to_num(steps, nan=0.0).astype(np.uint8))


@cache
def palette(*, dark: bool) -> bytes:
    """The colours: 256 times red, green, blue."""
    anchors = np.array([list(bytes.fromhex(colour)) for colour in (_DARK if dark else _LIGHT)], dtype=np.float64)
    at = np.linspace(0, len(anchors) - 1, 2 * _STEPS + 1)
    shades = np.stack([np.interp(at, np.arange(len(anchors)), channel) for channel in anchors.T], axis=1)
    colours: bytes = np.rint(shades).astype(np.uint8).tobytes()
    return bytes.fromhex(_NOT_MEASURED[dark]) + colours


def heat_map_values(heat: HeatMap) -> tuple[Cell, ...]:
    """Every cell in words, row by row along the strip: for tables, and for whoever cannot see colours."""
    return tuple(
        Cell(
            face=FACES[column // SENSORS_PER_FACE],
            sensor=column % SENSORS_PER_FACE + 1,
            chunk=chunk + 1,
            metre=None if heat.length_m is None else (chunk + 0.5) * heat.length_m / MATRIX_ROWS,
            coating_g_m2=None if heat.coating_g_m2 is None else _or_none(heat.coating_g_m2[chunk, column]),
            distance_g_m2=None if heat.unit != "g/m²" else _or_none(heat.distance[chunk, column]),
        )
        for chunk in range(MATRIX_ROWS)
        for column in range(heat.distance.shape[1])
    )


def _or_none(value: np.float32) -> float | None:
    return None if np.isnan(value) else round(float(value), 2)
