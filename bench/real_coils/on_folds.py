"""What learns from real coils: every coil is judged by what did not learn from it, repeat by repeat."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from bench.real_coils.views import SETS, seen
from models.augment import augment
from models.data_spec import Augmentation
from models.networks import Network
from models.training.scoring import features, log_odds
from schemas.coils import BoolArray, Float32Array, FloatArray, IntArray

_PASSES = 15
_HAND_C, _HEAD_C = 0.1, 0.001
_REAL_SHARE = 0.25  # of the weight, where simulated and real coils teach one head
_INNER_FOLDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Folds:
    """Which fold tests each coil: `fold` [R, N]."""

    fold: IntArray

    def parts(self, repeat: int) -> "list[tuple[IntArray, IntArray]]":
        """Training and test places of each fold."""
        return [
            (np.flatnonzero(self.fold[repeat] != k), np.flatnonzero(self.fold[repeat] == k))
            for k in np.unique(self.fold[repeat])
        ]


Fitted = Callable[[IntArray, IntArray, int], FloatArray]  # training places, asked places, repeat: log-odds of those


@dataclass(frozen=True, kw_only=True, slots=True)
class OutOfFold:
    """Scores [R, N] of coils by what did not learn from them, and the threshold that each coil was held against."""

    scores: FloatArray
    thresholds: FloatArray


def out_of_fold(folds: Folds, fitted: Fitted, threshold: Callable[[FloatArray, IntArray], float]) -> OutOfFold:
    """Judge each coil of each repeat; a fold's threshold comes of its own training coils, which it learnt from."""
    scores, thresholds = np.empty(folds.fold.shape), np.empty(folds.fold.shape)
    for repeat in range(len(folds.fold)):
        for training, test in folds.parts(repeat):
            said = fitted(training, np.concatenate([training, test]), repeat)
            scores[repeat, test] = said[len(training) :]
            thresholds[repeat, test] = threshold(said[: len(training)], training)
    return OutOfFold(scores=scores, thresholds=thresholds)


def regression_on(found: FloatArray, is_nok: BoolArray) -> Fitted:
    """Logistic regression on numbers [N, D]."""

    def fitted(training: IntArray, asked: IntArray, _: int) -> FloatArray:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=_HAND_C, class_weight="balanced"))
        model.fit(found[training], is_nok[training])
        odds: FloatArray = model.decision_function(found[asked])
        return odds

    return fitted


def best_of(found: FloatArray, is_nok: BoolArray) -> Fitted:
    """The one number that tells the training coils best, whichever way."""

    def fitted(training: IntArray, asked: IntArray, _: int) -> FloatArray:
        told = np.array([roc_auc_score(is_nok[training], column) for column in found[training].T])
        best = int(np.abs(told - 0.5).argmax())
        sign = np.sign(told[best] - 0.5)
        mean, deviation = found[training, best].mean(), found[training, best].std()
        odds: FloatArray = sign * (found[asked, best] - mean) / deviation
        return odds

    return fitted


def head_on(of_real: Sequence[FloatArray], scale_by: Sequence[FloatArray], is_nok: BoolArray) -> Fitted:
    """Mean over networks of a logistic regression on frozen features, standardised on simulated coils."""

    def fitted(training: IntArray, asked: IntArray, _: int) -> FloatArray:
        odds = []
        for real, simulated in zip(of_real, scale_by, strict=True):
            standard = StandardScaler().fit(simulated).transform(real)
            model = LogisticRegression(C=_HEAD_C, class_weight="balanced", max_iter=1000)
            odds.append(model.fit(standard[training], is_nok[training]).decision_function(standard[asked]))
        mean: FloatArray = np.mean(odds, axis=0)
        return mean

    return fitted


