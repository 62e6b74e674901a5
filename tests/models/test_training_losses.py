"""Promises of the losses that networks are trained by, against their formulas written out."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from models.objectives_spec import ClassWeights, Contrastive, Loss, Pairs
from models.training.adaptation import Critic, coral, mmd
from models.training.contrast import contrastive, mean_of_labels, pair_losses, two_views
from models.training.losses import coil_losses, label_weights
from models.training.pairing import batch_loss, references

IS_NOK = torch.tensor([0.0, 0, 0, 1, 1, 1])


def _embeddings(size: int = 6, seed: int = 0) -> torch.Tensor:
    return normalize(torch.randn((size, 4), generator=torch.Generator().manual_seed(seed)), dim=1)


def test_focal_loss_counts_a_coil_already_told_apart_for_little() -> None:
    odds, is_nok = torch.tensor([3.0, -3.0, 0.0]), torch.tensor([1.0, 1.0, 0.0])
    plain = coil_losses(odds, is_nok, Loss())
    focal = coil_losses(odds, is_nok, Loss(kind="focal", gamma=2.0))
    p = [1 / (1 + math.exp(-3)), 1 / (1 + math.exp(3)), 0.5]
    torch.testing.assert_close(plain, torch.tensor([-math.log(one) for one in p]))
    torch.testing.assert_close(focal, torch.tensor([-((1 - one) ** 2) * math.log(one) for one in p]))


def test_each_label_has_its_weight() -> None:
    weights = label_weights(torch.tensor([0.0, 1.0]), ClassWeights(ok=1, nok=5))
    assert weights.tolist() == [1.0, 5.0]


def _published(z: np.ndarray, is_nok: np.ndarray, how: Contrastive) -> float:
    """The three losses as their papers write them."""
    total = []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        below = sum(math.exp(z[i] @ z[a] / how.temperature) for a in others)
        p = {a: math.exp(z[i] @ z[a] / how.temperature) / below for a in others}
        gamma = how.gamma if how.kind == "focal" else 0
        loss = np.mean([-((1 - p[a]) ** gamma) * math.log(p[a]) for a in others if is_nok[a] == is_nok[i]])
        if how.kind == "asymmetric":
            loss += how.eta * np.mean([-math.log(1 - p[a]) for a in others if is_nok[a] != is_nok[i]])
        total.append(loss)
    return float(np.mean(total))


KINDS: dict[str, dict[str, object]] = {
    "supervised": {},
    "focal": {"gamma": 3.0},
    "asymmetric": {"eta": 2.5},
}


def _contrast(kind: str, **changes: object) -> Contrastive:
    return Contrastive.model_validate({"kind": kind, "temperature": 0.5, **KINDS[kind], **changes})


@pytest.mark.parametrize("kind", KINDS)
def test_contrastive_loss_is_the_published_formula_over_anchors_of_both_labels(kind: str) -> None:
    z, is_nok = _embeddings(7), torch.tensor([0.0, 0, 1, 0, 1, 0, 0])
    found = contrastive(z, is_nok, _contrast(kind))
    assert float(found) == pytest.approx(_published(z.double().numpy(), is_nok.numpy(), _contrast(kind)), rel=1e-5)


@settings(deadline=None, max_examples=20)
@given(kind=st.sampled_from(list(KINDS)), seed=st.integers(0, 10_000), size=st.integers(4, 12))
def test_contrastive_loss_is_finite_not_negative_and_knows_no_order(kind: str, seed: int, size: int) -> None:
    z, is_nok = _embeddings(size, seed).double(), (torch.arange(size) < size // 2).float()
    z[0] = z[1] = -z[size - 1]  # two alike, and one opposite
    z.requires_grad_()
    how = _contrast(kind, temperature=0.05)
    found = contrastive(z, is_nok, how)
    found.backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()
    assert found >= 0
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(contrastive(z[order], is_nok[order], how), found)


@pytest.mark.parametrize("kind", KINDS)
def test_contrastive_loss_is_nothing_where_each_coil_has_found_its_one_partner(kind: str) -> None:
    z, is_nok = torch.eye(2).repeat_interleave(2, dim=0), torch.tensor([0.0, 0, 1, 1])
    assert float(contrastive(z, is_nok, _contrast(kind, temperature=0.05))) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("nothing", [_contrast("focal", gamma=1e-6), _contrast("asymmetric", eta=1e-6)])
def test_without_its_own_factor_a_kind_is_the_supervised_one(nothing: Contrastive) -> None:
    plain = contrastive(_embeddings(), IS_NOK, _contrast("supervised"))
    assert float(contrastive(_embeddings(), IS_NOK, nothing)) == pytest.approx(float(plain), rel=1e-4)


def test_asymmetric_contrast_pushes_the_labels_further_apart() -> None:
    def gradient(kind: str) -> torch.Tensor:
        z = _embeddings().requires_grad_()
        (found,) = torch.autograd.grad(contrastive(z, IS_NOK, _contrast(kind)), z)
        return -found

    step = gradient("asymmetric") - gradient("supervised")
    z = _embeddings()
    moved = normalize(z + 0.01 * step, dim=1)
    assert (moved @ moved.T)[:3, 3:].mean() < (z @ z.T)[:3, 3:].mean()


def test_focal_contrast_weighs_hard_pairs_more() -> None:
    near = normalize(torch.tensor([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1]]), dim=1)
    far = normalize(torch.tensor([[1.0, 0], [0.2, 1], [0, 1], [1, 0.2]]), dim=1)
    is_nok = torch.tensor([0.0, 0, 1, 1])

    def ratio(gamma: float) -> float:
        how = Contrastive(kind="focal", gamma=gamma, temperature=0.5)
        return float(contrastive(far, is_nok, how) / contrastive(near, is_nok, how))

    assert ratio(4.0) > 2 * ratio(1.0)


def test_a_batch_without_a_partner_costs_nothing() -> None:
    found = contrastive(_embeddings(2), torch.tensor([0.0, 1]), Contrastive(kind="asymmetric"))
    assert float(found) == 0


def test_rare_nok_says_as_much_as_ok_in_a_mean_of_labels() -> None:
    values, is_nok = torch.tensor([1.0, 1, 1, 1, 9]), torch.tensor([0, 0, 0, 0, 1])
    assert float(mean_of_labels(values, is_nok)) == 5
    assert float(mean_of_labels(values[:4], is_nok[:4])) == 1
    assert float(mean_of_labels(values[:0], is_nok[:0])) == 0


def test_two_views_find_each_other() -> None:
    first, second = _embeddings(5), _embeddings(5, seed=1)
    both, total = torch.cat([first, second]), []
    for i in range(10):
        below = sum(math.exp(float(both[i] @ both[a]) / 0.2) for a in range(10) if a != i)
        total.append(-math.log(math.exp(float(both[i] @ both[(i + 5) % 10]) / 0.2) / below))
    assert float(two_views(first, second, temperature=0.2)) == pytest.approx(float(np.mean(total)), rel=1e-5)
    assert two_views(first, first, temperature=0.2) < two_views(first, second, temperature=0.2)


def test_pairs_of_one_label_cost_their_distance_and_of_two_what_they_lack_of_the_margin() -> None:
    similarity = torch.tensor([1.0, 0.5, -1.0])
    same, different = pair_losses(similarity, Pairs(loss="margin", margin=1.5))
    torch.testing.assert_close(same, torch.tensor([0.0, 1.0, 4.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(different, torch.tensor([2.25, 0.25, 0.0]), atol=1e-3, rtol=0)
    same, different = pair_losses(similarity, Pairs(loss="bce"))
    assert float(same[1]) == pytest.approx(-math.log(0.75))
    assert float(different[1]) == pytest.approx(-math.log(0.25))


def test_hard_pairs_cost_more_than_balanced_ones() -> None:
    z = _embeddings()
    hard, balanced = (batch_loss(z, IS_NOK, Pairs.model_validate({"mining": m})) for m in ("hard", "balanced"))
    similarity = z @ z.T
    same, different = pair_losses(similarity, Pairs())
    worst_same = [max(float(same[i, j]) for j in range(6) if j != i and IS_NOK[i] == IS_NOK[j]) for i in range(6)]
    worst_other = [max(float(different[i, j]) for j in range(6) if IS_NOK[i] != IS_NOK[j]) for i in range(6)]
    assert float(hard) == pytest.approx(np.mean([*worst_same, *worst_other]), rel=1e-4)
    assert hard > balanced


def test_references_are_the_centres_of_clusters_of_a_label() -> None:
    directions = torch.eye(4)[:3]
    found = references(normalize(directions.repeat(10, 1) + 0.01 * _embeddings(30), dim=1), 3, seed=0)
    assert found.shape == (3, 4)
    assert (found @ directions.T).max(dim=0).values.min() > 0.99
    assert references(directions[:1].repeat(5, 1), 3, seed=0).shape == (3, 4)


@pytest.mark.parametrize("distance", [coral, mmd])
def test_features_that_are_alike_are_no_distance_apart(
    distance: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> None:
    features = torch.randn((64, 5), generator=torch.Generator().manual_seed(0))
    assert float(distance(features, features)) == pytest.approx(0, abs=1e-6)
    assert float(distance(features, 3 * features + 1)) > 0.05


def test_coral_is_the_distance_of_covariances_as_published() -> None:
    first, second = (torch.randn((20, 3), generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    difference = np.cov(first.numpy().T) - np.cov(second.numpy().T)
    assert float(coral(first, second)) == pytest.approx(np.sum(difference**2) / 36, rel=1e-5)


def test_the_critic_learns_forwards_and_the_features_backwards() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        critic, features = Critic(3), torch.randn((8, 3), requires_grad=True)

    def gradient(progress: float) -> torch.Tensor:
        (found,) = torch.autograd.grad(critic(features[:4], features[4:], progress=progress), features)
        return found

    plain = torch.zeros(8)
    plain[4:] = 1
    loss = torch.nn.functional.binary_cross_entropy_with_logits(critic.layers(features).squeeze(1), plain)
    (forwards,) = torch.autograd.grad(loss, features)
    torch.testing.assert_close(gradient(1.0), -forwards * math.tanh(5), atol=1e-6, rtol=1e-4)
    assert gradient(0.0).abs().max() == 0
