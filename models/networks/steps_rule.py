"""A rule for coils whose scale is lost: how deep the worst long section of a face lies, in steps of its levels."""

import math

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn.functional import avg_pool1d

from models.networks.contract import Network
from models.networks.steps import STEPS_A_UNIT, GaugeSteps
from schemas.coils import BoolArray, Float32Array
from schemas.layout import FACES, MATRIX_ROWS, SENSORS_PER_FACE

_SENSORS = (SENSORS_PER_FACE // 2, SENSORS_PER_FACE - 3)  # the median of a face, and what seven of nine lie below
_ROWS = (66, 132, 198)  # a quarter, a half and three quarters of a coil
_SLOPE_BY_HAND = 1.4
_BORDER_BY_HAND = math.log1p(6.0)  # six steps over long sections: as simulated and real experts draw it, about
_LOOSENESS = 100.0  # inverse strength of the penalty on the slope


class StepsRule(Network):
    """Log-odds linear in one number: the depth of the worst sections of the worse face, its logarithm.

    A section is a quarter, a half or three quarters of a coil; its depth is the mean, in steps below the commonest
    level, of the median sensor or of the third-highest, so that neither an edge nor a stripe makes it deep. The number
    is the mean over these of log(1 + depth).
    """

    input_form = "worst_sections_in_steps"
    channels = 1
    head: nn.Linear

    def __init__(self) -> None:
        super().__init__()
        self.steps = GaugeSteps()
        self.head = nn.Linear(1, 1)
        self._by_hand()

    def features(self, coils: torch.Tensor) -> torch.Tensor:
        """The number, float32 [N, 1]."""
        in_steps = STEPS_A_UNIT * self.steps(coils)[:, 0]
        faces = in_steps.reshape(-1, MATRIX_ROWS, len(FACES), SENSORS_PER_FACE).sort(dim=3).values
        depths = []
        for sensor in _SENSORS:
            tracks = -faces[..., sensor].transpose(1, 2)
            depths += [avg_pool1d(tracks, rows, stride=1).amax(dim=(1, 2)) for rows in _ROWS]
        return torch.stack(depths, dim=1).relu().log1p().mean(dim=1, keepdim=True)

    @torch.no_grad()
    def learn(self, coils: Float32Array, is_nok: BoolArray) -> None:
        """Fit slope and border by logistic regression, both labels of the same weight; one label leaves them by hand.

        Args:
            coils: float32 [N, 1, 264, 18] on scale `self`.
            is_nok: bool [N].
        """
        if is_nok.all() or not is_nok.any():
            self._by_hand()
            return
        device = self.head.weight.device
        parts = [self.features(torch.from_numpy(part).to(device)).cpu().numpy() for part in _parts(coils)]
        number = np.concatenate(parts).astype(np.float64)
        regression = LogisticRegression(C=_LOOSENESS, class_weight="balanced").fit(number, is_nok)
        self.head.weight.fill_(float(regression.coef_[0, 0]))
        self.head.bias.fill_(float(regression.intercept_[0]))

    @torch.no_grad()
    def _by_hand(self) -> None:
        self.head.weight.fill_(_SLOPE_BY_HAND)
        self.head.bias.fill_(-_SLOPE_BY_HAND * _BORDER_BY_HAND)


def _parts(coils: Float32Array) -> list[Float32Array]:
    return np.array_split(coils, max(1, len(coils) // 256))
