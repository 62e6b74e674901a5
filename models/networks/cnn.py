"""The ten-layer CNN on the native matrix."""

from typing import ClassVar

import torch
from torch import nn

from models.networks.contract import Network

_CHANNELS = (8, 16, 32, 48, 64)  # of five stages of two convolutions
_POOLS = ((2, 1), (2, 2), (2, 1), (2, 2))  # between stages: 264 × 18 comes down to 16 × 4
_DROPOUT = 0.3


class TenLayerCnn(Network):
    """Ten convolutions of 3 × 3, batch norm and average pooling: the study's best forms for the native input."""

    input_form: ClassVar[str] = "native_264x18"

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for stage, channels in enumerate(_CHANNELS):
            if stage:
                layers.append(nn.AvgPool2d(_POOLS[stage - 1]))
            layers += [*_convolution(before, channels), *_convolution(channels, channels)]
            before = channels
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(_DROPOUT), nn.Linear(2 * before, 1))

    def forward(self, matrix: torch.Tensor) -> torch.Tensor:
        """Log-odds of NOK, float32 [N], from the mean and the maximum of every feature over the coil."""
        maps = self.features(matrix.unsqueeze(1)).flatten(2)
        pooled = torch.cat([maps.mean(dim=2), maps.amax(dim=2)], dim=1)
        logits: torch.Tensor = self.head(pooled).squeeze(1)
        return logits


def _convolution(before: int, after: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
