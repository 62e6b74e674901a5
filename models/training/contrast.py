"""Losses of embeddings: coils of one label near each other, coils of two far apart."""

import torch
from torch.nn.functional import cross_entropy, relu

from models.objectives_spec import Contrastive, Pairs

_SMALLEST = 1e-4  # keeps the logarithm of a share, and the root of a square, away from zero


def contrastive(embeddings: torch.Tensor, is_nok: torch.Tensor, how: Contrastive) -> torch.Tensor:
    """Supervised contrastive loss of a batch (Khosla et al. 2020, L_out), and two forms of it for rare NOK.

    `supervised`: every coil is an anchor, drawn to all of its label and pushed off the rest. `asymmetric`: only
    NOK coils are anchors, so they are drawn together and OK coils are only pushed off them; good coils need not
    look alike. `focal`: each pair of one label is set against the anchor's coils of the other label alone, and
    weighs (1 - p)^gamma (the factor of Lin et al. 2017), so hard pairs weigh more.

    Args:
        embeddings: unit length, float [B, D].
        is_nok: float [B], 1 where NOK.
        how: kind, temperature and gamma.

    Returns:
        Float scalar; 0 where no anchor has a partner of its label.
    """
    size = len(embeddings)
    similarity = embeddings @ embeddings.T / how.temperature
    itself = torch.eye(size, dtype=torch.bool, device=embeddings.device)
    alike = is_nok[:, None] == is_nok[None, :]
    partner = alike & ~itself
    if how.kind == "focal":
        others = similarity.masked_fill(alike, -torch.inf).logsumexp(dim=1, keepdim=True)
        log_p = similarity - torch.logaddexp(similarity, others)
        pairs = (-torch.expm1(log_p)).clamp(min=_SMALLEST) ** how.gamma * -log_p
    else:
        pairs = similarity.masked_fill(itself, -torch.inf).logsumexp(dim=1, keepdim=True) - similarity
    anchors = partner.any(dim=1)
    if how.kind == "asymmetric":
        anchors = anchors & (is_nok > 0)
    if not bool(anchors.any()):
        return embeddings.sum() * 0
    per_anchor = (pairs * partner).sum(dim=1) / partner.sum(dim=1).clamp(min=1)
    return per_anchor[anchors].mean()


def two_views(first: torch.Tensor, second: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """NT-Xent of two views of the same coils (Chen et al. 2020): each finds its other view among all.

    Args:
        first: unit length, float [B, D].
        second: of the same coils in the same order.
        temperature: divides the similarities.
    """
    size = len(first)
    both = torch.cat([first, second])
    itself = torch.eye(2 * size, dtype=torch.bool, device=both.device)
    similarity = (both @ both.T / temperature).masked_fill(itself, -torch.inf)
    return cross_entropy(similarity, torch.arange(2 * size, device=both.device).roll(size))


def pair_losses(similarity: torch.Tensor, pairs: Pairs) -> tuple[torch.Tensor, torch.Tensor]:
    """What pairs of the given similarity cost if they are of one label, and if they are of two.

    `bce`: cross-entropy of (1 + similarity) / 2 as the probability of one label. `margin`: squared distance, and
    squared shortfall of the distance from the margin (Hadsell et al. 2006), of unit vectors.

    Args:
        similarity: cosine, float [...] in [-1, 1].
        pairs: which loss, and the margin.

    Returns:
        Two tensors of the same shape, not negative.
    """
    if pairs.loss == "bce":
        share = ((1 + similarity) / 2).clamp(_SMALLEST, 1 - _SMALLEST)
        return -share.log(), -(1 - share).log()
    squared = (2 - 2 * similarity).clamp(min=_SMALLEST**2)
    return squared, relu(pairs.margin - squared.sqrt()) ** 2
