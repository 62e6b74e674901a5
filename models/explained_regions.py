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
    """At most three rectangles around the largest contributions, the largest first.

    A rectangle grows from its largest cell, at least a quarter of the coil's largest, across the strip and then along
    it, as long as cells speak alike and contribute a tenth of the coil's largest.

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
        face, window, group = (int(i) for i in np.unravel_index(int(np.abs(free).argmax()), free.shape))
        sign = float(np.sign(free[face, window, group]))
        if sign * free[face, window, group] < _BEGINS * largest:
            break
        alike = sign * free[face] >= _BELONGS * largest
        first, last = _run(alike[window], group)
        start, end = _run(alike[:, first:last].any(axis=1), window)
        free[face, start:end, first:last] = 0
        found.append(
            Box(face=face, window=start, windows=end - start, group=first, groups=last - first, speaks_for=sign > 0)
        )
    return found


def _run(alike: np.ndarray, place: int) -> tuple[int, int]:
    """The unbroken stretch of true around a place, end exclusive."""
    breaks = np.flatnonzero(~alike)
    before, after = breaks[breaks < place], breaks[breaks > place]
    return (int(before[-1]) + 1 if len(before) else 0), (int(after[0]) if len(after) else len(alike))
