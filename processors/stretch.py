"""Bring faces of any number of rows to 264 chunks along the length."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from schemas.coils import Float32Array, FloatArray, IntArray
from schemas.layout import FACES, MATRIX_ROWS, MATRIX_SHAPE, SENSORS_PER_FACE

# Place of each chunk among n rows, [n, 264]: row i lies at i * 263 / (n - 1); the row at or before it; the way beyond.
_PLACE = np.arange(MATRIX_ROWS) * (np.arange(MATRIX_ROWS + 1)[:, None] - 1) / (MATRIX_ROWS - 1)
_ROW = np.floor(_PLACE).astype(np.int64)
_BEYOND = (_PLACE - _ROW).astype(np.float32)
_AT_ONCE = 8 * 2 * MATRIX_ROWS  # rows of result that stay in the cache: eight coils

_Number = TypeVar("_Number", np.int64, np.float32)


def stretch(value: FloatArray, spread: FloatArray | None, face_start: IntArray) -> tuple[Float32Array, Float32Array]:
    """Stretch or average each face to 264 rows, the two faces of a coil side by side.

    Args:
        value: [R, 9] saliency.
        spread: [R, 9] its standard deviation inside each row, or None where the source has none.
        face_start: [2B + 1] offsets of the faces in the rows, top and bottom of each coil in turn; row r of more than
            264 is averaged inside chunk floor(264 * r / rows).

    Returns:
        Values and spread, float32 [B, 264, 18] each: columns 0-8 top, 9-17 bottom.
    """
    if (np.diff(face_start) > MATRIX_ROWS).any():
        value, spread, face_start = _averaged(value, spread, face_start)
    before, beyond = _places(face_start)
    stretched = _between(value, before, beyond, face_start)
    if spread is None:
        return stretched, np.zeros(stretched.shape, dtype=np.float32)
    return stretched, _between(spread, before, beyond, face_start)


def _places(face_start: IntArray) -> tuple[IntArray, Float32Array]:
    """For each chunk and face of each coil, [B * 264 * 2]: the row before it, and how far beyond that row it lies."""
    count = np.diff(face_start)
    before = _ROW.take(count, axis=0)
    before += face_start[:-1, None]
    return _interleaved(before), _interleaved(_BEYOND.take(count, axis=0))


def _interleaved(faces: NDArray[_Number]) -> NDArray[_Number]:
    """[2B, 264] -> [B * 264 * 2]: chunk by chunk, top and bottom."""
    return np.ascontiguousarray(faces.reshape(-1, len(FACES), MATRIX_ROWS).transpose(0, 2, 1)).reshape(-1)


def _between(value: FloatArray, before: IntArray, beyond: Float32Array, face_start: IntArray) -> Float32Array:
    """Value of the row before each chunk, plus the slope to the next row times the way to the chunk."""
    at = value.astype(np.float32)
    slope = np.zeros_like(at)
    np.subtract(at[1:], at[:-1], out=slope[:-1])
    slope[face_start[1:] - 1] = 0.0  # the last row of a face has no next
    result = np.empty((len(before), SENSORS_PER_FACE), dtype=np.float32)
    for start in range(0, len(before), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        slope.take(before[part], axis=0, out=result[part], mode="clip")  # "clip" lets it write into `out` directly
        result[part] *= beyond[part, None]
        result[part] += at.take(before[part], axis=0)
    return result.reshape(-1, *MATRIX_SHAPE)


def _averaged(
    value: FloatArray, spread: FloatArray | None, face_start: IntArray
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Average faces of more than 264 rows inside 264 equal chunks; the total variance inside a chunk is its spread."""
    count = np.diff(face_start)
    face = np.repeat(np.arange(len(count)), count)
    rank = np.arange(len(face)) - face_start[face]
    chunk = np.where(count[face] > MATRIX_ROWS, rank * MATRIX_ROWS // count[face], rank)
    begins = np.concatenate(([True], (np.diff(face) != 0) | (np.diff(chunk) != 0)))
    start = np.flatnonzero(begins)
    size = np.diff(np.append(start, len(face)))[:, None]
    inside = spread**2 if spread is not None else np.zeros_like(value)
    mean = np.add.reduceat(value, start, axis=0) / size
    centred = value - np.repeat(mean, size[:, 0], axis=0)
    variance = np.add.reduceat(centred**2 + inside, start, axis=0) / size
    return mean, np.sqrt(variance), np.concatenate(([0], np.cumsum(np.minimum(count, MATRIX_ROWS))))
