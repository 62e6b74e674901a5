"""Numbers of a coil on scale `self`: twelve by hand, and worst windows of many sizes."""

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view

from models.networks.steps import GaugeSteps
from schemas.coils import Float32Array, FloatArray
from schemas.layout import MATRIX_ROWS, SENSORS_PER_FACE

HAND = (
    "mean deficit",
    "mean excess",
    "worst 20 rows of a face",
    "worst 66 rows of a face",
    "worst 132 rows of a face",
    "worst 132 rows of a face's third-highest sensor",
    "rows of a face whose median is 40 levels below",
    "share of a face 40 levels below",
    "mean deficit of the first 40 rows, worse face",
    "worst 66 rows of a face after the first 53",
    "difference of the faces",
    "share at the commonest level",
)
_DEEP = 40 / 255
_WINDOW_ROWS = (13, 26, 53, 88, 132, 198)
_WINDOW_SENSORS = (1, 3, 5, 9)
_HEAD_ROWS, _FIFTH = 40, 53


def by_hand(matrix: Float32Array) -> FloatArray:
    """`HAND`, float64 [N, 12], of coils float32 [N, 264, 18]; larger is worse, but for the second and the last."""
    faces = _faces(matrix)
    deficit = np.clip(-faces, 0, None)
    of_row = faces.mean(axis=3)
    third = np.sort(faces, axis=3)[..., SENSORS_PER_FACE - 3]
    deep_rows = (np.median(faces, axis=3) < -_DEEP).mean(axis=2).max(axis=1)
    numbers = [
        deficit.mean(axis=(1, 2, 3)),
        np.clip(faces, 0, None).mean(axis=(1, 2, 3)),
        *(_worst(of_row, rows) for rows in (20, 66, 132)),
        _worst(third, 132),
        deep_rows,
        (faces < -_DEEP).mean(axis=(2, 3)).max(axis=1),
        deficit[:, :, :_HEAD_ROWS].mean(axis=(2, 3)).max(axis=1),
        _worst(of_row[:, :, _FIFTH:], 66),
        np.abs(of_row[:, 0] - of_row[:, 1]).mean(axis=1),
        (matrix == 0).mean(axis=(1, 2)),
    ]
    return np.stack(numbers, axis=1).astype(np.float64)


def windows(matrix: Float32Array) -> FloatArray:
    """Worst windows, float64 [N, D], of coils float32 [N, 264, 18]; faces are sorted, so that neither counts more.

    For each face the lowest mean over so many rows by so many neighbouring sensors, of the deviation and of the deficit
    alone, with and without the first and last twentieth; then excess, shares and levels.
    """
    faces = _faces(matrix)
    deficit = np.clip(-faces, 0, None)
    found = []
    for sensors in _WINDOW_SENSORS:
        for values in (-faces, deficit):
            groups = sliding_window_view(values, sensors, axis=3).mean(axis=4)  # [N, 2, rows, groups]
            total = np.concatenate([np.zeros_like(groups[:, :, :1]), groups.cumsum(axis=2)], axis=2)
            for rows in _WINDOW_ROWS:
                means = (total[:, :, rows:] - total[:, :, :-rows]) / rows
                found.append(means.max(axis=(2, 3)))
                start = MATRIX_ROWS // 10
                found.append(means[:, :, start:].max(axis=(2, 3)) if means.shape[2] > start else found[-1])
    of_face = np.stack(found, axis=2)  # [N, 2, D]
    of_face = np.concatenate(
        [
            of_face,
            np.clip(faces, 0, None).mean(axis=(2, 3))[..., None],
            np.stack([(faces < -deep).mean(axis=(2, 3)) for deep in (0.02, 0.08, 0.16, 0.3)], axis=2),
            (faces > 0.02).mean(axis=(2, 3))[..., None],
        ],
        axis=2,
    )
    whole = np.stack(
        [
            (matrix == 0).mean(axis=(1, 2)),
            matrix.min(axis=(1, 2)),
            matrix.max(axis=(1, 2)),
            np.abs(np.diff(matrix, axis=1)).mean(axis=(1, 2)),
        ],
        axis=1,
    )
    return np.concatenate([of_face.max(axis=1), of_face.min(axis=1), whole], axis=1).astype(np.float64)


def in_steps(matrix: Float32Array) -> Float32Array:
    """Coils on scale `self` in gauge steps over 50."""
    with torch.inference_mode():
        coils: Float32Array = GaugeSteps()(torch.from_numpy(matrix[:, None]))[:, 0].numpy()
    return coils


def windows_in_steps(matrix: Float32Array) -> FloatArray:
    """`windows` of coils in gauge steps, and beside them of shares of the range."""
    return np.concatenate([windows(in_steps(matrix)), windows(matrix)], axis=1)


def _faces(matrix: Float32Array) -> Float32Array:
    """[N, 2, 264, 9]."""
    return np.stack([matrix[..., :SENSORS_PER_FACE], matrix[..., SENSORS_PER_FACE:]], axis=1)


def _worst(tracks: Float32Array, rows: int) -> FloatArray:
    """The lowest mean over so many rows of tracks [N, 2, R], as how far below: [N]."""
    worst: FloatArray = -sliding_window_view(tracks, rows, axis=2).mean(axis=3).min(axis=(1, 2))
    return worst
