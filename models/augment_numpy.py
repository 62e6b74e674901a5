"""Changed copies of coils where torch is absent: what `models.augment` does to a batch, coil by coil in NumPy."""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from scipy.ndimage import map_coordinates

from models.data_spec import Augmentation
from schemas.coils import Float32Array
from schemas.layout import FACES, MATRIX_COLUMNS, MATRIX_ROWS, SENSORS_PER_FACE

_GREY_STEPS = 255
_ROWS_A_COLUMN = MATRIX_ROWS / MATRIX_COLUMNS  # a column is so many rows wide where the picture of a coil is square


def changed_copies(
    matrix: Float32Array,
    spread: Float32Array,
    revisions: Sequence[str],
    how: Augmentation,
    *,
    copies: int,
    grey: bool,
    seed: int,
) -> tuple[Float32Array, Float32Array]:
    """So many changed copies of each coil.

    A copy follows from the seed, its number and the coil's revision alone, so that a population that grew since has
    the same copies of the coils it had.

    Args:
        matrix: float32 [N, 264, 18], not altered.
        spread: float32 [N, 264, 18]; it moves with the matrix, its values are kept.
        revisions: of the N coils.
        how: which changes and how strong.
        copies: of each coil.
        grey: round to multiples of 1/255, as a `self` matrix is, and clip to [-1, 1].
        seed: of all draws.

    Returns:
        Matrices and spreads, float32 [N × copies, 264, 18] each; the copies of a coil stand together.
    """
    shape = (len(matrix) * copies, *matrix.shape[1:])
    matrices, spreads = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.float32)
    for coil, revision in enumerate(revisions):
        for copy in range(copies):
            rng = _generator(seed, copy, revision)
            place = coil * copies + copy
            matrices[place], spreads[place] = _changed(matrix[coil], spread[coil], how, grey=grey, rng=rng)
    return matrices, spreads


def _generator(seed: int, copy: int, revision: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed} {copy} {revision}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16]))


def _changed(
    matrix: Float32Array, spread: Float32Array, how: Augmentation, *, grey: bool, rng: np.random.Generator
) -> tuple[Float32Array, Float32Array]:
    draw = rng.random(5)
    coil = np.stack([matrix, spread])
    for face in range(len(FACES)):
        columns = slice(face * SENSORS_PER_FACE, (face + 1) * SENSORS_PER_FACE)
        if draw[face] < how.mirror:
            coil[..., columns] = coil[..., columns][..., ::-1].copy()
    if draw[2] < how.reverse:
        coil = coil[:, ::-1]
    if how.shift_rows:
        by = round((2 * draw[3] - 1) * how.shift_rows)
        rows = coil.shape[1]
        coil = coil[:, (np.arange(rows) + by).clip(0, rows - 1)]
    if how.rotation_deg:
        coil = _rotated(coil, (2 * rng.random(len(FACES)) - 1) * math.radians(how.rotation_deg))
    cells = coil[0] * (1 + (2 * draw[4] - 1) * how.contrast)
    cells = cells + how.offset * rng.standard_normal() + how.noise * rng.standard_normal(cells.shape)
    if grey:
        cells = np.rint(cells.clip(-1, 1) * _GREY_STEPS) / _GREY_STEPS
    return cells.astype(np.float32), coil[1]


def _rotated(coil: Float32Array, turns: np.ndarray) -> Float32Array:
    """Turn each face of [C, 264, 18] about its middle in the square picture, as `models.augment` does it."""
    down, across = np.meshgrid(
        np.arange(MATRIX_ROWS) - (MATRIX_ROWS - 1) / 2,
        (np.arange(SENSORS_PER_FACE) - (SENSORS_PER_FACE - 1) / 2) * _ROWS_A_COLUMN,
        indexing="ij",
    )
    turned = np.empty_like(coil)
    for face, turn in enumerate(turns):
        columns = slice(face * SENSORS_PER_FACE, (face + 1) * SENSORS_PER_FACE)
        rows_from = math.sin(turn) * across + math.cos(turn) * down + (MATRIX_ROWS - 1) / 2
        columns_from = (math.cos(turn) * across - math.sin(turn) * down) / _ROWS_A_COLUMN + (SENSORS_PER_FACE - 1) / 2
        for channel in range(len(coil)):
            turned[channel, :, columns] = map_coordinates(
                coil[channel, :, columns], [rows_from, columns_from], order=1, mode="nearest"
            )
    return turned
