"""Fold the plant's tiles, one reading each, into gauge rows of nine sensors."""

from dataclasses import dataclass

import numpy as np

from schemas.coils import BoolArray, ChunkRows, FloatArray, IntArray
from schemas.layout import FACES, GAUGE, SENSORS_PER_FACE


@dataclass(frozen=True, kw_only=True, slots=True)
class Tiles:
    """Tiles of many coils in columns, in any order, N tiles.

    `coil` [N] int64 index of the coil; `face` [N] int64, 0 top, 1 bottom, -1 where the MID is neither;
    `tile_id` [N] float64 position along the strip; `mean_g_m2` [N] float64.
    """

    coil: IntArray
    face: IntArray
    tile_id: FloatArray
    mean_g_m2: FloatArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Folded:
    """Rows of the coils that could be folded, and index of the coil -> (error, remedy) for the others."""

    rows: ChunkRows
    faults: dict[int, tuple[str, str]]


def fold_tiles(tiles: Tiles) -> Folded:
    """Find the rows of nine by the gap in TILEID.

    Tiles are sorted by coil, face and TILEID; the nine sensors of a row lie 28-29 apart, any other step starts the next
    row (never blind folding in nines). Exact repeats count once. A repeat that disagrees, a row that is not nine wide,
    an unknown MID or a TILEID that is no number is a fault of its coil.

    Returns:
        Rows at the position of their first tile, spread zero.
    """
    faults = _unplaced(tiles)
    usable = (tiles.face >= 0) & np.isfinite(tiles.tile_id)
    order = np.lexsort((tiles.tile_id, tiles.face, tiles.coil))
    order = order[usable[order]]
    coil, face = tiles.coil[order], tiles.face[order]
    tile_id, value = tiles.tile_id[order], tiles.mean_g_m2[order]
    step = np.diff(tile_id, prepend=np.nan)
    new_face = (np.diff(coil, prepend=-1) != 0) | (np.diff(face, prepend=-1) != 0)
    repeat = ~new_face & (step == 0)
    at = np.flatnonzero(repeat)
    differs = ~((value[at] == value[at - 1]) | (np.isnan(value[at]) & np.isnan(value[at - 1])))
    for i in at[differs].tolist():
        faults.setdefault(
            int(coil[i]),
            (
                f"{FACES[face[i]]} face has two tiles {tile_id[i]:g} that disagree: "
                f"{value[i - 1]:g} and {value[i]:g} g/m²",
                "find out which reading is right and send that one alone",
            ),
        )
    once = ~repeat
    coil, face, tile_id, value, new_face = coil[once], face[once], tile_id[once], value[once], new_face[once]
    step = np.diff(tile_id, prepend=np.nan)
    starts = np.flatnonzero(new_face | ~((step >= GAUGE.tile_step_min) & (step <= GAUGE.tile_step_max)))
    width = np.diff(np.append(starts, len(coil)))
    for i in np.flatnonzero(width != SENSORS_PER_FACE).tolist():
        first = starts[i]
        faults.setdefault(
            int(coil[first]),
            (
                f"{FACES[face[first]]} face, the row that starts at TILEID {tile_id[first]:g} has {width[i]} tiles, "
                f"expected {SENSORS_PER_FACE} that lie 28-29 apart",
                "send whole rows, or leave the whole row out",
            ),
        )
    starts = starts[width == SENSORS_PER_FACE]
    if faults:
        starts = starts[~np.isin(coil[starts], list(faults))]
    mean = value[starts[:, None] + np.arange(SENSORS_PER_FACE)]
    rows = ChunkRows(
        coil=coil[starts],
        face=face[starts],
        position=tile_id[starts],
        mean_g_m2=mean,
        std_g_m2=np.zeros_like(mean),
    )
    return Folded(rows=rows, faults=faults)


def face_of_mid(mid: bytes) -> int:
    """Face of a MID: 0 top (1234), 1 bottom (1243), -1 any other."""
    return {GAUGE.top_mid.encode(): 0, GAUGE.bottom_mid.encode(): 1}.get(mid.strip(), -1)


def _unplaced(tiles: Tiles) -> dict[int, tuple[str, str]]:
    faults: dict[int, tuple[str, str]] = {}
    unknown: BoolArray = tiles.face < 0
    for coil in np.unique(tiles.coil[unknown]).tolist():
        faults[coil] = (
            f"a tile's MID is neither {GAUGE.top_mid} (top) nor {GAUGE.bottom_mid} (bottom)",
            "correct the MID, or leave the other gauges' tiles out",
        )
    for coil in np.unique(tiles.coil[~np.isfinite(tiles.tile_id)]).tolist():
        faults.setdefault(coil, ("a TILEID is no number", "send the tile's position along the strip"))
    return faults
