"""A rule on band exceedance: the inspector's baseline, in numbers that an inspector can read."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn.functional import avg_pool1d, max_pool1d, pad

from models.networks.contract import Network
from schemas.coils import BoolArray, Float32Array
from schemas.layout import FACES, MATRIX_ROWS, SENSORS_PER_FACE

NUMBERS = (
    "mean_deficit",  # of all cells, in the unit of the scale
    "worst_12_rows",  # largest mean deficit of 12 rows in succession: a twentieth of the coil
    "worst_66_rows",  # the same of a quarter of the coil
    "worst_sensor_12_rows",  # the same of 12 rows of one sensor: a streak
    "share_below",  # of cells, 0 to 1
    "share_above",
    "longest_run",  # rows in succession below band, as a share of the coil
)
_BY_HAND = {"worst_66_rows": 40.0}  # log-odds of one unit; of the numbers alone, it tells simulated coils best
_BIAS_BY_HAND = -4.0  # so p = 0.5 where the two faces' add up to 0.1
_TOLERANCE = 0.01  # of the scale's unit: a cell nearer to the band than this is in it
_SENSORS_BELOW = 3  # of nine, for a row to count as below band


class Rule(Network):
    """Log-odds linear in how far, how often and how long each face leaves its band: `NUMBERS` of top, then of bottom.

    Before `learn` its weights are set by hand: the border of NOK is where the mean deficits of the worst quarter of
    each face add up to 0.1 of the scale's unit. On scale `limits` only: on scale `self` a coil has no band to leave.
    """

    input_form = "exceedance_14"
    channels = 1
    head: nn.Linear

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(len(FACES) * len(NUMBERS), 1)
        self._by_hand()

    def features(self, coils: torch.Tensor) -> torch.Tensor:
        """`NUMBERS` of the top face and of the bottom face, float32 [N, 14]."""
        return torch.cat([_numbers(face) for face in torch.split(coils[:, 0], SENSORS_PER_FACE, dim=2)], dim=1)

    @torch.no_grad()
    def learn(self, coils: Float32Array, is_nok: BoolArray) -> None:
        """Fit the weights by logistic regression, both labels of the same total weight; one label leaves them by hand.

        Args:
            coils: float32 [N, C, 264, 18].
            is_nok: bool [N].
        """
        if is_nok.all() or not is_nok.any():
            self._by_hand()
            return
        found = self.features(torch.from_numpy(coils).to(self.head.weight.device)).cpu().numpy().astype(np.float64)
        scaler = StandardScaler().fit(found)
        regression = LogisticRegression(class_weight="balanced", max_iter=1000).fit(scaler.transform(found), is_nok)
        weight = regression.coef_[0] / scaler.scale_
        self.head.weight.copy_(torch.from_numpy(weight[None]))
        self.head.bias.fill_(float(regression.intercept_[0] - weight @ scaler.mean_))

    @torch.no_grad()
    def _by_hand(self) -> None:
        self.head.weight.copy_(torch.tensor([[_BY_HAND.get(name, 0.0) for name in NUMBERS] * len(FACES)]))
        self.head.bias.fill_(_BIAS_BY_HAND)


def _numbers(face: torch.Tensor) -> torch.Tensor:
    """`NUMBERS`, float32 [N, 7], of one face float32 [N, 264, 9]."""
    deficit = (-face).relu()
    below, above = (face < -_TOLERANCE).to(face.dtype), (face > _TOLERANCE).to(face.dtype)
    of_row = deficit.mean(dim=2)
    numbers = [
        of_row.mean(dim=1),
        _worst(of_row[:, None], rows=12),
        _worst(of_row[:, None], rows=66),
        _worst(deficit.transpose(1, 2), rows=12),
        below.mean(dim=(1, 2)),
        above.mean(dim=(1, 2)),
        _longest_run((below.sum(dim=2) >= _SENSORS_BELOW).to(face.dtype)) / MATRIX_ROWS,
    ]
    return torch.stack(numbers, dim=1)


def _worst(tracks: torch.Tensor, *, rows: int) -> torch.Tensor:
    """The largest mean over `rows` in succession, float32 [N], of tracks float32 [N, tracks, 264]."""
    return avg_pool1d(tracks, rows, stride=1).amax(dim=(1, 2))


def _longest_run(is_below: torch.Tensor) -> torch.Tensor:
    """The longest run of ones, float32 [N], in zeros and ones float32 [N, 264].

    The count of ones so far, less what it was at the last zero; that maximum so far is a pool over all rows before,
    because ONNX has no cumulative maximum.
    """
    so_far = is_below.cumsum(dim=1)
    at_zeros = pad((so_far * (1 - is_below))[:, None], (MATRIX_ROWS - 1, 0))
    at_last_zero = max_pool1d(at_zeros, MATRIX_ROWS, stride=1)[:, 0]
    return (so_far - at_last_zero).amax(dim=1)
