"""The CNN of three to ten convolutions, the study's baseline."""

import torch
from torch import nn

from models.network_spec import NetworkOptions
from models.networks.contract import Network, channels_of
from models.networks.convolutions import ConvolutionalBody, input_form


class Cnn(Network):
    """Convolutions of 3 × 3 with a norm and pooling; batch norm and average pooling were the study's best forms."""

    def __init__(self, convolutions: int, options: NetworkOptions) -> None:
        super().__init__()
        self.channels = channels_of(options)
        self.input_form = input_form(options.input)
        self.maps = ConvolutionalBody(
            convolutions, channels=self.channels, form=options.input, norm=options.norm, pooling=options.pooling
        )
        self.dropout = nn.Dropout(options.dropout)
        self.head = nn.Linear(ConvolutionalBody.width, 1)

    def features(self, coils: torch.Tensor) -> torch.Tensor:
        """The mean and the maximum of every map over the coil, float32 [N, 128]."""
        pooled: torch.Tensor = self.dropout(self.maps(coils))
        return pooled
