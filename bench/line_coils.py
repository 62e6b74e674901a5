"""Real coils, and simulated ones shown as the real ones are: as pictures of grey levels, read back."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.real_coils.coils import read_real
from models.scales import to_self_scale
from plant.line import simulate
from plant.settings import LineSettings
from processors.assemble import assemble
from processors.normalize import measure_limits, normalize
from schemas.coils import BoolArray, Float32Array, FloatArray, Limits
from schemas.layout import MATRIX_ROWS
from schemas.matrices import tensor_values

PICTURE_ROWS = 161  # of the figures that the real coils were read from: their rows are linear between so many
_GREY = 255
_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Coils:
    """Coils of scale `self` with their experts' labels."""

    matrix: Float32Array  # [B, 264, 18]
    is_nok: BoolArray  # [B]

    def where(self, which: BoolArray) -> "Coils":
        """Those that are marked."""
        return Coils(matrix=self.matrix[which], is_nok=self.is_nok[which])


@dataclass(frozen=True, kw_only=True, slots=True)
class Simulated:
    """Coils of a simulated line, half of them NOK, as real ones are shown and as a member of scale `self` sees them."""

    published: Coils
    plain: Coils
    limits: Limits
    nok_share: float  # of all that were simulated

    def __len__(self) -> int:
        return len(self.plain.is_nok)


def real_coils(file: Path) -> Coils:
    """The labelled coils of a grey-level file."""
    real = read_real(file)
    return Coils(matrix=real.matrix, is_nok=real.is_nok)


def simulated_coils(line: LineSettings, *, coils: int, seed: int) -> Simulated:
    """The first OK and as many NOK coils of a line, against limits measured on all of it."""
    blocks = [assemble(block.rows, block.headers).coils for block in simulate(coils, seed=seed, line=line)]
    ends = np.array([measure_limits(block) for block in blocks])
    limits = Limits(low=float(ends[:, 0].min()), high=float(ends[:, 1].max()))
    batches = [normalize(block, limits).batch for block in blocks]
    matrix = np.concatenate([tensor_values(batch) for batch in batches])
    is_nok = np.array([label == "NOK" for batch in batches for label in batch.column("label").to_pylist()])
    each = int(min(is_nok.sum(), (~is_nok).sum()))
    taken = np.sort(np.concatenate([np.flatnonzero(is_nok)[:each], np.flatnonzero(~is_nok)[:each]]))
    matrix, labels = matrix[taken], is_nok[taken]
    return Simulated(
        published=Coils(matrix=to_self_scale(as_published(matrix)), is_nok=labels),
        plain=Coils(matrix=to_self_scale(matrix), is_nok=labels),
        limits=limits,
        nok_share=float(is_nok.mean()),
    )


def as_published(matrix: Float32Array) -> Float32Array:
    """Simulated coils as the real ones reached us.

    `floor((s + 1) / 2 * 255)` grey levels (FACTS section 2), stretched to the coil's own range, drawn 161 points high
    and read back between them. On the real coils both steps are measured: their levels lie on a comb as wide below the
    commonest level as above it, of 8 to 98 teeth, and with 161 rows a straight line between rows explains them to
    rounding.

    Args:
        matrix: float32 [B, 264, 18] of scale `limits`.

    Returns:
        float32 [B, 264, 18], whole grey levels 0 to 255.
    """
    grey = np.floor((matrix.astype(np.float64) + 1) / 2 * _GREY)
    lowest = grey.min(axis=(1, 2), keepdims=True)
    span = np.ptp(grey, axis=(1, 2))[:, None, None]
    stretched = (grey - lowest) / np.maximum(span, 1) * _GREY
    through = _between(PICTURE_ROWS, MATRIX_ROWS) @ _between(MATRIX_ROWS, PICTURE_ROWS)
    return np.concatenate([np.rint(through @ part).astype(np.float32) for part in _parts(stretched)])


def _parts(coils: FloatArray) -> Iterator[FloatArray]:
    yield from (coils[start : start + _AT_ONCE] for start in range(0, len(coils), _AT_ONCE))


def _between(rows: int, points: int) -> FloatArray:
    """Matrix [points, rows] that reads so many rows at so many evenly spread points, linearly between."""
    at = np.arange(points) * (rows - 1) / (points - 1)
    below = np.minimum(at.astype(np.int64), rows - 2)
    weights = np.zeros((points, rows))
    weights[np.arange(points), below] = 1 - (at - below)
    weights[np.arange(points), below + 1] += at - below
    return weights
