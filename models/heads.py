"""A new linear head on features at hand: logistic regression, calibrated, for a graph that is otherwise kept."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_class_weight
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from models.objectives_spec import ClassWeights
from schemas.coils import BoolArray, Float32Array, FloatArray

_STRENGTHS = tuple(np.logspace(-5, 0, 6))  # of scikit-learn's C, weak to strong fit; one fit starts from the last
_MOST_STEPS = 300
_HOTTEST = 8.0  # largest temperature tried, as in full training


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """Log-odds of NOK are `features @ weight + bias`, float64, calibrated: their sigmoid is the probability."""

    weight: FloatArray  # [D]
    bias: float
    strength: float  # C of the logistic regression that was taken


def fit_head(
    training: Float32Array,
    is_nok: BoolArray,
    copies: Float32Array,
    validation: Float32Array,
    validation_is_nok: BoolArray,
    *,
    class_weight: Literal["balanced"] | ClassWeights,
) -> Head:
    """Fit a head; the same features give the same head on the same machine, nothing is drawn.

    The strength of the L2 penalty and the temperature (Guo et al. 2017) are those of least class-weighted
    cross-entropy on the validation coils, the same loss that stops full training.

    Args:
        training: float32 [N, D], none changed.
        is_nok: bool [N], both labels.
        copies: float32 [C, D], changed copies of the NOK coils; with them those weigh in all what they do alone.
        validation: float32 [M, D], of other coils, none changed.
        validation_is_nok: bool [M], both labels.
        class_weight: of the two labels in the loss; `balanced` gives both the same total weight.
    """
    given = {False: class_weight.ok, True: class_weight.nok} if isinstance(class_weight, ClassWeights) else "balanced"
    ok, nok = compute_class_weight(given, classes=np.array([False, True]), y=is_nok)
    weights = np.where(validation_is_nok, nok, ok)  # of coils as they come, whatever copies there are
    own_share = is_nok.sum() / (is_nok.sum() + len(copies))
    training, is_nok = (
        np.concatenate([training, copies]),
        np.concatenate([is_nok, np.ones(len(copies), dtype=np.bool_)]),
    )
    mean, deviation = training.mean(axis=0, dtype=np.float64), training.std(axis=0, dtype=np.float64)
    deviation[deviation == 0] = 1.0
    standard = (training - mean) / deviation
    standard_validation = (validation - mean) / deviation
    learnt_weights = {False: ok, True: nok * own_share}
    model = LogisticRegression(class_weight=learnt_weights, warm_start=True, max_iter=_MOST_STEPS, tol=1e-4)
    best = np.inf
    kept = (np.zeros(training.shape[1]), 0.0, _STRENGTHS[0])
    for strength in _STRENGTHS:
        with threadpool_limits(limits=1):  # products so small that threads only wait for each other, spinning
            model.set_params(C=strength).fit(standard, is_nok)
        odds = model.decision_function(standard_validation)
        loss = _loss(odds, validation_is_nok, weights)
        if loss < best:
            best, kept = loss, (model.coef_[0].copy(), float(model.intercept_[0]), float(strength))
    slope, intercept, strength = kept
    odds = standard_validation @ slope + intercept
    cooling = minimize_scalar(
        lambda log_t: _loss(odds / np.exp(log_t), validation_is_nok, weights),
        bounds=(-np.log(_HOTTEST), np.log(_HOTTEST)),
        method="bounded",
    )
    temperature = float(np.exp(cooling.x))
    weight = slope / deviation
    return Head(
        weight=weight / temperature,
        bias=float(intercept - mean @ weight) / temperature,
        strength=strength,
    )


def head_log_odds(head: Head, found: Float32Array) -> FloatArray:
    """Calibrated log-odds of NOK, float64 [N], of features float32 [N, D]."""
    odds: FloatArray = found.astype(np.float64) @ head.weight + head.bias
    return odds


def _loss(odds: FloatArray, is_nok: BoolArray, weights: FloatArray) -> float:
    return float(np.average(np.logaddexp(0.0, np.where(is_nok, -odds, odds)), weights=weights))
