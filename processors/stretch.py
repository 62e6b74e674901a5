"""Bring faces of any number of rows to 264 chunks along the length."""

import numpy as np

from schemas.coils import FloatArray, IntArray
from schemas.layout import MATRIX_ROWS


def stretch(
    value: FloatArray, spread: FloatArray | None, face_start: IntArray, grid_row: IntArray, grid_rows: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Stretch or average each face to 264 rows.

    Args:
        value: [R, 9] saliency.
        spread: [R, 9] its standard deviation inside each row, or None where the source has none.
        face_start: [F + 1] offsets of the faces in the rows.
        grid_row: [R] place of a row on its face's grid.
        grid_rows: [F] rows of each grid; above 264, rows are averaged inside chunk floor(264 * row / rows).

    Returns:
        Values and spread, [F, 264, 9] float64 each.
    """
    if (grid_rows > MATRIX_ROWS).any():
        value, spread, face_start, grid_row, grid_rows = _averaged(value, spread, face_start, grid_row, grid_rows)
    before, after, weight = _neighbours(face_start, grid_row, grid_rows)
    stretched = _between(value, before, after, weight)
    if spread is None:
        return stretched, np.zeros_like(stretched)
    return stretched, _between(spread, before, after, weight)


def _between(value: FloatArray, before: IntArray, after: IntArray, weight: FloatArray) -> FloatArray:
    low = value[before]
    result = value[after]
    result -= low
    result *= weight[..., None]
    result += low
    return result


def _neighbours(face_start: IntArray, grid_row: IntArray, grid_rows: IntArray) -> tuple[IntArray, IntArray, FloatArray]:
    """For each face and chunk [F, 264]: the row before it, the row after it, and the weight of the latter."""
    slot_start = np.concatenate(([0], np.cumsum(grid_rows)))
    rows = np.arange(len(grid_row))
    slot = np.repeat(slot_start[:-1], np.diff(face_start)) + grid_row
    at_or_before = np.full(slot_start[-1], -1)
    at_or_before[slot] = rows
    at_or_before = np.maximum.accumulate(at_or_before)
    at_or_after = np.full(slot_start[-1], len(rows))
    at_or_after[slot] = rows
    at_or_after = np.minimum.accumulate(at_or_after[::-1])[::-1]
    x = np.arange(MATRIX_ROWS) * (grid_rows[:, None] - 1) / (MATRIX_ROWS - 1)
    below = np.floor(x).astype(np.int64)
    above = np.minimum(below + 1, grid_rows[:, None] - 1)
    first, last = face_start[:-1, None], face_start[1:, None] - 1
    before = np.clip(at_or_before[slot_start[:-1, None] + below], first, last)
    after = np.clip(at_or_after[slot_start[:-1, None] + above], first, last)
    gap = grid_row[after] - grid_row[before]
    weight = np.clip((x - grid_row[before]) / np.maximum(gap, 1), 0.0, 1.0)
    return before, after, weight


def _averaged(
    value: FloatArray, spread: FloatArray | None, face_start: IntArray, grid_row: IntArray, grid_rows: IntArray
) -> tuple[FloatArray, FloatArray, IntArray, IntArray, IntArray]:
    """Average faces of more than 264 rows inside 264 equal chunks; the total variance inside a chunk is its spread."""
    face = np.repeat(np.arange(len(grid_rows)), np.diff(face_start))
    long = grid_rows[face] > MATRIX_ROWS
    chunk = np.where(long, grid_row * MATRIX_ROWS // grid_rows[face], grid_row)
    begins = np.concatenate(([True], (np.diff(face) != 0) | (np.diff(chunk) != 0)))
    start = np.flatnonzero(begins)
    size = np.diff(np.append(start, len(face)))[:, None]
    inside = spread**2 if spread is not None else np.zeros_like(value)
    mean = np.add.reduceat(value, start, axis=0) / size
    centred = value - np.repeat(mean, size[:, 0], axis=0)
    variance = np.add.reduceat(centred**2 + inside, start, axis=0) / size
    rows_per_face = np.bincount(face[start], minlength=len(grid_rows))
    return (
        mean,
        np.sqrt(variance),
        np.concatenate(([0], np.cumsum(rows_per_face))),
        chunk[start],
        np.minimum(grid_rows, MATRIX_ROWS),
    )
