"""Rectangles of a grid of contributions that speak alike."""

from dataclasses import dataclass

import numpy as np

from schemas.coils import FloatArray

_BEGINS = 0.25  # of the largest contribution: a smaller cell begins no rectangle,
_BELONGS = 0.1  # and a smaller one belongs to none
_MOST = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """Cells side by side on one face."""

    face: int
    window: int
    windows: int
    group: int
    groups: int
    speaks_for: bool


def regions_of(cells: FloatArray) -> list[Box]:
    """At most three rectangles around the largest contributions, the largest first; none lies over another.

    A rectangle grows from its largest cell, at least a quarter of the coil's largest: whole rows or columns of cells
    beside it join, the strongest first, as long as they contribute alike and a tenth of the coil's largest in the mean.

    Args:
        cells: float64 [2, W, G], above zero speaks for NOK.

    Example:
        >>> cells = np.zeros((2, 6, 3))
        >>> cells[1, 2:5, 0] = 0.2, 0.3, 0.1
        >>> [(box.face, box.window, box.windows, box.group, box.groups) for box in regions_of(cells)]
        [(1, 2, 3, 0, 1)]
    """
    largest = float(np.abs(cells).max())
    free = cells.copy()
    found: list[Box] = []
    while largest > 0 and len(found) < _MOST:
        peak = np.unravel_index(int(np.nanargmax(np.abs(free))), free.shape)
        if abs(free[peak]) < _BEGINS * largest:
            break
        face, window, group = (int(place) for place in peak)
        speaks_for = bool(free[peak] > 0)
        along, across = _grown(free[face] if speaks_for else -free[face], window, group, bar=_BELONGS * largest)
        free[face, along, across] = np.nan
        if np.isnan(free).all():
            largest = 0.0
        found.append(
            Box(
                face=face,
                window=along.start,
                windows=along.stop - along.start,
                group=across.start,
                groups=across.stop - across.start,
                speaks_for=speaks_for,
            )
        )
    return found


def _grown(cells: FloatArray, window: int, group: int, *, bar: float) -> tuple[slice, slice]:
    """Windows and groups of the rectangle around a cell of one face; cells of other rectangles are NaN."""
    start, end, first, last = window, window + 1, group, group + 1
    while True:
        beside = {
            (start - 1, end, first, last): cells[max(start - 1, 0) : start, first:last],
            (start, end + 1, first, last): cells[end : end + 1, first:last],
            (start, end, first - 1, last): cells[start:end, max(first - 1, 0) : first],
            (start, end, first, last + 1): cells[start:end, last : last + 1],
        }
        # NaN is over no bar: a strip with a cell of another rectangle does not join, nor one beyond the edge.
        means = {bounds: float(strip.mean()) for bounds, strip in beside.items() if strip.size}
        joining = {bounds: mean for bounds, mean in means.items() if mean >= bar}
        if not joining:
            return slice(start, end), slice(first, last)
        start, end, first, last = max(joining, key=joining.__getitem__)
