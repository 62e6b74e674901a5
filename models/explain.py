"""Which metres, face and sensors drove a verdict: occlusion, coarse to fine, for members of any kind."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from models.combine import log_odds
from models.ensemble import Ensemble
from models.explained_regions import Box, regions_of
from models.occlusion import Occluded, occluded
from schemas.coils import BoolArray, FloatArray, IntArray
from schemas.layout import FACES, MATRIX_ROWS, MATRIX_SHAPE, SENSORS_PER_FACE, Face
from schemas.matrices import Scale

WINDOWS, SENSOR_GROUPS = 24, 3
WINDOW_ROWS, GROUP_SENSORS = MATRIX_ROWS // WINDOWS, SENSORS_PER_FACE // SENSOR_GROUPS
LEAST_DELTA = 0.01  # of p_nok: a region that contributes less is not named
_FACES = len(FACES)
_GRID = (_FACES, WINDOWS, SENSOR_GROUPS)
_LEFT_OUT, _KEPT = 2, 4  # windows that are left out together, and that are kept together
_REFINED = 12  # cells at most that are left out one by one
_ROUNDING = 1e-6  # of a probability in float32
_LEAST_SIZE = 1e-6  # of a cell that only a form with levels or the spread tells from undisturbed strip


@dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """A rectangle of a face that speaks for NOK, or against it."""

    face: Face
    first_row: int  # of 264
    last_row: int  # exclusive
    first_sensor: int  # 0..8
    last_sensor: int  # inclusive
    delta_p_nok: float  # contribution, as of the cells: above zero speaks for NOK
    delta_log_odds: float
    p_nok_without: float  # of the coil with undisturbed strip there
    p_nok_alone: float  # of undisturbed strip with nothing but this

    @property
    def mask(self) -> BoolArray:
        """Its cells, bool [264, 18]."""
        found = np.zeros(MATRIX_SHAPE, dtype=np.bool_)
        left = FACES.index(self.face) * SENSORS_PER_FACE
        found[self.first_row : self.last_row, left + self.first_sensor : left + self.last_sensor + 1] = True
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """What speaks for NOK and what against it in one coil.

    `p_nok` and `log_odds` are float64 [2, 24, 3]: face, window of 11 of the 264 rows, group of three sensors. Above
    zero speaks for NOK.
    """

    scale: Scale
    ensemble_version: str
    threshold: float
    base_p_nok: float
    undisturbed_p_nok: float  # with the whole coil undisturbed
    p_nok: FloatArray
    log_odds: FloatArray
    regions: tuple[Region, ...]  # largest first
    p_nok_without_regions: float  # with all regions undisturbed that speak for NOK
    scored: int  # how often the ensemble was asked


def explain(batch: pa.RecordBatch, ensemble: Ensemble) -> Explanation:
    """Explain the verdict on one coil by what it would have been without each part of it, and with that part alone.

    A part is left out by putting undisturbed strip in its place (`models.occlusion.occluded`), so that any member is
    explained and none needs a gradient (Zeiler & Fergus 2014). Leaving out shows nothing where a defect is there twice,
    as one on both faces: without either half the coil is as bad. So parts are also kept alone on a strip that is
    undisturbed elsewhere, and the contribution of a part is the mean of what it takes away when it goes last and what
    it brings when it comes first: both ends of a Shapley value (1953; Covert, Lundberg & Lee 2021, JMLR 22).

    Twelfths of each face are left out; in those that changed most each cell of the grid is left out by itself. Sixths
    are kept. What cells do only together, and what was not looked at cell by cell, is shared out by how far they are
    from undisturbed strip. Parts that look undisturbed already are not tried: they contribute nothing. At last regions,
    cells side by side that speak alike, are left out and kept as a whole.

    Args:
        batch: of MATRIX_BATCH, one coil.
        ensemble: whose verdict is asked about.

    Returns:
        The same for the same coil, however many are scored at once; the ensemble is asked at most 57 times.

    Raises:
        BundleError: no member takes the coil's scale, or ONNX Runtime fails.
        ValueError: there is not one coil.
    """
    coil = occluded(batch, ensemble)
    size = _sizes(coil)
    parts, kept = _disturbed(size, _LEFT_OUT), _disturbed(size, _KEPT)
    nothing = np.zeros(MATRIX_SHAPE, dtype=np.bool_)
    left_out = [_windows_mask(place, _LEFT_OUT) for place in parts]
    told = coil.p_nok(np.stack([nothing, ~nothing, *left_out, *(~_windows_mask(place, _KEPT) for place in kept)]))
    base, plain = float(told[0]), float(told[1])
    without, alone = told[2 : 2 + len(parts)], told[2 + len(parts) :]
    lost, brought = (np.zeros((2, _FACES, WINDOWS // windows)) for windows in (_LEFT_OUT, _KEPT))
    lost[:, *parts.T] = _gains(base, without)
    brought[:, *kept.T] = _gains(alone, plain)
    cells = _worth_refining(lost[1], size)
    fine = np.zeros((2, *_GRID))
    if len(cells):
        fine[:, *cells.T] = _gains(base, coil.p_nok(np.stack([_cell_mask(cell) for cell in cells])))
    contributed = [_contributions(*given, size) for given in zip(lost, fine, brought, strict=True)]
    boxes = regions_of(contributed[0])
    regions, rest = _measured(coil, base, plain, boxes)
    return Explanation(
        scale=coil.scale,
        ensemble_version=ensemble.version,
        threshold=ensemble.threshold(coil.scale),
        base_p_nok=base,
        undisturbed_p_nok=plain,
        p_nok=contributed[0],
        log_odds=contributed[1],
        regions=regions,
        p_nok_without_regions=rest,
        scored=len(told) + len(cells) + (2 * len(boxes) + 1 if boxes else 0),
    )


def deletion_curve(batch: pa.RecordBatch, ensemble: Ensemble, order: IntArray) -> FloatArray:
    """How p_nok falls as cells of the grid are undisturbed one after another (Petsiuk et al. 2018, RISE, BMVC).

    An explanation is faithful where p_nok falls sooner in its own order, `np.argsort(-explanation.p_nok.ravel())`, than
    in another.

    Args:
        batch: of MATRIX_BATCH, one coil.
        ensemble: that was explained.
        order: int64 [K], places in the grid [2, 24, 3] as it is flattened.

    Returns:
        float64 [K + 1], from the coil as it is.

    Raises:
        BundleError: no member takes the coil's scale, or ONNX Runtime fails.
        ValueError: there is not one coil.
    """
    masks = np.zeros((len(order) + 1, *MATRIX_SHAPE), dtype=np.bool_)
    for place, cell in enumerate(np.stack(np.unravel_index(order, _GRID), axis=1)):
        masks[place + 1] = masks[place] | _cell_mask(cell)
    return occluded(batch, ensemble).p_nok(masks)


def _gains(more: FloatArray | float, less: FloatArray | float) -> FloatArray:
    """What the first has more than the second, float64 [2, N]: of p_nok and of its log-odds."""
    one, other = np.broadcast_arrays(more, less)
    change = one - other
    return np.where(np.abs(change) > _ROUNDING, np.stack([change, log_odds(one) - log_odds(other)]), 0.0)


def _sizes(coil: Occluded) -> FloatArray:
    """How far each cell of the grid is from undisturbed strip, float64 [2, 24, 3]; zero where it looks just like it."""
    far = np.mean([np.abs(form.matrix - form.plain, dtype=np.float64) for form in coil.forms.values()], axis=0)
    far = np.where(coil.changed, np.maximum(far, _LEAST_SIZE), 0.0)
    cells: FloatArray = far.reshape(WINDOWS, WINDOW_ROWS, _FACES, SENSOR_GROUPS, GROUP_SENSORS).sum(axis=(1, 4))
    return cells.transpose(1, 0, 2)


def _disturbed(size: FloatArray, windows: int) -> IntArray:
    """Parts of so many windows that are not undisturbed, int64 [N, 2]: face and place."""
    return np.argwhere(size.reshape(_FACES, WINDOWS // windows, -1).any(axis=2))


def _windows_mask(place: IntArray, windows: int) -> BoolArray:
    return _mask(place[0], place[1] * windows, windows, 0, SENSOR_GROUPS)


def _cell_mask(place: IntArray) -> BoolArray:
    face, window, group = place
    return _mask(face, window, 1, group, 1)


def _mask(face: int, window: int, windows: int, group: int, groups: int) -> BoolArray:
    mask = np.zeros(MATRIX_SHAPE, dtype=np.bool_)
    left = face * SENSORS_PER_FACE + group * GROUP_SENSORS
    mask[window * WINDOW_ROWS : (window + windows) * WINDOW_ROWS, left : left + groups * GROUP_SENSORS] = True
    return mask


def _worth_refining(odds: FloatArray, size: FloatArray) -> IntArray:
    """Cells int64 [N, 3] of the twelfths that changed most; one with a single disturbed cell is known already."""
    found: list[IntArray] = []
    for place in np.argsort(-np.abs(odds), axis=None, kind="stable"):
        face, part = np.unravel_index(place, odds.shape)
        if odds[face, part] == 0:
            break
        start = int(part) * _LEFT_OUT
        cells = np.argwhere(size[face, start : start + _LEFT_OUT] > 0)
        if len(cells) > 1 and len(found) + len(cells) <= _REFINED:
            found += [np.array([face, start + window, group]) for window, group in cells]
    return np.array(found, dtype=np.int64).reshape(-1, 3)


def _contributions(lost: FloatArray, fine: FloatArray, brought: FloatArray, size: FloatArray) -> FloatArray:
    """Mean of what each cell takes away and what it brings, [2, 24, 3]."""
    without = _shared(lost, fine, size)
    cells: FloatArray = (without + _shared(brought, without, size)) / 2
    return cells


def _shared(whole: FloatArray, known: FloatArray, size: FloatArray) -> FloatArray:
    """Cells [2, 24, 3] that add up to their part: what is not known of them is shared out by size."""
    shape = (*whole.shape, -1)
    sizes, cells = size.reshape(shape), known.reshape(shape)
    total = sizes.sum(axis=2, keepdims=True)
    share = np.divide(sizes, total, out=np.zeros_like(sizes), where=total > 0)
    found: FloatArray = (cells + (whole[:, :, None] - cells.sum(axis=2, keepdims=True)) * share).reshape(_GRID)
    return found


def _measured(coil: Occluded, base: float, plain: float, boxes: Sequence[Box]) -> tuple[tuple[Region, ...], float]:
    """Regions with what they contribute as a whole, largest first, and p_nok without all that speak for NOK."""
    if not boxes:
        return (), base
    masks = np.stack([_mask(box.face, box.window, box.windows, box.group, box.groups) for box in boxes])
    speaking = masks[[box.speaks_for for box in boxes]].any(axis=0, keepdims=True)
    told = coil.p_nok(np.concatenate([masks, ~masks, speaking]))
    without, alone = told[: len(boxes)], told[len(boxes) : -1]
    change, odds = (_gains(base, without) + _gains(alone, plain)) / 2
    columns = (change.tolist(), odds.tolist(), without.tolist(), alone.tolist())
    regions = [_region(box, *values) for box, *values in zip(boxes, *columns, strict=True)]
    kept = [region for region in regions if abs(region.delta_p_nok) >= LEAST_DELTA]
    return tuple(sorted(kept, key=lambda region: -abs(region.delta_p_nok))), float(told[-1])


def _region(box: Box, delta_p_nok: float, delta_log_odds: float, without: float, alone: float) -> Region:
    return Region(
        face=FACES[box.face],
        first_row=box.window * WINDOW_ROWS,
        last_row=(box.window + box.windows) * WINDOW_ROWS,
        first_sensor=box.group * GROUP_SENSORS,
        last_sensor=(box.group + box.groups) * GROUP_SENSORS - 1,
        delta_p_nok=delta_p_nok,
        delta_log_odds=delta_log_odds,
        p_nok_without=without,
        p_nok_alone=alone,
    )
