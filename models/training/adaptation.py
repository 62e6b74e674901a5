"""How unlike the features of labelled coils and of recent ones are: CORAL, MMD, and a critic that is fooled (DANN)."""

import math

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

_BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the Gaussian kernels, times the mean squared distance
_HIDDEN = 64
_STEEPNESS = 10.0  # of the rise of DANN's strength


def coral(labelled: torch.Tensor, recent: torch.Tensor) -> torch.Tensor:
    """Squared Frobenius distance of the two covariances over 4 D² (Sun and Saenko 2016); features float [N, D]."""
    difference = torch.cov(labelled.T) - torch.cov(recent.T)
    return difference.pow(2).sum() / (4 * labelled.shape[1] ** 2)


def mmd(labelled: torch.Tensor, recent: torch.Tensor) -> torch.Tensor:
    """Squared maximum mean discrepancy by the mean of five Gaussian kernels (Long et al. 2015).

    Args:
        labelled: features, float [N, D].
        recent: features, float [M, D].

    Returns:
        Float scalar, not negative; 0 for the same features. Bandwidths follow the mean squared distance of the
        batch, through which no gradient flows.
    """
    both = torch.cat([labelled, recent])
    lengths = both.pow(2).sum(dim=1)
    squared = (lengths[:, None] + lengths[None, :] - 2 * both @ both.T).clamp(min=0)
    scale = squared.detach().mean().clamp(min=1e-12)
    kernel = torch.stack([torch.exp(-squared / (scale * width)) for width in _BANDWIDTHS]).mean(dim=0)
    shares = [labelled.new_full((len(labelled),), 1 / len(labelled)), recent.new_full((len(recent),), -1 / len(recent))]
    sign = torch.cat(shares)
    return sign @ kernel @ sign


class Critic(nn.Module):
    """Tells recent coils from labelled ones by their features, while its gradient teaches the network to fool it."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 1))

    def forward(self, labelled: torch.Tensor, recent: torch.Tensor, *, progress: float) -> torch.Tensor:
        """Cross-entropy of the critic, its gradient reversed on the way to the features (Ganin et al. 2016).

        Args:
            labelled: features, float [N, D].
            recent: features, float [M, D].
            progress: of training, 0 to 1; the reversed gradient grows from 0 to 1 with it.
        """
        strength = 2 / (1 + math.exp(-_STEEPNESS * progress)) - 1
        both = torch.cat([labelled, recent])
        # The value of `both`, and minus `strength` times its gradient.
        seen = (1 + strength) * both.detach() - strength * both
        is_recent = torch.cat([both.new_zeros(len(labelled)), both.new_ones(len(recent))])
        odds: torch.Tensor = self.layers(seen).squeeze(1)
        return binary_cross_entropy_with_logits(odds, is_recent)
