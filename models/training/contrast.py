"""Losses of embeddings: coils of one label near each other, coils of two far apart."""

import torch
from torch.nn.functional import cross_entropy, relu

from models.objectives_spec import Contrastive, Pairs

_SMALLEST = 1e-4  # keeps the logarithm of a share, and the root of a square, away from zero
_LEAST_LEFT = 1e-6  # the same of the share that one coil leaves to all others


def contrastive(embeddings: torch.Tensor, is_nok: torch.Tensor, how: Contrastive) -> torch.Tensor:
    """Contrastive loss of a batch: the mean of `anchor_losses` over all anchors that have a partner.

    Args:
        embeddings: unit length, float [B, D].
        is_nok: float [B], 1 where NOK.
        how: kind, temperature, and what the kind has beside it.

    Returns:
        Float scalar, not negative; 0 where no anchor has a partner of its label.
    """
    losses, counts = anchor_losses(embeddings, is_nok, how)
    return losses[counts].mean() if bool(counts.any()) else embeddings.sum() * 0


def anchor_losses(
    embeddings: torch.Tensor, is_nok: torch.Tensor, how: Contrastive
) -> tuple[torch.Tensor, torch.Tensor]:
    """Contrastive loss of every coil as an anchor, of either label.

    With p_ij the softmax of the similarities to anchor i over all coils but itself, j's partners being those of its
    label:

    - `supervised`: mean of -log p_ij over the partners (Khosla et al. 2020, L_out);
    - `focal`: each of these terms times (1 - p_ij)^gamma, so hard partners weigh more (Zhang et al. 2021, FCL);
    - `asymmetric`: `supervised`, and eta times the mean of -log(1 - p_ij) over the coils of the other label, which
      pushes anchors off them by itself (Vito and Stefanus 2022, ACL).

    Args:
        embeddings: unit length, float [B, D].
        is_nok: float [B], 1 where NOK.
        how: kind, temperature, and what the kind has beside it.

    Returns:
        Losses, float [B], not negative, and which anchors count, bool [B]: those that have a partner.
    """
    similarity = embeddings @ embeddings.T / how.temperature
    itself = torch.eye(len(embeddings), dtype=torch.bool, device=embeddings.device)
    alike = is_nok[:, None] == is_nok[None, :]
    partner = alike & ~itself
    log_p = similarity - similarity.masked_fill(itself, -torch.inf).logsumexp(dim=1, keepdim=True)
    log_p = log_p.clamp(max=0.0).masked_fill(itself, -torch.inf)  # an anchor has no share in itself
    share_left = (-torch.expm1(log_p)).clamp(min=_LEAST_LEFT)  # 1 - p
    terms = -log_p.masked_fill(itself, 0.0)
    if how.kind == "focal":
        terms = share_left**how.gamma * terms
    losses = _mean_where(partner, terms)
    if how.kind == "asymmetric":
        losses = losses + how.eta * _mean_where(~alike, -share_left.log())
    return losses, partner.any(dim=1)


def mean_of_labels(values: torch.Tensor, is_nok: torch.Tensor) -> torch.Tensor:
    """The mean of OK coils' mean and NOK coils' mean, so that rare NOK says as much.

    Args:
        values: float [N].
        is_nok: [N], above 0 where NOK.

    Returns:
        Float scalar; where one label is alone its mean, and 0 where there are no values.
    """
    found = [values[of].mean() for of in (is_nok > 0, is_nok <= 0) if bool(of.any())]
    return torch.stack(found).mean() if found else values.sum()


def _mean_where(chosen: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Mean of each row's chosen values, 0 where none is."""
    return (values * chosen).sum(dim=1) / chosen.sum(dim=1).clamp(min=1)


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
