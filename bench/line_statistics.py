"""What can be said of one coil by numbers, for comparing simulated with real ones: of scale `self`, in grey levels."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from schemas.coils import BoolArray, Float32Array, FloatArray
from schemas.layout import FACES, MATRIX_ROWS, SENSORS_PER_FACE

GREY_LEVELS = 255
_LEAVES = 10.0  # grey levels from the commonest one at which a face has left it
_STEEP = 12.0  # grey levels from one row to the next
_LAGS = (1, 4, 16, 66)  # rows of 264
_CYCLES = (0, 3, 8, 20, 50, 133)  # a coil's length: edges of the bands of the spectrum
_DARK = 40.0  # grey levels below which the experts mind, by eye


def statistics(coils: Float32Array) -> dict[str, FloatArray]:
    """Every statistic of each coil.

    Args:
        coils: float32 [B, 264, 18] of scale `self`, as `models.scales.to_self_scale` makes them.

    Returns:
        By name, float64 [B], finite.
    """
    levels = GREY_LEVELS * coils.astype(np.float64)
    found: dict[str, FloatArray] = {}
    for part in _PARTS:
        found |= part(levels)
    return {name: np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0) for name, values in found.items()}


def faces_of(levels: FloatArray) -> FloatArray:
    """[B, 264, 18] as [B, 2, 264, 9]."""
    split = levels.reshape(len(levels), MATRIX_ROWS, len(FACES), SENSORS_PER_FACE)
    return split.transpose(0, 2, 1, 3)


def complaints(coils: Float32Array) -> dict[str, FloatArray]:
    """Single statistics that separate what the experts call NOK on the real coils: float64 [B], larger is worse."""
    levels = GREY_LEVELS * coils.astype(np.float64)
    faces = faces_of(levels)
    third = np.sort(faces, axis=3)[..., 6]
    median = np.median(faces, axis=3)
    return {
        "depth of the third-highest sensor, mean over half the length": -_lowest_mean(third, MATRIX_ROWS // 2),
        "depth of a face, mean over half the length": -_lowest_mean(faces.mean(axis=3), MATRIX_ROWS // 2),
        "depth of a face, mean over a quarter": -_lowest_mean(faces.mean(axis=3), MATRIX_ROWS // 4),
        "depth of a face, mean over 20 rows": -_lowest_mean(faces.mean(axis=3), 20),
        "share of a face 40 levels below": (faces < -_DARK).mean(axis=(2, 3)).max(axis=1),
        "share of rows with a face's median 40 below": (median < -_DARK).mean(axis=2).max(axis=1),
        "deepest reading": -levels.min(axis=(1, 2)),
        "excess": np.maximum(levels, 0.0).mean(axis=(1, 2)),
    }


def _lowest_mean(tracks: FloatArray, window: int) -> FloatArray:
    """Lowest mean over so many rows on either face, [B] of [B, 2, 264]."""
    total = np.concatenate([np.zeros((*tracks.shape[:2], 1)), np.cumsum(tracks, axis=2)], axis=2)
    lowest: FloatArray = ((total[..., window:] - total[..., :-window]) / window).min(axis=(1, 2))
    return lowest


def _shares(levels: FloatArray) -> dict[str, FloatArray]:
    below, above = levels < -_LEAVES, levels > _LEAVES
    return {
        "share at the commonest level": (np.abs(levels) < 1.5).mean(axis=(1, 2)),
        "share below": below.mean(axis=(1, 2)),
        "share above": above.mean(axis=(1, 2)),
        "depth below": _mean_where(-levels, below),
        "height above": _mean_where(levels, above),
        "share of the range that lies below": -levels.min(axis=(1, 2)) / GREY_LEVELS,
        "distinct levels": np.array([float(np.unique(np.rint(coil)).size) for coil in levels]),
        "grey levels behind the stretch": np.array([_comb(coil) for coil in levels]),
    }


def _comb(levels: FloatArray) -> float:
    """How many grey levels of the limits a coil spans: the comb on which most of its cells lie, 5 to 128 teeth."""
    values, counts = np.unique(np.rint(levels), return_counts=True)
    away = np.abs(values) > 1
    if not away.any():
        return 0.0
    teeth = np.arange(5, 129)
    phase = np.cos(2 * np.pi * values[away][:, None] * teeth / GREY_LEVELS)
    fit = counts[away] @ phase / counts[away].sum()
    return float(teeth[int(fit.argmax())])


def _along(levels: FloatArray) -> dict[str, FloatArray]:
    centred = levels - levels.mean(axis=1, keepdims=True)
    power = (centred**2).sum(axis=(1, 2))
    found = {
        f"autocorrelation, {lag} rows": (centred[:, lag:] * centred[:, :-lag]).sum(axis=(1, 2)) / np.maximum(power, 1)
        for lag in _LAGS
    }
    spectrum = (np.abs(np.fft.rfft(centred, axis=1)) ** 2).sum(axis=2)
    total = np.maximum(spectrum[:, 1:].sum(axis=1), 1)
    for low, high in pairwise(_CYCLES):
        found[f"spectrum, {low} to {high} cycles a coil"] = spectrum[:, low + 1 : high + 1].sum(axis=1) / total
    change = np.abs(np.diff(levels, axis=1))
    varied = np.maximum(change.sum(axis=(1, 2)), 1)
    bend = np.abs(np.diff(levels, n=2, axis=1))
    moving = change[:, 1:] > 1.5
    found |= {
        "variation along the length": np.log1p(change.mean(axis=(1, 2))),
        "share of variation in steep rows": np.where(change > _STEEP, change, 0.0).sum(axis=(1, 2)) / varied,
        "share of straight slopes": (moving & (bend <= 1.5)).sum(axis=(1, 2)) / np.maximum(moving.sum(axis=(1, 2)), 1),
        "rows of a run of one level off the commonest": _run_rows(levels),
    }
    return found


def _run_rows(levels: FloatArray) -> FloatArray:
    """Mean length of runs of equal readings of a sensor away from the commonest level, [B]."""
    off = np.abs(levels) > _LEAVES
    same = (np.abs(np.diff(levels, axis=1)) < 1.5) & off[:, 1:] & off[:, :-1]
    runs = off.sum(axis=(1, 2)) - same.sum(axis=(1, 2))
    return np.asarray(off.sum(axis=(1, 2)) / np.maximum(runs, 1))


def _across(levels: FloatArray) -> dict[str, FloatArray]:
    faces = faces_of(levels)
    mean = faces.mean(axis=2)  # [B, 2, 9]
    spread = faces.std(axis=2)
    edges, middle = [0, SENSORS_PER_FACE - 1], slice(2, SENSORS_PER_FACE - 2)
    tilt = np.linspace(-1, 1, SENSORS_PER_FACE)
    step = np.abs(np.diff(faces, axis=3))
    left, right = faces[..., :-1], faces[..., 1:]
    neighbours = _correlation(left, right, axis=2)
    return {
        "edges less the middle": (mean[:, :, edges].mean(axis=2) - mean[:, :, middle].mean(axis=2)).mean(axis=1),
        "edges less the middle, size": np.abs(mean[:, :, edges].mean(axis=2) - mean[:, :, middle].mean(axis=2)).max(1),
        "tilt across, size": np.abs((mean * tilt).mean(axis=2)).max(axis=1),
        "spread of a face's sensor means": mean.std(axis=2).max(axis=1),
        "variance at edges against the middle": np.log(
            (spread[:, :, edges].mean(axis=(1, 2)) + 1) / (spread[:, :, middle].mean(axis=(1, 2)) + 1)
        ),
        "correlation of neighbouring sensors": neighbours,
        "share of variance between rows of a face": _shared(faces),
        "variation across": np.log1p(step.mean(axis=(1, 2, 3))),
    }


def _shared(faces: FloatArray) -> FloatArray:
    """How much of the variance of a face's readings is that of its row means, [B]."""
    rows = faces.mean(axis=3).var(axis=2).sum(axis=1)
    return np.asarray(rows / np.maximum(faces.var(axis=(2, 3)).sum(axis=1), 1))


