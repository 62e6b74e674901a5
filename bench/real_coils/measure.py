"""ROC-AUC and F1 over repeats of folds, with intervals over the coils."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.evaluation import RESAMPLES, interval, share, weighted_roc_auc
from schemas.coils import BoolArray, FloatArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A mean over repeats, its 95% interval over coils, and its draws, [2000]."""

    value: float
    low: float
    high: float
    draws: FloatArray

    def said(self) -> str:
        """As a table has it."""
        return f"{self.value:.3f} [{self.low:.2f}, {self.high:.2f}]"


def roc_auc(scores: FloatArray, is_nok: BoolArray) -> Figure:
    """Mean over repeats of the ROC-AUC of scores [R, N]."""
    return _figure(lambda weights: np.mean([weighted_roc_auc(weights, s, is_nok) for s in scores], axis=0), is_nok)


def f1(called_nok: BoolArray, is_nok: BoolArray) -> Figure:
    """Mean over repeats of the F1 of NOK, of verdicts [R, N]."""
    return _figure(lambda weights: np.mean([_f1(weights, called, is_nok) for called in called_nok], axis=0), is_nok)


def accuracy(called_nok: BoolArray, is_nok: BoolArray) -> float:
    """Mean over repeats."""
    return float((called_nok == is_nok).mean())


def difference(one: Figure, other: Figure) -> str:
    """How much more one is, with its interval by the same resamples."""
    bounds = interval(one.draws - other.draws) or (np.nan, np.nan)
    return f"{one.value - other.value:+.3f} [{bounds[0]:+.2f}, {bounds[1]:+.2f}]"


def _figure(of_weights: Callable[[FloatArray], FloatArray], is_nok: BoolArray) -> Figure:
    drawn = np.random.default_rng(0).integers(0, len(is_nok), size=(RESAMPLES, len(is_nok)))
    weights = np.stack([np.bincount(row, minlength=len(is_nok)) for row in drawn]).astype(np.float64)
    draws: FloatArray = of_weights(weights)
    low, high = interval(draws) or (np.nan, np.nan)
    value = float(of_weights(np.ones((1, len(is_nok))))[0])
    return Figure(value=value, low=low, high=high, draws=draws)


def _f1(weights: FloatArray, called: BoolArray, is_nok: BoolArray) -> FloatArray:
    hit, missed, false = (weights @ part for part in (called & is_nok, ~called & is_nok, called & ~is_nok))
    return share(2 * hit, 2 * hit + missed + false)
