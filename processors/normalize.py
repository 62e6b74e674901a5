"""Normalise coils to 264 × 18 saliency matrices, exactly as the plant defines them.

1. Calibration runs are set to `zn_min` and not counted as observed.
2. Saliency: 0 in the band, (v - zn_min)/|L| below it, (v - zn_max)/|H| above, clipped to [-1, 1].
3. 264 chunks along the length: up to 264 rows are stretched, row i of n at i * 263 / (n - 1), linearly between; more
   are averaged inside 264 equal chunks, with the standard deviation inside each as spread.
4. Faces side by side: columns 0-8 top, 9-17 bottom.
"""

from dataclasses import dataclass
from itertools import compress

import numpy as np
import pyarrow as pa

from processors.calibration import calibration_runs
from processors.results import reject_coil
from processors.stretch import stretch
from schemas.coils import BoolArray, CoilBatch, FloatArray, IntArray, Limits
from schemas.layout import FACES, SENSORS_PER_FACE
from schemas.matrices import matrix_batch
from schemas.rejects import Reject
from schemas.verdicts import Reason

HEAVIEST_G_M2 = 100_000.0  # 14 mm of zinc: a reading above it is none
_MOST_CALIBRATING = 0.5  # of a face's readings


@dataclass(frozen=True, kw_only=True, slots=True)
class Normalized:
    """Matrices as one Arrow batch of `schemas.matrices.MATRIX_BATCH`, and the coils that could not be normalised."""

    batch: pa.RecordBatch
    rejects: tuple[Reject, ...]


def normalize(coils: CoilBatch, limits: Limits) -> Normalized:
    """Turn B assembled coils into matrices against the global limits.

    A reading that is NaN, negative or over 100 kg/m² rejects its coil. A coil's result is independent of its batch.
    Cells outside the limits are clipped and named in the coil's reasons, and so are faces that mostly calibrated.

    Args:
        coils: assembled coils.
        limits: global limits in g/m², of the ensemble that will score.

    Returns:
        `matrix` and `spread` float32 [B, 264, 18] in units of the limits, `observed` as share of the expected cells.
    """
    rejects, good = _unreadable(coils)
    if rejects:
        coils = take_coils(coils, good)
    size, count = len(coils), np.diff(coils.face_start)
    low, high = _bands(coils)
    runs = calibration_runs(coils.mean_g_m2, low, coils.face_start)
    below, above = (np.repeat(end, count * SENSORS_PER_FACE).reshape(-1, SENSORS_PER_FACE) for end in (low, high))
    beside = coils.mean_g_m2 - np.minimum(np.maximum(coils.mean_g_m2, below), above)  # the band: negative below it
    beside[runs] = 0.0
    raw = beside / np.where(beside < 0, -limits.low, limits.high)
    saliency = np.clip(raw, -1.0, 1.0)
    spread = _spread(coils.std_g_m2, beside, limits)
    matrix, matrix_spread = stretch(saliency, spread, coils.face_start)
    outside = _per_face(raw != saliency, coils).reshape(-1, 2).sum(axis=1)
    calibrating = _per_face(runs, coils)
    measured = (count * SENSORS_PER_FACE - calibrating).reshape(-1, 2).sum(axis=1)
    expected = coils.expected_rows.reshape(-1, 2).sum(axis=1) * SENSORS_PER_FACE
    orders = [header.order for header in coils.headers]
    batch = matrix_batch(
        keys=[header.key for header in coils.headers],
        revisions=coils.revisions,
        matrix=matrix,
        spread=matrix_spread,
        observed=measured / expected,
        scale="limits",
        columns={
            "zn_min": [o.zn_min_g_m2 for o in orders],
            "zn_max": [o.zn_max_g_m2 for o in orders],
            "length_m": [o.length_m for o in orders],
            "limits_version": [limits.version] * size,
            "label": [header.label for header in coils.headers],
            "customer": [o.customer for o in orders],
            "tolerance_profile": [o.tolerance_profile for o in orders],
            "reasons": [
                [*given, *blind, *([Reason.CLIPPED_CELLS.of(f"{n} readings outside the limits")] if n else [])]
                for given, blind, n in zip(coils.reasons, _blind(calibrating, count), outside.tolist(), strict=True)
            ],
        },
    )
    return Normalized(batch=batch, rejects=rejects)


def measure_limits(coils: CoilBatch) -> tuple[float, float]:
    """Lowest `v - zn_min` and highest `v - zn_max` over a population, in g/m², after the calibration rule."""
    low, high = _bands(coils)
    count = np.diff(coils.face_start)
    runs = calibration_runs(coils.mean_g_m2, low, coils.face_start)
    below = np.repeat(low, count)[:, None]
    value = np.where(runs, below, coils.mean_g_m2)
    return float((value - below).min()), float((value - np.repeat(high, count)[:, None]).max())


