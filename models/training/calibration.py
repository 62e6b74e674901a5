"""Weights of the two labels, and the temperature that turns log-odds into probabilities."""

import numpy as np

from models.objectives_spec import ClassWeights
from models.spec import TrainSpec
from schemas.coils import BoolArray, FloatArray

_HOTTEST = 8.0  # largest temperature tried


def class_weights(spec: TrainSpec, is_nok: BoolArray) -> ClassWeights:
    """Weights of the two labels in the loss; `balanced` gives both labels the same total weight."""
    if isinstance(spec.class_weight, ClassWeights):
        return spec.class_weight
    share = float(is_nok.mean())
    return ClassWeights(ok=0.5 / (1 - share), nok=0.5 / share)


def cross_entropy(odds: FloatArray, is_nok: BoolArray, weights: ClassWeights) -> float:
    """Class-weighted mean cross-entropy of log-odds float64 [N]."""
    weight = np.where(is_nok, weights.nok, weights.ok)
    return float(np.average(np.logaddexp(0.0, np.where(is_nok, -odds, odds)), weights=weight))


def temperature(odds: FloatArray, is_nok: BoolArray, weights: ClassWeights) -> float:
    """The temperature of least class-weighted cross-entropy (Guo et al. 2017), by search over a grid.

    Args:
        odds: log-odds of validation coils, float64 [N].
        is_nok: bool [N], both labels.
        weights: of the two labels.
    """
    grid = np.exp(np.linspace(-np.log(_HOTTEST), np.log(_HOTTEST), 201))
    return float(min(grid, key=lambda t: cross_entropy(odds / t, is_nok, weights)))
