"""The form in which generators see a coil: every channel in [-1, 1], and back to a coil that could be one."""

import numpy as np
import torch

from schemas.coils import Float32Array, FloatArray

_GREY_STEPS = 255


def sizes_of(coils: Float32Array) -> FloatArray:
    """The largest absolute value of each channel, float64 [C], 1 where all are zero, of coils [N, C, 264, 18]."""
    largest = np.abs(coils).max(axis=(0, 2, 3)).astype(np.float64)
    return np.where(largest > 0, largest, 1.0)


def to_form(coils: Float32Array, sizes: FloatArray) -> torch.Tensor:
    """Coils as float32 [N, C, 264, 18] in [-1, 1]."""
    return torch.from_numpy((coils / sizes[:, None, None]).astype(np.float32))


def to_coils(made: torch.Tensor, like: Float32Array, sizes: FloatArray, *, grey: bool) -> Float32Array:
    """Coils within what real ones show: no cell beyond their largest, as many cells in band, no negative spread.

    Args:
        made: float32 [M, C, 264, 18] on the CPU, about in [-1, 1].
        like: the real coils, float32 [N, C, 264, 18].
        sizes: of `sizes_of`.
        grey: round to multiples of 1/255, as a `self` matrix is.

    Returns:
        Float32 [M, C, 264, 18].
    """
    coils: Float32Array = (made.clamp(-1, 1).double().numpy() * sizes[:, None, None]).astype(np.float32)
    matrix = coils[:, 0]  # a view
    # Generators never give exactly 0, which is in band, and most cells of a real coil are just that.
    in_band = np.quantile(np.abs(matrix), float((like[:, 0] == 0).mean()))
    matrix[np.abs(matrix) <= in_band] = 0.0
    if grey:
        matrix[:] = np.rint(matrix * _GREY_STEPS) / np.float32(_GREY_STEPS)
    coils[:, 1:] = coils[:, 1:].clip(min=0)
    return coils