def _faces(levels: FloatArray) -> dict[str, FloatArray]:
    faces = faces_of(levels)
    median = np.median(faces, axis=3)
    low, high = median < -_LEAVES, median > _LEAVES
    level = faces.mean(axis=(2, 3))
    return {
        "correlation of the faces": _correlation(faces[:, 0], faces[:, 1], axis=1),
        "correlation of the faces' rows": _correlation(
            faces[:, 0].mean(axis=2)[..., None], faces[:, 1].mean(axis=2)[..., None], axis=1
        ),
        "rows with one face below only": (low[:, 0] ^ low[:, 1]).mean(axis=1),
        "rows with both faces below": (low[:, 0] & low[:, 1]).mean(axis=1),
        "rows with the faces apart": ((low[:, 0] & high[:, 1]) | (low[:, 1] & high[:, 0])).mean(axis=1),
        "difference of the faces": np.abs(level[:, 0] - level[:, 1]),
        "longest stretch of a face below": _longest(low).max(axis=1),
    }


def _ends(levels: FloatArray) -> dict[str, FloatArray]:
    faces = faces_of(levels).mean(axis=3)  # [B, 2, 264]
    body = np.median(faces[:, :, 44:-44], axis=2, keepdims=True)
    away = np.abs(faces - body) > 2 * _LEAVES
    head = np.argmin(away, axis=2).max(axis=1).astype(np.float64)
    tail = np.argmin(away[:, :, ::-1], axis=2).max(axis=1).astype(np.float64)
    size = np.abs(faces[:, :, :8].mean(axis=2) - body[..., 0]).max(axis=1)
    return {
        "head, rows": np.minimum(head, MATRIX_ROWS / 2),
        "head, size": size,
        "tail, rows": np.minimum(tail, MATRIX_ROWS / 2),
        "steepest row change of a face": np.abs(np.diff(faces, axis=2)).max(axis=(1, 2)),
    }


def _longest(flags: BoolArray) -> FloatArray:
    """Longest run of true along the last axis, [B, 2] of [B, 2, 264]."""
    run = np.zeros(flags.shape[:-1])
    longest = np.zeros_like(run)
    for row in range(flags.shape[-1]):
        run = (run + 1) * flags[..., row]
        longest = np.maximum(longest, run)
    return longest


def _mean_where(values: FloatArray, which: BoolArray) -> FloatArray:
    """Mean of the cells that are marked, [B]; 0 where none is."""
    mean: FloatArray = (values * which).sum(axis=(1, 2)) / np.maximum(which.sum(axis=(1, 2)), 1)
    return mean


def _correlation(one: FloatArray, other: FloatArray, *, axis: int) -> FloatArray:
    """Correlation along an axis, summed over all but the first before it is divided, [B]."""
    a = one - one.mean(axis=axis, keepdims=True)
    b = other - other.mean(axis=axis, keepdims=True)
    rest = tuple(range(1, a.ndim))
    size = np.sqrt((a**2).sum(axis=rest) * (b**2).sum(axis=rest))
    return np.asarray((a * b).sum(axis=rest) / np.maximum(size, 1))


_PARTS: tuple[Callable[[FloatArray], dict[str, FloatArray]], ...] = (_shares, _along, _across, _faces, _ends)
