"""The contract of a network."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import nn


class Network(nn.Module, ABC):
    """Maps matrices float32 [N, 264, 18] to log-odds of NOK, float32 [N]; whatever form it needs is inside it."""

    input_form: ClassVar[str]  # how the network sees the matrix, as the manifest names it

    @abstractmethod
    def forward(self, matrix: torch.Tensor) -> torch.Tensor:
        """Log-odds of NOK, float32 [N]."""
