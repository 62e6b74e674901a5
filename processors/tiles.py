"""Fold the plant's tiles, one reading each, into gauge rows of nine sensors."""

from dataclasses import dataclass

import numpy as np

from schemas.coils import BoolArray, ChunkRows, FloatArray, IntArray
from schemas.layout import FACES, FARTHEST, GAUGE, SENSORS_PER_FACE, GaugeLayout

Faults = dict[int, tuple[str, str]]  # index of the coil -> (error, remedy)


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
    faults: Faults


def fold_tiles(tiles: Tiles, gauge: GaugeLayout = GAUGE) -> Folded:
    """Find the rows of nine by the gap in TILEID.

    Tiles are sorted by coil, face and TILEID; the nine sensors of a row lie as far apart as `gauge` says (28-29), any
    other step starts the next row (never blind folding in nines). Exact repeats count once. A repeat that disagrees, a
    row that is not nine wide, an unknown MID or a TILEID that is no number is a fault of its coil.

    Returns:
        Rows at the position of their first tile, spread zero.
    """
    faults = _unplaced(tiles, gauge)
    group, tile_id, value = _in_order(tiles)
    new_face = np.diff(group, prepend=-1) != 0
    step = np.diff(tile_id, prepend=np.nan)
    repeat = ~new_face & (step == 0)
    if repeat.any():
        _add_conflicts(faults, np.flatnonzero(repeat), group, tile_id, value)
        once = ~repeat
        group, tile_id, value, new_face = group[once], tile_id[once], value[once], new_face[once]
        step = np.diff(tile_id, prepend=np.nan)
    starts = np.flatnonzero(new_face | ~((step >= gauge.tile_step_min) & (step <= gauge.tile_step_max)))
    width = np.diff(np.append(starts, len(group)))
    if (width != SENSORS_PER_FACE).any():
        _add_odd_rows(faults, starts, width, group, tile_id, gauge)
        starts = starts[width == SENSORS_PER_FACE]
    if faults:
        starts = starts[~np.isin(group[starts] // 2, list(faults))]
    coil, face = np.divmod(group[starts], 2)
    mean = value.take(starts[:, None] + np.arange(SENSORS_PER_FACE))
    rows = ChunkRows(coil=coil, face=face, position=tile_id[starts], mean_g_m2=mean, std_g_m2=np.zeros(mean.shape))
    return Folded(rows=rows, faults=faults)


def _in_order(tiles: Tiles) -> tuple[IntArray, FloatArray, FloatArray]:
    """Face (2 * coil + side), TILEID and reading of the tiles that have a place, sorted by face and TILEID."""
    group, tile_id, value = 2 * tiles.coil + tiles.face, tiles.tile_id, tiles.mean_g_m2
    usable = (tiles.face >= 0) & (np.abs(tile_id) <= FARTHEST)
    if not usable.all():
        group, tile_id, value = group[usable], tile_id[usable], value[usable]
    small = group.astype(np.int16) if len(group) and group.max() < 2**15 else group  # sorted in linear time
    order = np.argsort(small, kind="stable")
    if not _ascending(group.take(order), tile_id.take(order)):  # tables are mostly written along the strip
        order = np.lexsort((tile_id, group))
    return group.take(order), tile_id.take(order), value.take(order)


def _ascending(group: IntArray, tile_id: FloatArray) -> bool:
    return bool(((tile_id[1:] >= tile_id[:-1]) | (group[1:] != group[:-1])).all())


def _add_conflicts(faults: Faults, repeats: IntArray, group: IntArray, tile_id: FloatArray, value: FloatArray) -> None:
    """Note the coils with a tile that says something else than the tile before it, at the same place."""
    now, before = value[repeats], value[repeats - 1]
    for i in repeats[~((now == before) | (np.isnan(now) & np.isnan(before)))].tolist():
        coil, face = divmod(int(group[i]), 2)
        faults.setdefault(
            coil,
            (
                f"{FACES[face]} face has two tiles {tile_id[i]:g} that disagree: "
                f"{value[i - 1]:g} and {value[i]:g} g/m²",
                "find out which reading is right and send that one alone",
            ),
        )


def _add_odd_rows(
    faults: Faults, starts: IntArray, width: IntArray, group: IntArray, tile_id: FloatArray, gauge: GaugeLayout
) -> None:
    """Note the coils with a row that is not nine tiles wide."""
    for i in np.flatnonzero(width != SENSORS_PER_FACE).tolist():
        coil, face = divmod(int(group[starts[i]]), 2)
        faults.setdefault(
            coil,
            (
                f"{FACES[face]} face, the row that starts at TILEID {tile_id[starts[i]]:g} has {width[i]} tiles, "
                f"expected {SENSORS_PER_FACE} that lie {_apart(gauge)} apart",
                "send whole rows, or leave the whole row out",
            ),
        )


def face_of_mid(mid: bytes, gauge: GaugeLayout = GAUGE) -> int:
    """Face of a MID: 0 top, 1 bottom, -1 any other."""
    return {gauge.top_mid.encode(): 0, gauge.bottom_mid.encode(): 1}.get(mid.strip(), -1)


def _apart(gauge: GaugeLayout) -> str:
    """Measured steps lie within the bounds, which leave one tile of room either way."""
    return "28-29" if gauge == GAUGE else f"{gauge.tile_step_min:g}-{gauge.tile_step_max:g}"


def _unplaced(tiles: Tiles, gauge: GaugeLayout) -> Faults:
    faults: Faults = {}
    unknown: BoolArray = tiles.face < 0
    for coil in np.unique(tiles.coil[unknown]).tolist():
        faults[coil] = (
            f"a tile's MID is neither {gauge.top_mid} (top) nor {gauge.bottom_mid} (bottom)",
            "correct the MID, or leave the other gauges' tiles out",
        )
    for coil in np.unique(tiles.coil[~(np.abs(tiles.tile_id) <= FARTHEST)]).tolist():
        faults.setdefault(coil, ("a TILEID is no position on a strip", "send the tile's position along the strip"))
    return faults
