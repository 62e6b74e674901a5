"""An anomaly detector that learns from OK coils only, and so works before the first NOK coil exists."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn.functional import avg_pool2d

from models.networks.contract import Network
from schemas.coils import FloatArray
from schemas.errors import SpecError
from schemas.layout import MATRIX_COLUMNS, MATRIX_ROWS

LEAST_COILS = 20
_CELL = (12, 3)  # rows × sensors that are averaged
_PLACES = 2 * (MATRIX_ROWS // _CELL[0]) * (MATRIX_COLUMNS // _CELL[1])  # deficit and excess at 22 × 6 places
_FOLDS = 5
_QUANTILE = 0.99  # of OK coils lie below p = 0.5
_MEDIAN_ODDS = math.log(0.01 / 0.99)  # the median OK coil has p = 0.01
_LEAST_VARIANCE = 1e-8  # of a component and of the limits: of mean deviations, in squared units of the scale
_LEAST_SPAN = 0.1  # of the logarithm of the index, between the median and the quantile


class AnomalyDetector(Network):
    """Distance from the subspace of OK coils, and within it.

    A coil is pooled to its mean deficit and mean excess at 22 × 6 places. T² is the Mahalanobis distance in the
    subspace of the first principal components (Hotelling 1947), Q the squared residual outside it (Jackson and
    Mudholkar 1979). The index is T² / limit + Q / limit (Yue and Qin 2001); each limit is the 99th percentile of OK
    coils that the subspace was not fitted to, rather than one from the theory of normal variables, which coils are not.
    """

    input_form = "grid_22x6"
    channels = 1
    head: nn.Linear
    centre: torch.Tensor  # float32 [P]
    axes: torch.Tensor  # float32 [P, components]; zero where the coils span fewer
    variances: torch.Tensor  # float32 [components]
    limits: torch.Tensor  # float32 [2], of T² and Q

    def __init__(self, components: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(_PLACES))
        self.register_buffer("axes", torch.zeros(_PLACES, components))
        self.register_buffer("variances", torch.ones(components))
        self.register_buffer("limits", torch.ones(2))
        self.head = nn.Linear(1, 1)

    def features(self, coils: torch.Tensor) -> torch.Tensor:
        """The logarithm of the index, float32 [N, 1]: above 0 a coil is farther out than almost any OK coil."""
        away = _pooled(coils) - self.centre
        inside = away @ self.axes
        hotelling = (inside.square() / self.variances).sum(dim=1, keepdim=True)
        residual = (away - inside @ self.axes.T).square().sum(dim=1, keepdim=True)
        index = hotelling / self.limits[0] + residual / self.limits[1]
        return torch.log(index + 1e-6)

    @torch.no_grad()
    def learn(self, ok: torch.Tensor) -> None:
        """Fit the subspace, and scale log-odds so that p is 0.5 at the 99th percentile of OK coils, 0.01 at the median.

        Limits and percentiles are of coils scored by a subspace fitted to the other four fifths. Nothing is drawn.

        Args:
            ok: OK coils only, float32 [N, C, 264, 18].

        Raises:
            SpecError: fewer than 20 coils.
        """
        if len(ok) < LEAST_COILS:
            raise SpecError(
                f"an anomaly detector learns from {LEAST_COILS} OK coils at least, there are {len(ok)}",
                remedy="give more coils, or use the rule on band exceedance until there are",
            )
        pooled = _pooled(ok).cpu().numpy().astype(np.float64)
        parts = np.empty((len(pooled), 2))
        fold = np.arange(len(pooled)) % _FOLDS
        for out in range(_FOLDS):
            self._span(pooled[fold != out])
            parts[fold == out] = self._parts(pooled[fold == out])
        limits = np.maximum(np.quantile(parts, _QUANTILE, axis=0), _LEAST_VARIANCE)
        self._span(pooled)
        self.limits.copy_(torch.from_numpy(limits))
        index = np.log((parts / limits).sum(axis=1) + 1e-6)
        middle, highest = np.quantile(index, [0.5, _QUANTILE])
        slope = -_MEDIAN_ODDS / max(highest - middle, _LEAST_SPAN)
        self.head.weight.fill_(slope)
        self.head.bias.fill_(-slope * highest)

    def _span(self, pooled: FloatArray) -> None:
        """Fit centre, axes and variances to pooled coils float64 [N, P]."""
        centre = pooled.mean(axis=0)
        _, sizes, axes = np.linalg.svd(pooled - centre, full_matrices=False)
        wanted = min(self.axes.shape[1], len(pooled) - 1)
        variances = np.maximum(sizes[:wanted] ** 2 / (len(pooled) - 1), _LEAST_VARIANCE)
        self.centre.copy_(torch.from_numpy(centre))
        self.axes.zero_()[:, :wanted] = torch.from_numpy(axes[:wanted].T)
        self.variances.fill_(1.0)[:wanted] = torch.from_numpy(variances)

    def _parts(self, pooled: FloatArray) -> FloatArray:
        """T² and Q, float64 [N, 2], of pooled coils float64 [N, P]."""
        away = pooled - self.centre.cpu().numpy()
        axes = self.axes.cpu().numpy().astype(np.float64)
        inside = away @ axes
        hotelling = (inside**2 / self.variances.cpu().numpy()).sum(axis=1)
        return np.stack([hotelling, ((away - inside @ axes.T) ** 2).sum(axis=1)], axis=1)


def _pooled(coils: torch.Tensor) -> torch.Tensor:
    """Mean deficit and mean excess at each place, float32 [N, 264], of coils float32 [N, C, 264, 18]."""
    matrix = coils[:, :1]
    return avg_pool2d(torch.cat([(-matrix).relu(), matrix.relu()], dim=1), _CELL).flatten(1)
