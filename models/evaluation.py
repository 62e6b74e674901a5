"""How good a set of verdicts was: metrics with bootstrap confidence intervals; the positive class is NOK."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas.coils import BoolArray, FloatArray

RESAMPLES = 2000
CONFIDENCE = 0.95
METRICS = ("accuracy", "precision", "recall", "f1", "roc_auc", "mcc")
_CELLS_AT_ONCE = 4_000_000  # bootstrap weights held in memory at once


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """Metrics of N labelled coils; None where a metric is undefined (one class only, nothing called NOK)."""

    n: int
    metrics: Mapping[str, float | None]
    confusion: Mapping[str, int]  # tp, fp, fn, tn; positive NOK
    undecided: int
    ci95: Mapping[str, tuple[float, float] | None]
    prevalence: float | None  # NOK share the metrics are weighted to; None: that of the coils

    def as_json(self) -> dict[str, Any]:
        """The object that `coilflow evaluate --json` prints."""
        return {
            "n": self.n,
            **self.metrics,
            "confusion": dict(self.confusion),
            "undecided": self.undecided,
            "ci95": {name: list(bounds) if bounds else None for name, bounds in self.ci95.items()},
            **({"prevalence": self.prevalence} if self.prevalence is not None else {}),
        }


def evaluate(
    *,
    p_nok: FloatArray,
    is_nok: BoolArray,
    predicted_nok: BoolArray,
    undecided: int = 0,
    prevalence: float | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measure verdicts against labels.

    The confidence intervals are percentiles of a bootstrap over coils (Efron and Tibshirani 1993, chapter
    13); resamples in which a metric is undefined are left out of its interval. With `prevalence`, accuracy,
    precision, F1 and MCC are those of a line with that share of NOK: recall and false-alarm rate are kept
    and combined by Bayes' rule; the confusion counts stay those of the coils.

    Args:
        p_nok: float64 [N] in [0, 1].
        is_nok: bool [N], the expert's label.
        predicted_nok: bool [N]; an undecided coil counts by its `p_nok`.
        undecided: how many of the N were undecided.
        prevalence: share of NOK on the line, in (0, 1).
        seed: of the bootstrap; the same input and seed give the same intervals.
    """
    plain = np.ones((1, len(p_nok)))
    point = _metrics(plain, p_nok, is_nok, predicted_nok, prevalence)
    values = {name: _number(point[name][0]) for name in METRICS}
    draws = _resample(p_nok, is_nok, predicted_nok, prevalence, np.random.default_rng(seed))
    return Evaluation(
        n=len(p_nok),
        metrics=values,
        confusion={
            "tp": int(np.sum(is_nok & predicted_nok)),
            "fp": int(np.sum(~is_nok & predicted_nok)),
            "fn": int(np.sum(is_nok & ~predicted_nok)),
            "tn": int(np.sum(~is_nok & ~predicted_nok)),
        },
        undecided=undecided,
        ci95={name: interval(draws[name]) if values[name] is not None else None for name in METRICS},
        prevalence=prevalence,
    )


def _resample(
    p_nok: FloatArray, is_nok: BoolArray, predicted: BoolArray, prevalence: float | None, rng: np.random.Generator
) -> dict[str, FloatArray]:
    size = len(p_nok)
    if size == 0:
        return {name: np.empty(0) for name in METRICS}
    step = max(1, min(RESAMPLES, _CELLS_AT_ONCE // size))
    parts = []
    for start in range(0, RESAMPLES, step):
        rows = min(step, RESAMPLES - start)
        drawn = rng.integers(0, size, size=(rows, size)) + np.arange(rows)[:, None] * size
        weights = np.bincount(drawn.reshape(-1), minlength=rows * size).reshape(rows, size).astype(np.float64)
        parts.append(_metrics(weights, p_nok, is_nok, predicted, prevalence))
    return {name: np.concatenate([part[name] for part in parts]) for name in METRICS}


def _metrics(
    weights: FloatArray, p_nok: FloatArray, is_nok: BoolArray, predicted: BoolArray, prevalence: float | None
) -> dict[str, FloatArray]:
    """Metrics of R weightings of N coils, float64 [R] each, NaN where undefined; `weights` [R, N]."""
    tp, fp = weights @ (is_nok & predicted), weights @ (~is_nok & predicted)
    fn, tn = weights @ (is_nok & ~predicted), weights @ (~is_nok & ~predicted)
    if prevalence is not None:
        nok, ok = tp + fn, fp + tn
        tp, fn = share(tp, nok) * prevalence, share(fn, nok) * prevalence
        fp, tn = share(fp, ok) * (1 - prevalence), share(tn, ok) * (1 - prevalence)
    return {
        "accuracy": share(tp + tn, tp + fp + fn + tn),
        "precision": share(tp, tp + fp),
        "recall": share(tp, tp + fn),
        "f1": share(2 * tp, 2 * tp + fp + fn),
        "roc_auc": weighted_roc_auc(weights, p_nok, is_nok),
        "mcc": share(tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))),
    }


def weighted_roc_auc(weights: FloatArray, p_nok: FloatArray, is_nok: BoolArray) -> FloatArray:
    """Probability that a NOK coil scores above an OK one, ties counting half (Hanley and McNeil 1982)."""
    if len(p_nok) == 0:
        return np.full(len(weights), np.nan)
    order = np.argsort(p_nok, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(p_nok[order]) > 0]))
    sorted_weights, nok_in_order = weights[:, order], is_nok[order]
    nok = np.add.reduceat(sorted_weights * nok_in_order, starts, axis=1)
    ok = np.add.reduceat(sorted_weights * ~nok_in_order, starts, axis=1)
    ok_below = np.cumsum(ok, axis=1) - ok
    return share((nok * (ok_below + ok / 2)).sum(axis=1), nok.sum(axis=1) * ok.sum(axis=1))


def share(part: FloatArray, whole: FloatArray) -> FloatArray:
    """One part of each whole, NaN where the whole is nothing."""
    shares: FloatArray = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
    return shares


def interval(draws: FloatArray) -> tuple[float, float] | None:
    """The middle 95% of bootstrap draws of a metric; None where it is undefined (NaN) in all of them."""
    defined = draws[~np.isnan(draws)]
    if len(defined) == 0:
        return None
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
