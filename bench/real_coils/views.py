"""The same coil seen otherwise: mirrored, its faces swapped, run from its tail, its deviations larger or smaller."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from schemas.coils import Float32Array, FloatArray
from schemas.layout import SENSORS_PER_FACE

_GREY_STEPS = np.float32(255)
_CONTRASTS = (0.7, 1.3)


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """How a coil is shown."""

    mirror_top: bool = False
    mirror_bottom: bool = False
    swap: bool = False
    reverse: bool = False
    contrast: float = 1.0


PLAIN = View()
ALL: tuple[View, ...] = (
    *(
        View(reverse=reverse, swap=swap, mirror_top=top, mirror_bottom=bottom)
        for reverse, swap, top, bottom in product((False, True), repeat=4)
    ),
    *(View(contrast=contrast) for contrast in _CONTRASTS),
)
SETS: Mapping[str, tuple[View, ...]] = {
    "none": (PLAIN,),
    "mirrors": tuple(v for v in ALL if not v.swap and not v.reverse and v.contrast == 1),
    "mirrors and swap": tuple(v for v in ALL if not v.reverse and v.contrast == 1),
    "mirrors, swap and reversal": tuple(v for v in ALL if v.contrast == 1),
    "contrast": tuple(v for v in ALL if v in (PLAIN, *(View(contrast=c) for c in _CONTRASTS))),
}


def seen(matrix: Float32Array, view: View) -> Float32Array:
    """Coils float32 [N, 264, 18] on scale `self`, shown so."""
    top, bottom = matrix[..., :SENSORS_PER_FACE], matrix[..., SENSORS_PER_FACE:]
    top = top[..., ::-1] if view.mirror_top else top
    bottom = bottom[..., ::-1] if view.mirror_bottom else bottom
    shown = np.concatenate([bottom, top] if view.swap else [top, bottom], axis=2)
    shown = shown[:, ::-1] if view.reverse else shown
    if view.contrast != 1:
        shown = np.rint(np.clip(shown * np.float32(view.contrast), -1, 1) * _GREY_STEPS) / _GREY_STEPS
    return np.ascontiguousarray(shown, dtype=np.float32)


def mean_over(of_views: FloatArray, name: str) -> FloatArray:
    """Mean over a set of views, [N], of what was said of `ALL`, [views, N]; NaN views were not asked."""
    places = [ALL.index(view) for view in SETS[name]]
    mean: FloatArray = of_views[places].mean(axis=0)
    return mean
