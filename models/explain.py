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
_FACES = len(FACES)
_GRID = (_FACES, WINDOWS, SENSOR_GROUPS)
_STRETCH = 2  # windows that are looked at together first
_STRETCHES = WINDOWS // _STRETCH
_CELLS = _STRETCH * SENSOR_GROUPS  # of a stretch
_REFINED = 18  # cells at most that are replaced one by one
_ROUNDING = 1e-6  # of a probability in float32
_LEAST_SIZE = 1e-6  # of a cell that only a form with levels or the spread tells from undisturbed strip
LEAST_DELTA = 0.01  # of p_nok: a region that changes less is not named


@dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """A rectangle of a face that speaks for NOK, or against it."""

    face: Face
    first_row: int  # of 264
    last_row: int  # exclusive
    first_sensor: int  # 0..8
    last_sensor: int  # inclusive
    delta_p_nok: float  # p_nok of the coil less p_nok with the rectangle undisturbed: above zero speaks for NOK
    delta_log_odds: float

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
    zero speaks for NOK. The cells of a stretch of two windows add up to what replacing the whole stretch changes.
    """

    scale: Scale
    ensemble_version: str
    threshold: float
    base_p_nok: float
    p_nok: FloatArray
    log_odds: FloatArray
    regions: tuple[Region, ...]  # largest first
    p_nok_without_regions: float  # with all regions undisturbed that speak for NOK
    scored: int  # how often the ensemble was asked


def explain(batch: pa.RecordBatch, ensemble: Ensemble) -> Explanation:
    """Explain the verdict on one coil by what it would have been without each part of it.

    A part is replaced by undisturbed strip (`models.occlusion.occluded`), and the change of the ensemble's p_nok is
    the part's contribution (Zeiler & Fergus 2014), so that any member is explained and none needs a gradient. First
    twelve stretches of each face are replaced; then, in those that changed most, each cell of the grid alone. What the
    cells of a stretch do only together, and what was not refined, is shared out by how far the cells are from
    undisturbed strip. Parts that already look undisturbed are not tried: they contribute nothing. At last each region,
    cells side by side that speak alike, is replaced as a whole: a long defect shows there and hardly in any one of its
    windows.

    Args:
        batch: of MATRIX_BATCH, one coil.
        ensemble: whose verdict is asked about.

    Returns:
        The same for the same coil, whatever the batch size of the runtime; the ensemble is asked at most 48 times.

    Raises:
        BundleError: no member takes the coil's scale, or ONNX Runtime fails.
        ValueError: there is not one coil.
    """
    coil = occluded(batch, ensemble)
    size = _sizes(coil)
    places = np.argwhere(size.reshape(_FACES, _STRETCHES, _CELLS).any(axis=2))
    nothing = np.zeros(MATRIX_SHAPE, dtype=np.bool_)
    base, *told = coil.p_nok(np.stack([nothing, *map(_stretch_mask, places)])).tolist()
    whole = np.zeros((2, _FACES, _STRETCHES))
    whole[:, *places.T] = _changes(base, np.array(told))
    cells = _worth_refining(whole[1], size)
    alone = np.zeros((2, *_GRID))
    if len(cells):
        alone[:, *cells.T] = _changes(base, coil.p_nok(np.stack([*map(_cell_mask, cells)])))
    p_nok, odds = (_shared(total, part, size) for total, part in zip(whole, alone, strict=True))
    boxes = regions_of(p_nok)
    regions, rest = _measured(coil, base, boxes)
    return Explanation(
        scale=coil.scale,
        ensemble_version=ensemble.version,
        threshold=ensemble.threshold(coil.scale),
        base_p_nok=base,
        p_nok=p_nok,
        log_odds=odds,
        regions=regions,
        p_nok_without_regions=rest,
        scored=1 + len(places) + len(cells) + (len(boxes) + 1 if boxes else 0),
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


def _changes(base: float, p_nok: FloatArray) -> FloatArray:
    """What the coil has more than it would have, float64 [2, N]: of p_nok and of its log-odds."""
    change = base - p_nok
    odds = log_odds(np.array([base])) - log_odds(p_nok)
    return np.where(np.abs(change) > _ROUNDING, np.stack([change, odds]), 0.0)


def _sizes(coil: Occluded) -> FloatArray:
    """How far each cell of the grid is from undisturbed strip, float64 [2, 24, 3]; zero where it looks just like it."""
    far = np.mean([np.abs(form.matrix - form.plain, dtype=np.float64) for form in coil.forms.values()], axis=0)
    far = np.where(coil.changed, np.maximum(far, _LEAST_SIZE), 0.0)
    cells: FloatArray = far.reshape(WINDOWS, WINDOW_ROWS, _FACES, SENSOR_GROUPS, GROUP_SENSORS).sum(axis=(1, 4))
    return cells.transpose(1, 0, 2)


def _stretch_mask(place: IntArray) -> BoolArray:
    face, stretch = place
    return _mask(face, stretch * _STRETCH, _STRETCH, 0, SENSOR_GROUPS)


def _cell_mask(place: IntArray) -> BoolArray:
    face, window, group = place
    return _mask(face, window, 1, group, 1)


def _mask(face: int, window: int, windows: int, group: int, groups: int) -> BoolArray:
    mask = np.zeros(MATRIX_SHAPE, dtype=np.bool_)
    left = face * SENSORS_PER_FACE + group * GROUP_SENSORS
    mask[window * WINDOW_ROWS : (window + windows) * WINDOW_ROWS, left : left + groups * GROUP_SENSORS] = True
    return mask


def _worth_refining(odds: FloatArray, size: FloatArray) -> IntArray:
    """Cells int64 [N, 3] of the stretches that changed most; a stretch with one disturbed cell is known already."""
    found: list[IntArray] = []
    for place in np.argsort(-np.abs(odds), axis=None, kind="stable"):
        face, stretch = divmod(int(place), _STRETCHES)
        if odds[face, stretch] == 0:
            break
        cells = np.argwhere(size[face, stretch * _STRETCH : (stretch + 1) * _STRETCH] > 0)
        if len(cells) > 1 and len(found) + len(cells) <= _REFINED:
            found += [np.array([face, stretch * _STRETCH + window, group]) for window, group in cells]
    return np.array(found, dtype=np.int64).reshape(-1, 3)


def _shared(whole: FloatArray, alone: FloatArray, size: FloatArray) -> FloatArray:
    """Cells [2, 24, 3] that add up to their stretch: the rest is shared out by size."""
    shape = (_FACES, _STRETCHES, _CELLS)
    total = size.reshape(shape).sum(axis=2, keepdims=True)
    share = np.divide(size.reshape(shape), total, out=np.zeros(shape), where=total > 0)
    known = alone.reshape(shape)
    rest = whole[:, :, None] - known.sum(axis=2, keepdims=True)
    cells: FloatArray = (known + rest * share).reshape(_GRID)
    return cells


def _measured(coil: Occluded, base: float, boxes: Sequence[Box]) -> tuple[tuple[Region, ...], float]:
    """Regions with what they change as a whole, largest first, and p_nok without all that speak for NOK."""
    if not boxes:
        return (), base
    masks = [_mask(box.face, box.window, box.windows, box.group, box.groups) for box in boxes]
    against = [mask for mask, box in zip(masks, boxes, strict=True) if box.speaks_for]
    together = np.any(against, axis=0) if against else np.zeros(MATRIX_SHAPE, dtype=np.bool_)
    told = coil.p_nok(np.stack([*masks, together]))
    change, odds = _changes(base, told[:-1])
    regions = [_region(box, *delta) for box, *delta in zip(boxes, change.tolist(), odds.tolist(), strict=True)]
    kept = [region for region in regions if abs(region.delta_p_nok) >= LEAST_DELTA]
    return tuple(sorted(kept, key=lambda region: -abs(region.delta_p_nok))), float(told[-1])


def _region(box: Box, delta_p_nok: float, delta_log_odds: float) -> Region:
    return Region(
        face=FACES[box.face],
        first_row=box.window * WINDOW_ROWS,
        last_row=(box.window + box.windows) * WINDOW_ROWS,
        first_sensor=box.group * GROUP_SENSORS,
        last_sensor=(box.group + box.groups) * GROUP_SENSORS - 1,
        delta_p_nok=delta_p_nok,
        delta_log_odds=delta_log_odds,
    )
