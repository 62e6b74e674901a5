"""The CNN of three to ten convolutions."""

import torch
from torch import nn

from models.networks.contract import Network

_CHANNELS = (8, 16, 32, 48, 64)  # of five stages of two convolutions
_POOLS = ((2, 1), (2, 2), (2, 1), (2, 2))  # between stages: 264 × 18 comes down to 16 × 4


class TenLayerCnn(Network):
    """Ten convolutions of 3 × 3, batch norm and average pooling: the study's best forms for the native input."""

    input_form = "native_264x18"

    def __init__(self, *, channels: int, dropout: float) -> None:
        super().__init__()
        self.channels = channels
        layers: list[nn.Module] = []
        before = channels
        for stage, after in enumerate(_CHANNELS):
            if stage:
                layers.append(nn.AvgPool2d(_POOLS[stage - 1]))
            layers += [*_convolution(before, after), *_convolution(after, after)]
            before = after
        self.maps = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * before, 1)

    def features(self, coils: torch.Tensor) -> torch.Tensor:
        """The mean and the maximum of every map over the coil, float32 [N, 128]."""
        maps = self.maps(coils).flatten(2)
        pooled: torch.Tensor = self.dropout(torch.cat([maps.mean(dim=2), maps.amax(dim=2)], dim=1))
        return pooled


def _convolution(before: int, after: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
