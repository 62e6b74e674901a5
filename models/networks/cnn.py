"""The CNN of three to ten convolutions, the study's baseline."""

import torch
from torch import nn
from torch.nn.functional import avg_pool2d

from models.network_spec import NetworkOptions
from models.networks.contract import Network, channels_of
from models.networks.convolutions import ConvolutionalBody, input_form
from models.networks.steps import GaugeSteps

_JITTER = 0.15  # of the scale that is read off grey levels, while training
_ROWS_A_MEAN = 4  # coils of the plant have some sixty rows, stretched to 264


class Cnn(Network):
    """Convolutions of 3 × 3 with a norm and pooling; batch norm and average pooling were the study's best forms.

    With input `steps` it sees 66 rows, each the mean of four, of the coil as it is and in steps of its gauge.
    """

    def __init__(self, convolutions: int, options: NetworkOptions) -> None:
        super().__init__()
        self.channels = channels_of(options)
        self.input_form = input_form(options.input)
        self.steps = GaugeSteps(jitter=_JITTER) if options.input == "steps" else None
        seen = self.channels + (self.steps is not None)
        self.maps = ConvolutionalBody(
            convolutions, channels=seen, form=options.input, norm=options.norm, pooling=options.pooling
        )
        self.dropout = nn.Dropout(options.dropout)
        self.head = nn.Linear(ConvolutionalBody.width, 1)

    def features(self, coils: torch.Tensor) -> torch.Tensor:
        """The mean and the maximum of every map over the coil, float32 [N, 128]."""
        if self.steps is not None:
            coils = avg_pool2d(self.steps(coils), (_ROWS_A_MEAN, 1))
        pooled: torch.Tensor = self.dropout(self.maps(coils))
        return pooled
