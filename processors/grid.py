"""Find the grid that the rows of a coil stand on, so that wholly missing rows leave a gap."""

import numpy as np

from schemas.coils import FloatArray, IntArray

_TOLERANCE = 0.1  # of the pitch: rounded positions still count as regular


def place_rows(position: FloatArray, face_start: IntArray) -> tuple[IntArray, IntArray]:
    """Index each row on its face's grid.

    Where the rows of a coil lie at multiples of one pitch, both faces share that grid and absent multiples are missing
    rows; else rows are numbered as they come, as the plant's definition does.

    Args:
        position: [R] float64, ascending within a face.
        face_start: [2B + 1] int64, top and bottom of each coil in turn; at least two rows a face.

    Returns:
        `grid_row` [R] int64 and `grid_rows` [2B] int64.
    """
    count = np.diff(face_start)
    grid_row = np.arange(len(position)) - np.repeat(face_start[:-1], count)
    grid_rows = count.copy()
    for coil in np.flatnonzero(_needs_a_look(position, face_start)).tolist():
        low, middle, high = face_start[2 * coil : 2 * coil + 3].tolist()
        top, bottom = position[low:middle], position[middle:high]
        both = np.union1d(top, bottom)
        shared = _regular(both)
        if shared is not None:
            grid_row[low:middle] = shared[np.searchsorted(both, top)]
            grid_row[middle:high] = shared[np.searchsorted(both, bottom)]
            grid_rows[2 * coil : 2 * coil + 2] = shared[-1] + 1
            continue
        for face, start, stop in ((2 * coil, low, middle), (2 * coil + 1, middle, high)):
            own = _regular(position[start:stop])
            if own is not None:
                grid_row[start:stop] = own
                grid_rows[face] = own[-1] + 1
    return grid_row, grid_rows


def _needs_a_look(position: FloatArray, face_start: IntArray) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Coils whose two faces are not plainly the same evenly spaced rows."""
    first, last = position[face_start[:-1]], position[face_start[1:] - 1]
    step = np.diff(position, append=position[-1:])
    inside = np.ones(len(position), dtype=bool)
    inside[face_start[1:] - 1] = False
    widest = np.maximum.reduceat(np.where(inside, step, -np.inf), face_start[:-1]) if len(first) else first
    narrowest = np.minimum.reduceat(np.where(inside, step, np.inf), face_start[:-1]) if len(first) else first
    uneven = (widest > (1 + _TOLERANCE) * narrowest).reshape(-1, 2).any(axis=1)
    top, bottom = slice(0, None, 2), slice(1, None, 2)
    apart = (first[top] != first[bottom]) | (last[top] != last[bottom])
    result: np.ndarray[tuple[int], np.dtype[np.bool_]] = uneven | apart
    return result


def _regular(position: FloatArray) -> IntArray | None:
    """Index on a grid of one pitch, or None where there is no such grid or most of it would be empty."""
    step = np.diff(position)
    pitch = np.median(step)
    multiple = np.rint(step / pitch)
    regular = (
        (np.abs(step / pitch - multiple) <= _TOLERANCE).all()
        and (multiple >= 1).all()
        and 2 * (multiple == 1).sum() > len(step)
    )
    if not regular or multiple.sum() + 1 > 2 * len(position):
        return None
    return np.concatenate(([0], np.cumsum(multiple))).astype(np.int64)
