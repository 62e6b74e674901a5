"""A coil of scale `self` in steps: what its grey levels still tell of its scale.

Whole levels, of a gauge that reads whole g/m² or of grey levels of the limits (FACTS section 2), leave a grid in a coil
that is stretched to its own range: they lie `255 / range` apart, whatever the range was. A simulated coil's step is
1 g/m², one of the 30 real coils a grey level of the study's limits (docs/results/real_coils.md).
"""

import math

import torch
from torch import nn

from schemas.layout import MATRIX_COLUMNS, MATRIX_ROWS

STEPS_A_UNIT = 50.0  # so that coils in steps are about as large as shares of a range
_GREY_STEPS = 255
_NARROWEST, _WIDEST, _TRIED = 1.8, 64.0, 400  # spacings in grey levels; narrower ones drown in rounding
_RUN = 4  # equal cells in succession are a level; others lie between levels, where a coil was stretched or blurred
_CLOSE = 0.85  # of the best coherence: half of a spacing fits as well, so the widest that does is taken
_FEWEST_CELLS = 50.0
_LEAST_COHERENCE = 0.3


class GaugeSteps(nn.Module):
    """Coils float32 [N, 1, 264, 18] on scale `self` to gauge steps over 50, clipped to [-1, 1].

    A coil in which no grid is seen is taken to have a range of 50 steps.
    """

    waves: torch.Tensor
    spacings: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        spacings = torch.exp(torch.linspace(math.log(_NARROWEST), math.log(_WIDEST), _TRIED))
        levels = torch.arange(-_GREY_STEPS, _GREY_STEPS + 1)
        self.register_buffer("spacings", spacings, persistent=False)
        self.register_buffer("waves", torch.cos(2 * math.pi * levels[:, None] / spacings[None, :]), persistent=False)

    def forward(self, coils: torch.Tensor) -> torch.Tensor:
        """Coils in steps, float32 [N, 1, 264, 18]."""
        with torch.no_grad():
            spacing, coherence = self.grid(coils[:, 0])
            spacing = torch.where(coherence < _LEAST_COHERENCE, _GREY_STEPS / STEPS_A_UNIT, spacing)
        return (coils * (_GREY_STEPS / STEPS_A_UNIT / spacing)[:, None, None, None]).clamp(-1, 1)

    def grid(self, matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Spacing of the grid in grey levels and its coherence up to 1, float32 [N] each, of coils [N, 264, 18].

        Only deficits are looked at, for a plant may divide excess by another number. The coherence is the real part of
        the characteristic function of levels relative to the commonest, of each level the square root of its cells, as
        many levels tell more than one plateau. With too few cells it is 0.
        """
        levels = (matrix * _GREY_STEPS).round()
        first = levels[:, : MATRIX_ROWS - _RUN + 1]
        run = torch.ones_like(first)
        for step in range(1, _RUN):
            run = run * (levels[:, step : MATRIX_ROWS - _RUN + 1 + step] == first)
        readings = torch.nn.functional.max_pool2d(
            torch.nn.functional.pad(run, (0, 0, _RUN - 1, _RUN - 1)), (_RUN, 1), stride=1
        )
        readings = (readings * (levels < 0)).reshape(-1, MATRIX_ROWS * MATRIX_COLUMNS)
        places = (levels + _GREY_STEPS).long().reshape(-1, MATRIX_ROWS * MATRIX_COLUMNS)
        counts = torch.zeros_like(readings[:, : 2 * _GREY_STEPS + 1]).scatter_add(1, places, readings)
        weights = counts.sqrt()
        found = weights @ self.waves / weights.sum(dim=1, keepdim=True).clamp(min=1e-6)
        padded = torch.nn.functional.pad(found, (1, 1), value=-1.0)
        peak = (found >= padded[:, :-2]) & (found >= padded[:, 2:])
        peak = peak & (found >= _CLOSE * found.amax(dim=1, keepdim=True))
        spacing = (peak * self.spacings).amax(dim=1)
        coherence = (found * (self.spacings == spacing[:, None])).sum(dim=1)
        return spacing, coherence * (counts.sum(dim=1) >= _FEWEST_CELLS)
