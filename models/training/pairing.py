"""How a Siamese network learns from pairs of coils, and which coils it compares with afterwards."""

from collections.abc import Iterator

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import normalize

from models.networks.siamese import Siamese
from models.objectives_spec import Pairs
from models.training.batches import with_both_labels
from models.training.contrast import mean_of_labels, pair_losses
from models.training.course import Course
from models.training.loop import Stage
from models.training.scoring import features, log_odds

_STARTS = 10  # of KMeans
_LOOSENESS = 100.0  # inverse strength of the penalty on the scale of the log-odds


def pairing_stage(course: Course) -> Stage:
    """Similarity of pairs: in each batch every coil is an anchor, once with its own label, once with the other.

    The validation loss is that of all pairs of validation coils: half of the weight on pairs of two labels, a quarter
    each on pairs of OK coils and on pairs of NOK coils.
    """
    spec, network = course.spec, course.network

    def losses() -> Iterator[torch.Tensor]:
        for coils, is_nok in with_both_labels(course.training, course.drawing, even=True):
            yield batch_loss(network.features(coils), is_nok, spec.pairs)

    def validate() -> float:
        found = features(network, course.validation.coils)
        is_nok = torch.from_numpy(course.validation.is_nok)
        same, different = pair_losses((found @ found.T).clamp(-1, 1), spec.pairs)
        alike = is_nok[:, None] == is_nok[None, :]
        partner = alike & ~torch.eye(len(found), dtype=torch.bool)
        label = is_nok[:, None].expand_as(partner)
        return float((mean_of_labels(same[partner], label[partner]) + different[~alike].mean()) / 2)

    return Stage(
        name="training",
        losses=losses,
        validate=validate,
        epochs=spec.epochs,
        patience=spec.patience,
        learning_rate=spec.learning_rate,
    )


def batch_loss(embeddings: torch.Tensor, is_nok: torch.Tensor, pairs: Pairs) -> torch.Tensor:
    """Mean loss of balanced pairs: one partner of its own label and one of the other for every coil.

    `balanced` takes the next coil of the label, which is a random one as the batch is shuffled; `hard` takes the
    least similar of its own label and the most similar of the other (Hermans et al. 2017).

    Args:
        embeddings: unit length, float [B, D].
        is_nok: float [B]; at least two coils of each label.
        pairs: loss and mining.

    Returns:
        Float scalar.
    """
    similarity = (embeddings @ embeddings.T).clamp(-1, 1)
    alike = is_nok[:, None] == is_nok[None, :]
    if pairs.mining == "hard":
        itself = torch.eye(len(is_nok), dtype=torch.bool, device=is_nok.device)
        own = similarity.masked_fill(~alike | itself, torch.inf).argmin(dim=1)
        other = similarity.masked_fill(alike, -torch.inf).argmax(dim=1)
    else:
        own, other = _next_of_each_label(is_nok)
    anchors = torch.arange(len(is_nok), device=is_nok.device)
    same, _ = pair_losses(similarity[anchors, own], pairs)
    _, different = pair_losses(similarity[anchors, other], pairs)
    return (same.mean() + different.mean()) / 2


def _next_of_each_label(is_nok: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    places = [(is_nok > 0).logical_not().nonzero().squeeze(1), (is_nok > 0).nonzero().squeeze(1)]
    own, other = torch.empty_like(is_nok, dtype=torch.long), torch.empty_like(is_nok, dtype=torch.long)
    for mine, theirs in (places, places[::-1]):
        own[mine] = mine.roll(1)
        other[mine] = theirs[torch.arange(len(mine), device=is_nok.device) % len(theirs)]
    return own, other


def references(embeddings: torch.Tensor, count: int, *, seed: int) -> torch.Tensor:
    """Directions that stand for one label: centres by KMeans (Lloyd 1982), brought back to unit length.

    Args:
        embeddings: unit length, of coils of one label, float [N, D] on the CPU.
        count: of centres.
        seed: of KMeans.

    Returns:
        Float32 [count, D]; where fewer embeddings differ, some directions are there more than once.
    """
    distinct = min(count, len(torch.unique(embeddings, dim=0)))
    clusters = KMeans(distinct, n_init=_STARTS, random_state=seed).fit(embeddings.double().numpy())
    centres = torch.from_numpy(clusters.cluster_centers_.astype(np.float32))
    return normalize(centres[torch.arange(count) % distinct], dim=1)


@torch.no_grad()
def refer(course: Course) -> None:
    """Give a trained Siamese network its references, and log-odds that fit the validation coils.

    References are centres of the training coils' embeddings, one set a label. Scale and bias of the log-odds are
    those of a class-weighted logistic regression on validation coils (Platt 1999).
    """
    network, spec = course.network, course.spec
    if not isinstance(network, Siamese):
        raise TypeError(f"{spec.kind} has no references")
    found = features(network, course.training.coils)
    is_nok = torch.from_numpy(course.training.is_nok)
    count = spec.network.references
    network.refer_to(*(references(found[of], count, seed=spec.seed) for of in (~is_nok, is_nok)))
    odds = log_odds(network, course.validation.coils)
    weights = course.validation_weights
    weight = np.where(course.validation.is_nok, weights.nok, weights.ok)
    line = LogisticRegression(C=_LOOSENESS).fit(odds[:, None], course.validation.is_nok, sample_weight=weight)
    slope, offset = float(line.coef_[0, 0]), float(line.intercept_[0])
    network.scale.mul_(slope)
    network.bias.mul_(slope).add_(offset)
