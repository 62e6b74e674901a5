"""Which coils look alike: an embedding of a coil's shape, and the nearest by cosine; numpy only, since it serves."""

import math

import numpy as np
from numpy.typing import NDArray

from schemas.coils import Float32Array
from schemas.layout import FACES, MATRIX_ROWS, SENSORS_PER_FACE

MADE_BY = "shape-1"  # another way to embed has another name, and its embeddings are made anew
Embeddings = NDArray[np.int8]

_WINDOWS, _GROUPS = 6, 3
_QUANTILES = (0.02, 0.1, 0.5, 0.9, 0.98)
_WHAT, _WHERE = 2.0, 1.0  # how much it counts what a coil looks like, and where along the strip
_MOST = 127
WIDTH = _WINDOWS * _GROUPS * len(FACES) + len(_QUANTILES) * SENSORS_PER_FACE * len(FACES)
"""Bytes of an embedding."""


def embed(distance: Float32Array) -> Embeddings:
    """The shape of coils as vectors whose cosine says how alike two are.

    Two parts: what the coil looks like, wherever along the strip it does (quantiles of each sensor along the length),
    and where (means of six windows by three groups of sensors a face). Roots of the distances, signs kept: a deep short
    defect does not drown a shallow long one. Made by hand and not taken from a member: features of the members tell OK
    from NOK and hardly one kind of defect from another (docs/results/explain.md), and change with every swap.

    Args:
        distance: float32 [N, 264, 18] from the band in g/m², or of a coil on scale `self` from its commonest level; a
            positive factor changes nothing.

    Returns:
        int8 [N, 126]; all zero for a coil that is nowhere out of its band.

    Example:
        >>> coil = np.zeros((1, 264, 18), dtype=np.float32)
        >>> coil[0, 50:90, 2] = -10
        >>> float(cosine(embed(coil), embed(coil * 2))[0])
        1.0
    """
    size = len(distance)
    quantiles = np.quantile(distance, _QUANTILES, axis=1).transpose(1, 0, 2)
    windows = distance.reshape(
        size, _WINDOWS, MATRIX_ROWS // _WINDOWS, len(FACES), _GROUPS, SENSORS_PER_FACE // _GROUPS
    ).mean(axis=(2, 5))
    parts = (_WHAT * _unit(_root(quantiles)), _WHERE * _unit(_root(windows)))
    found = np.concatenate(parts, axis=1) / max(_WHAT, _WHERE)
    return np.rint(found * _MOST).astype(np.int8)


def cosine(one: Embeddings, others: Embeddings) -> Float32Array:
    """Cosine of one embedding [1, D] with others [N, D], float32 [N]; coils nowhere out of their band are alike."""
    known = others.astype(np.float32)
    asked = one[0].astype(np.float32)
    length, own = np.sqrt(np.einsum("nd,nd->n", known, known)), np.linalg.norm(asked)
    found: Float32Array = (length == 0).astype(np.float32) if own == 0 else np.zeros(len(known), dtype=np.float32)
    np.divide(known @ asked, length * own, out=found, where=length * own > 0)
    return np.clip(found, -1, 1, out=found)


def _root(values: Float32Array) -> Float32Array:
    return np.sign(values) * np.sqrt(np.abs(values))


def _unit(values: Float32Array) -> Float32Array:
    """Each coil's values [N, ...] as one row of unit length; of zeros where all are zero."""
    rows = values.reshape(len(values), math.prod(values.shape[1:]))
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Float32Array = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    return unit
