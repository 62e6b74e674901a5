"""Losses of log-odds: cross-entropy and focal, class-weighted."""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from models.objectives_spec import ClassWeights, Loss


def coil_losses(odds: torch.Tensor, is_nok: torch.Tensor, loss: Loss) -> torch.Tensor:
    """Loss of each coil by itself: cross-entropy, or focal loss (Lin et al. 2017, eq. 4).

    The focal loss is (1 - p)^gamma times the cross-entropy, p the probability given to the true label: a coil that is
    already told apart counts for little.

    Args:
        odds: log-odds of NOK, float [N].
        is_nok: float [N], 1 where NOK.
        loss: which of the two, and gamma.

    Returns:
        Float [N], not negative.
    """
    entropy = binary_cross_entropy_with_logits(odds, is_nok, reduction="none")
    if loss.kind == "cross_entropy":
        return entropy
    p_wrong = torch.sigmoid(torch.where(is_nok > 0, -odds, odds))
    return p_wrong**loss.gamma * entropy


def label_weights(is_nok: torch.Tensor, weights: ClassWeights) -> torch.Tensor:
    """Weight of each coil, float [N], of `is_nok` float [N]."""
    return torch.where(is_nok > 0, is_nok.new_tensor(weights.nok), is_nok.new_tensor(weights.ok))