def joint_head_on(
    of_real: Sequence[FloatArray], of_simulated: Sequence[FloatArray], soft: FloatArray, is_nok: BoolArray
) -> Fitted:
    """As `head_on`, but simulated coils teach too; the real ones have a quarter of the weight."""

    def fitted(training: IntArray, asked: IntArray, _: int) -> FloatArray:
        odds = []
        size = len(soft)
        weight_of_real = size * _REAL_SHARE / (1 - _REAL_SHARE) / len(training)
        balanced = np.concatenate([(1 - soft) * 0.5 / (1 - soft.mean()), soft * 0.5 / soft.mean()])
        weights = np.concatenate([balanced, np.full(len(training), weight_of_real)])
        labels = np.concatenate([np.zeros(size), np.ones(size), is_nok[training]])
        for real, simulated in zip(of_real, of_simulated, strict=True):
            scaler = StandardScaler().fit(simulated)
            known = scaler.transform(simulated)
            standard = scaler.transform(real)
            model = LogisticRegression(C=_HEAD_C, max_iter=500)
            model.fit(np.concatenate([known, known, standard[training]]), labels, sample_weight=weights)
            odds.append(model.decision_function(standard[asked]))
        mean: FloatArray = np.mean(odds, axis=0)
        return mean

    return fitted


def tuned(
    networks: Sequence[Callable[[], Network]],
    matrix: Float32Array,
    is_nok: BoolArray,
    *,
    only_last: bool,
    learning_rate: float,
) -> Fitted:
    """Mean over networks trained further on real coils, batch norm as it was; judged over mirrors and swap.

    Args:
        networks: each makes one anew.
        matrix: all real coils, float32 [N, 264, 18].
        is_nok: bool [N].
        only_last: the last two convolutions and the head alone learn.
        learning_rate: of Adam.
    """

    def fitted(training: IntArray, asked: IntArray, repeat: int) -> FloatArray:
        odds = []
        for number, make in enumerate(networks):
            network = make()
            _learn_on(
                network,
                _learners(network, only_last=only_last),
                matrix[training],
                is_nok[training],
                learning_rate=learning_rate,
                seed=1000 * repeat + number,
            )
            views = [log_odds(network, seen(matrix[asked], view)[:, None]) for view in SETS["mirrors and swap"]]
            odds.append(np.mean(views, axis=0))
        mean: FloatArray = np.mean(odds, axis=0)
        return mean

    return fitted


def stacked(zero_shot: FloatArray, hand: Fitted, is_nok: BoolArray) -> Fitted:
    """Logistic regression on zero-shot log-odds [N] and on what `hand` says of coils of its inner folds."""

    def fitted(training: IntArray, asked: IntArray, repeat: int) -> FloatArray:
        inner = np.empty(len(training))
        parts = StratifiedKFold(_INNER_FOLDS, shuffle=True, random_state=repeat)
        for learns, judged in parts.split(training, is_nok[training]):
            inner[judged] = hand(training[learns], training[judged], repeat)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=_HAND_C, class_weight="balanced"))
        model.fit(np.stack([zero_shot[training], inner], axis=1), is_nok[training])
        odds: FloatArray = model.decision_function(np.stack([zero_shot[asked], hand(training, asked, repeat)], axis=1))
        return odds

    return fitted


def features_over_views(network: Network, matrix: Float32Array) -> FloatArray:
    """Features [N, D], the mean over mirrors and swap."""
    of_views = [features(network, seen(matrix, view)[:, None]).numpy() for view in SETS["mirrors and swap"]]
    mean: FloatArray = np.mean(of_views, axis=0).astype(np.float64)
    return mean


def _learners(network: Network, *, only_last: bool) -> list[nn.Parameter]:
    if not only_last:
        return list(network.parameters())
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    return [p for part in (*convolutions[-2:], network.head) for p in part.parameters()]


def _learn_on(
    network: Network,
    learners: list[nn.Parameter],
    matrix: Float32Array,
    is_nok: BoolArray,
    *,
    learning_rate: float,
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(learners, lr=learning_rate)
    labels = torch.from_numpy(is_nok.astype(np.float32))
    how = Augmentation(mirror=0.5, noise=0.01, shift_rows=16, contrast=0.3, offset=0.03)
    network.eval()  # batch norm of 24 coils would be noise
    for _ in range(_PASSES):
        changed = augment(torch.from_numpy(matrix[:, None]), how, grey=True, generator=generator)
        optimiser.zero_grad()
        binary_cross_entropy_with_logits(network(changed), labels).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