def _bands(coils: CoilBatch) -> tuple[FloatArray, FloatArray]:
    """`zn_min` and `zn_max` of each face, [2B] each, g/m²."""
    low = np.array([h.order.zn_min_g_m2 for h in coils.headers], dtype=np.float64)
    high = np.array([h.order.zn_max_g_m2 for h in coils.headers], dtype=np.float64)
    return np.repeat(low, 2), np.repeat(high, 2)


def _unreadable(coils: CoilBatch) -> tuple[tuple[Reject, ...], BoolArray]:
    good = np.ones(len(coils), dtype=bool)
    values = coils.mean_g_m2
    if all(v.min(initial=0.0) >= 0 and v.max(initial=0.0) <= HEAVIEST_G_M2 for v in (values, coils.std_g_m2)):
        return (), good
    bad = ~(_plausible(values) & _plausible(coils.std_g_m2))
    coil_of_row = np.repeat(np.arange(2 * len(coils)) // 2, np.diff(coils.face_start))
    rejects = []
    for row in np.flatnonzero(bad.any(axis=1)).tolist():
        coil = int(coil_of_row[row])
        if not good[coil]:
            continue
        good[coil] = False
        sensor = int(np.argmax(bad[row]))
        face = int(np.searchsorted(coils.face_start, row, side="right") - 1) % 2
        place = f"{FACES[face]} face, row {row - coils.face_start[2 * coil + face] + 1}, sensor {sensor + 1}"
        rejects.append(
            reject_coil(
                coils.headers[coil],
                step="normalize",
                error=f"{place}: {_what_is_wrong(values[row, sensor])}",
                remedy="send the reading again, or leave the whole row out",
            )
        )
    return tuple(rejects), good


def _plausible(values: FloatArray) -> BoolArray:
    within: BoolArray = (values >= 0) & (values <= HEAVIEST_G_M2)  # NaN is neither
    return within


def _what_is_wrong(value: float) -> str:
    if not np.isfinite(value):
        return f"{value:g} g/m² is not a finite number"
    if value < 0:
        return f"{value:g} g/m² is negative"
    return f"{value:g} g/m² is no coating" if value > HEAVIEST_G_M2 else "the standard deviation is no number from 0 up"


def take_coils(coils: CoilBatch, which: BoolArray) -> CoilBatch:
    """Keep the coils marked in `which` [B]."""
    faces = np.repeat(which, 2)
    rows = np.repeat(faces, np.diff(coils.face_start))

    return CoilBatch(
        headers=tuple(compress(coils.headers, which)),
        revisions=tuple(compress(coils.revisions, which)),
        reasons=tuple(compress(coils.reasons, which)),
        face_start=np.concatenate(([0], np.cumsum(np.diff(coils.face_start)[faces]))),
        position=coils.position[rows],
        expected_rows=coils.expected_rows[faces],
        mean_g_m2=coils.mean_g_m2[rows],
        std_g_m2=coils.std_g_m2[rows],
    )


def _spread(std_g_m2: FloatArray, beside: FloatArray, limits: Limits) -> FloatArray | None:
    """Standard deviation of the saliency to first order: |ds/dv| of the reading's, so zero inside the band."""
    if not std_g_m2.max(initial=0.0):
        return None
    return std_g_m2 * ((beside < 0) / -limits.low + (beside > 0) / limits.high)


def _blind(calibrating: IntArray, count: IntArray) -> list[list[str]]:
    """Per coil, faces of which more than half read as calibration: the plant's rule takes thin strip around one for it.

    Args:
        calibrating: [2B] readings of each face.
        count: [2B] rows of each face.
    """
    share = (calibrating / (count * SENSORS_PER_FACE)).reshape(-1, 2).tolist()
    return [
        [
            Reason.LITTLE_OBSERVED.of(f"{one:.0%} of the {face} face read as calibration")
            for face, one in zip(FACES, faces, strict=True)
            if one > _MOST_CALIBRATING
        ]
        for faces in share
    ]


def _per_face(cells: BoolArray, coils: CoilBatch) -> IntArray:
    """Cells of each face that are marked, of which there are few, [2B]."""
    rows = np.flatnonzero(cells) // SENSORS_PER_FACE
    face = np.searchsorted(coils.face_start, rows, side="right") - 1
    return np.bincount(face, minlength=2 * len(coils))
