"""Three to ten convolutions of 3 × 3 and what they see of a coil: the body of the CNN and of the Siamese encoder."""

from typing import Literal

import torch
from torch import nn

from models.networks.inputs import squared

_CHANNELS = (8, 16, 32, 48, 64)  # of five stages, of two convolutions each where there are ten
_NATIVE_POOLS = ((2, 1), (2, 2), (2, 1), (2, 2))  # between stages: 264 × 18 comes down to 16 × 4
_SQUARE_POOLS = ((2, 2),) * 4

Input = Literal["native", "square"]
Norm = Literal["batch", "layer"]
Pooling = Literal["average", "max"]


class ConvolutionalBody(nn.Module):
    """Maps coils float32 [N, C, 264, 18] to float32 [N, 128]: the mean and the maximum of every last map.

    Up to five convolutions are a stage each, and the first stages have the second ones; with fewer than five the
    narrow stages are left out, so that every depth gives as many values. Layer norm is over all maps of one coil
    (Ba et al. 2016).
    """

    width = 2 * _CHANNELS[-1]

    def __init__(self, convolutions: int, *, channels: int, form: Input, norm: Norm, pooling: Pooling) -> None:
        super().__init__()
        stages = min(convolutions, len(_CHANNELS))
        pools = _SQUARE_POOLS if form == "square" else _NATIVE_POOLS
        pool = nn.MaxPool2d if pooling == "max" else nn.AvgPool2d
        layers: list[nn.Module] = []
        before = channels
        for stage, after in enumerate(_CHANNELS[-stages:]):
            if stage:
                layers.append(pool(pools[stage - 1]))
            for _ in range(convolutions // stages + (stage < convolutions % stages)):
                layers += _convolution(before, after, norm)
                before = after
        self.layers = nn.Sequential(*layers)
        self.form = form

    def forward(self, coils: torch.Tensor) -> torch.Tensor:
        """Mean and maximum of every map over the coil."""
        maps = self.layers(squared(coils) if self.form == "square" else coils).flatten(2)
        return torch.cat([maps.mean(dim=2), maps.amax(dim=2)], dim=1)


def input_form(form: Input) -> str:
    """What a manifest calls the form that a convolutional body sees."""
    return "square_264x264" if form == "square" else "native_264x18"


def _convolution(before: int, after: int, norm: Norm) -> list[nn.Module]:
    scaled = nn.BatchNorm2d(after) if norm == "batch" else nn.GroupNorm(1, after)
    return [nn.Conv2d(before, after, 3, padding=1, bias=False), scaled, nn.ReLU(inplace=True)]
