"""Bring faces of any number of rows to 264 chunks along the length."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from schemas.coils import Float32Array, FloatArray, IntArray
from schemas.layout import FACES, MATRIX_ROWS, MATRIX_SHAPE, SENSORS_PER_FACE

# Place of each chunk on a grid of n rows, [n, 264]: row i lies at i * 263 / (n - 1), and the row at or before it.
_PLACE = np.arange(MATRIX_ROWS) * (np.arange(MATRIX_ROWS + 1)[:, None] - 1) / (MATRIX_ROWS - 1)
_ROW = np.floor(_PLACE).astype(np.int64)
_AT_ONCE = 8 * 2 * MATRIX_ROWS  # rows of result that stay in the cache: eight coils

_Number = TypeVar("_Number", np.int64, np.float32)


def stretch(
    value: FloatArray, spread: FloatArray | None, face_start: IntArray, grid_row: IntArray, grid_rows: IntArray
) -> tuple[Float32Array, Float32Array]:
    """Stretch or average each face to 264 rows, the two faces of a coil side by side.

    Args:
        value: [R, 9] saliency.
        spread: [R, 9] its standard deviation inside each row, or None where the source has none.
        face_start: [2B + 1] offsets of the faces in the rows, top and bottom of each coil in turn.
        grid_row: [R] place of a row on its face's grid.
        grid_rows: [2B] rows of each grid; above 264, rows are averaged inside chunk floor(264 * row / rows).

    Returns:
        Values and spread, float32 [B, 264, 18] each: columns 0-8 top, 9-17 bottom.
    """
    if (grid_rows > MATRIX_ROWS).any():
        value, spread, face_start, grid_row, grid_rows = _averaged(value, spread, face_start, grid_row, grid_rows)
    before, beyond = _places(face_start, grid_row, grid_rows)
    stretched = _between(value, before, beyond, face_start, grid_row)
    if spread is None:
        return stretched, np.zeros(stretched.shape, dtype=np.float32)
    return stretched, _between(spread, before, beyond, face_start, grid_row)


def _places(face_start: IntArray, grid_row: IntArray, grid_rows: IntArray) -> tuple[IntArray, Float32Array]:
    """For each chunk and face of each coil, [B * 264 * 2]: the row before it, and grid rows from there to the chunk."""
    slot_start = np.concatenate(([0], np.cumsum(grid_rows)))
    slot = np.repeat(slot_start[:-1], np.diff(face_start)) + grid_row
    at_or_before = np.zeros(slot_start[-1], dtype=np.int64)
    at_or_before[slot_start[:-1]] = face_start[:-1]  # chunks before a face's first row take its value
    at_or_before[slot] = np.arange(len(grid_row))
    at_or_before = np.maximum.accumulate(at_or_before)
    at = _ROW.take(grid_rows, axis=0)
    at += slot_start[:-1, None]
    before = at_or_before.take(at)
    beyond = _PLACE.take(grid_rows, axis=0)
    beyond -= grid_row.take(before)
    np.maximum(beyond, 0.0, out=beyond)
    return _interleaved(before, np.int64), _interleaved(beyond, np.float32)


def _interleaved(faces: "np.ndarray[tuple[int, ...], np.dtype[Any]]", dtype: type[_Number]) -> "NDArray[_Number]":
    """[2B, 264] -> [B * 264 * 2]: chunk by chunk, top and bottom."""
    by_coil = faces.reshape(-1, len(FACES), MATRIX_ROWS).transpose(0, 2, 1)
    return np.ascontiguousarray(by_coil, dtype=dtype).reshape(-1)


def _between(
    value: FloatArray, before: IntArray, beyond: Float32Array, face_start: IntArray, grid_row: IntArray
) -> Float32Array:
    """Value of the row before each chunk, plus the slope to the next row times the way to the chunk."""
    at = value.astype(np.float32)
    slope = np.zeros_like(at)
    np.subtract(at[1:], at[:-1], out=slope[:-1])
    slope[face_start[1:] - 1] = 0.0  # the last row of a face has no next: its value holds to the end
    gaps = np.flatnonzero(np.diff(grid_row) > 1)  # missing rows; from face to face `grid_row` falls
    slope[gaps] /= (grid_row[gaps + 1] - grid_row[gaps])[:, None]
    result = np.empty((len(before), SENSORS_PER_FACE), dtype=np.float32)
    for start in range(0, len(before), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        slope.take(before[part], axis=0, out=result[part], mode="clip")  # "clip" lets it write into `out` directly
        result[part] *= beyond[part].repeat(SENSORS_PER_FACE).reshape(-1, SENSORS_PER_FACE)  # faster than to broadcast
        result[part] += at.take(before[part], axis=0)
    return result.reshape(-1, *MATRIX_SHAPE)


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
