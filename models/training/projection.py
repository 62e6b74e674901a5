"""A small head for contrastive stages, thrown away after them."""

import torch
from torch import nn
from torch.nn.functional import normalize

_HIDDEN, _EMBEDDING = 128, 64


class Projection(nn.Module):
    """Features float [N, D] to unit vectors [N, 64], through one hidden layer (Chen et al. 2020, section 4.2)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, _EMBEDDING))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Unit vectors, float [N, 64]."""
        return normalize(self.layers(features), dim=1)
