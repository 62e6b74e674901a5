"""The second scale of a coil matrix: `self`, in which a coil is measured against itself."""

import numpy as np

from schemas.coils import Float32Array, Limits

GREY_LEVELS = 256


def to_self_scale(matrix: Float32Array) -> Float32Array:
    """Each cell's deviation from its coil's commonest level, as a share of the coil's own range.

    The coil is stretched to its own minimum and maximum over 256 grey levels, as grey-level sources store
    it; the commonest level is usually the in-band zero (FACTS section 5). Positive affine changes of a coil
    change nothing.

    Args:
        matrix: float32 [B, 264, 18], finite, any unit.

    Returns:
        float32 [B, 264, 18] in [-1, 1], multiples of 1/255, zero at the commonest level (the lowest where
        several are equally common); all zeros for a constant coil.

    Example:
        >>> coil = np.full((1, 264, 18), 60.0, dtype=np.float32)
        >>> coil[0, 0, 0], coil[0, 0, 1] = 50.0, 70.0
        >>> to_self_scale(coil)[0, 0, :3].round(1).tolist()
        [-0.5, 0.5, 0.0]
    """
    size = len(matrix)
    lowest = matrix.min(axis=(1, 2), keepdims=True) if size else matrix[:, :1, :1]
    highest = matrix.max(axis=(1, 2), keepdims=True) if size else matrix[:, :1, :1]
    span = highest - lowest
    share = (matrix - lowest) / np.where(span > 0, span, np.float32(1))
    levels = np.rint(share * np.float32(GREY_LEVELS - 1)).astype(np.int64)
    offsets = np.arange(size, dtype=np.int64)[:, None, None] * GREY_LEVELS
    counts = np.bincount((levels + offsets).reshape(-1), minlength=GREY_LEVELS * size)
    commonest = counts.reshape(size, GREY_LEVELS).argmax(axis=1)
    deviation: Float32Array = (levels - commonest[:, None, None]).astype(np.float32)
    deviation /= np.float32(GREY_LEVELS - 1)
    return deviation


def to_self_spread(spread: Float32Array, matrix: Float32Array) -> Float32Array:
    """The spread of each cell as a share of its coil's own range, as `to_self_scale` makes it of the matrix.

    Args:
        spread: float32 [B, 264, 18], in the unit of the matrix.
        matrix: float32 [B, 264, 18], before it is rescaled.

    Returns:
        float32 [B, 264, 18]; all zeros for a constant coil.
    """
    if not len(matrix):
        return spread
    span = np.ptp(matrix, axis=(1, 2), keepdims=True)
    share: Float32Array = np.divide(spread, span, out=np.zeros_like(spread), where=span > 0)
    return share


def in_g_m2(matrix: Float32Array, limits: Limits) -> Float32Array:
    """How far cells lie out of the band in g/m², below zero where too thin.

    Args:
        matrix: float32 [..., 264, 18] on scale `limits`.
        limits: by which it was normalised.
    """
    distance: Float32Array = matrix * np.where(matrix < 0, np.float32(-limits.low), np.float32(limits.high))
    return distance


def from_band(matrix: Float32Array, limits: Limits | None) -> Float32Array:
    """How far the cells of one coil lie out of its band in g/m², or from its commonest level where no band is known.

    Args:
        matrix: float32 [264, 18].
        limits: by which it was normalised; None on scale `self`.
    """
    return to_self_scale(matrix[None])[0] if limits is None else in_g_m2(matrix, limits)
