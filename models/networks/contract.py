"""The contract of a network."""

from abc import ABC, abstractmethod

import torch
from torch import nn

from models.network_spec import NetworkOptions


class Network(nn.Module, ABC):
    """Maps coils float32 [N, C, 264, 18] to log-odds of NOK, float32 [N]; whatever form it needs is inside it.

    Channel 0 is the matrix; where C is 2, channel 1 is the spread. A class defines `head`, which maps features
    [N, D] to log-odds [N, 1]; where that is one `nn.Linear` it can be trained again on features alone.
    """

    input_form: str  # how the network sees a coil, as the manifest names it
    channels: int  # C: 1 or 2
    initial_weights: str = "none"  # which weights it began with, as the manifest names them
    head: nn.Module

    @abstractmethod
    def features(self, coils: torch.Tensor) -> torch.Tensor:
        """What the head decides on, float32 [N, D]."""

    def forward(self, coils: torch.Tensor) -> torch.Tensor:
        """Log-odds of NOK, float32 [N]."""
        log_odds: torch.Tensor = self.head(self.features(coils)).squeeze(1)
        return log_odds


def channels_of(options: NetworkOptions) -> int:
    """C: 2 where the network sees the spread beside the matrix, else 1."""
    return 2 if options.channels == "matrix_and_spread" else 1
