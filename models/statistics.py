"""The statistics of a comparison: figures per class, paired tests, calibration, and what they mean on the line.

Of the training side: it needs scipy and scikit-learn. The positive class is NOK.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats
from sklearn import metrics

from models.evaluation import RESAMPLES, interval, share
from schemas.coils import BoolArray, FloatArray

Outcomes = npt.NDArray[np.bool_] | FloatArray
Statistic = Callable[[Outcomes, BoolArray], FloatArray]
"""From outcomes [R, N] of R models on N coils, and `is_nok` [N], to one figure a model, [R]."""

CLASS_METRICS = (
    "precision_ok",
    "recall_ok",
    "f1_ok",
    "precision_nok",
    "recall_nok",
    "f1_nok",
    "macro_f1",
    "accuracy",
    "mcc",
)
_CELLS_AT_ONCE = 4_000_000  # outcomes held in memory at once
_ROUNDING = 1e-12  # differences that are equal but for rounding


@dataclass(frozen=True, kw_only=True, slots=True)
class Tested:
    """A paired test of two models: the difference it looked at, a minus b, and its two-sided p-value."""

    difference: float
    p_value: float


def per_class_metrics(is_nok: BoolArray, predicted_nok: BoolArray) -> Mapping[str, float | None]:
    """The study's figures of verdicts, by the names of `CLASS_METRICS`; None where one is undefined.

    Args:
        is_nok: bool [N], the expert's label.
        predicted_nok: bool [N].

    Example:
        >>> figures = per_class_metrics(np.array([True, True, False, False]), np.array([True, False, False, False]))
        >>> figures["precision_nok"], figures["recall_nok"], figures["recall_ok"]
        (1.0, 0.5, 1.0)
    """
    found = figures(_cells(predicted_nok[None], is_nok))
    return {name: None if np.isnan(value[0]) else float(value[0]) for name, value in found.items()}


def bootstrap_ci(
    is_nok: BoolArray, predicted_nok: BoolArray, *, seed: int = 0
) -> Mapping[str, tuple[float, float] | None]:
    """95% percentile intervals of `per_class_metrics`, of a bootstrap over coils (Efron and Tibshirani 1993).

    To draw N coils with replacement is to draw the four cells of the confusion matrix from their multinomial, so
    any number of coils takes the same time. None where a figure is undefined on the coils themselves.
    """
    cells = _cells(predicted_nok[None], is_nok)[0]
    if not cells.sum():
        return dict.fromkeys(CLASS_METRICS)
    drawn = np.random.default_rng(seed).multinomial(int(cells.sum()), cells / cells.sum(), size=RESAMPLES)
    point, draws = figures(cells[None]), figures(drawn.astype(np.float64))
    return {name: None if np.isnan(point[name][0]) else interval(draws[name]) for name in CLASS_METRICS}


def difference_ci(
    metric: str, a: BoolArray, b: BoolArray, is_nok: BoolArray, *, seed: int = 0
) -> tuple[float, float] | None:
    """95% percentile interval of a metric of a minus that of b, both judged on the same resampled coils.

    Args:
        metric: one of `CLASS_METRICS`; None is returned where it is undefined in every resample.
        a: bool [N], called NOK by the first model.
        b: bool [N], by the second.
        is_nok: bool [N].
        seed: of the resamples.
    """
    kinds = np.bincount(4 * is_nok + 2 * a + b, minlength=8)
    drawn = np.random.default_rng(seed).multinomial(len(is_nok), kinds / len(is_nok), size=RESAMPLES)
    label, by_a, by_b = (np.arange(8) >> shift & 1 == 1 for shift in (2, 1, 0))

    def figure(called: BoolArray) -> FloatArray:
        cells = [drawn[:, (label == x) & (called == y)].sum(axis=1) for x, y in _TP_FP_FN_TN]
        return figures(np.stack(cells, axis=1).astype(np.float64))[metric]

    return interval(figure(by_a) - figure(by_b))


def class_statistic(metric: str) -> Statistic:
    """A metric of `CLASS_METRICS` as a statistic of called coils [R, N]; zero where it is undefined."""
    if metric not in CLASS_METRICS:
        raise ValueError(f"metric is {metric}, expected one of {', '.join(CLASS_METRICS)}")

    def statistic(called_nok: Outcomes, is_nok: BoolArray) -> FloatArray:
        return np.nan_to_num(figures(_cells(called_nok, is_nok))[metric])

    return statistic


def roc_auc(p_nok: Outcomes, is_nok: BoolArray) -> FloatArray:
    """ROC-AUC [R] of scores [R, N] as a statistic: from the ranks of NOK coils (Mann and Whitney 1947)."""
    nok = int(is_nok.sum())
    ranks = stats.rankdata(p_nok, axis=1)[:, is_nok].sum(axis=1)
    area: FloatArray = (ranks - nok * (nok + 1) / 2) / (nok * (len(is_nok) - nok))
    return area


def paired_permutation_test(
    statistic: Statistic, a: Outcomes, b: Outcomes, is_nok: BoolArray, *, resamples: int = 10_000, seed: int = 0
) -> Tested:
    """Whether two models differ on the same coils: their outcomes are swapped coil by coil at random (Good 2005).

    If neither were better, each coil's two outcomes could as well have come from the other model. The p-value is
    (1 + how many swaps differ at least as much) / (1 + resamples), never zero (Phipson and Smyth 2010).

    Args:
        statistic: such as `class_statistic("f1_nok")` of called coils, or `roc_auc` of probabilities.
        a: outcomes [N] of the first model: bool called NOK, or float probabilities.
        b: of the second, of the same type.
        is_nok: bool [N].
        resamples: swaps to draw.
        seed: of the swaps; the same seed gives the same p-value, whichever model comes first.
    """
    observed = _difference(statistic, a[None], b[None], is_nok)[0]
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS_AT_ONCE // max(len(is_nok), 1))
    as_far = 0
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        swap = rng.integers(0, 2, size=(rows, len(is_nok)), dtype=np.uint8).astype(np.bool_)
        drawn = _difference(statistic, np.where(swap, b, a), np.where(swap, a, b), is_nok)
        as_far += int(np.count_nonzero(np.abs(drawn) >= abs(observed) - _ROUNDING))
    return Tested(difference=float(observed), p_value=(1 + as_far) / (1 + resamples))


def corrected_t_test(differences: FloatArray, *, train_n: int, test_n: int) -> Tested | None:
    """Two-sided t-test of repeated, overlapping train-test splits (Nadeau and Bengio 2003).

    The variance of the mean is (1 / J + test_n / train_n) × the sample variance, since training sets overlap: the
    plain t-test of J splits finds differences where there are none.

    Args:
        differences: float64 [J], of the two models' figure in each split, J at least 2.
        train_n: coils trained on in each split.
        test_n: coils judged in each split.

    Returns:
        None where all splits differ by the same, other than zero: figures of few coils do so by chance, and no
        variance can be told from that.
    """
    splits = len(differences)
    if splits < 2:
        raise ValueError(f"{splits} splits cannot be tested, give at least 2")
    mean = float(np.mean(differences))
    error = float(np.sqrt((1 / splits + test_n / train_n) * np.var(differences, ddof=1)))
    if error <= _ROUNDING * abs(mean):
        return Tested(difference=mean, p_value=1.0) if mean == 0 else None
    return Tested(difference=mean, p_value=float(2 * stats.t.sf(abs(mean) / error, df=splits - 1)))


def mcnemar_test(a: BoolArray, b: BoolArray, is_nok: BoolArray) -> Tested:
    """McNemar's exact test (1947) whether two models are right equally often; the difference is in accuracy.

    Args:
        a: bool [N], called NOK by the first model.
        b: bool [N], by the second.
        is_nok: bool [N].
    """
    only_a, only_b = int(((a == is_nok) & (b != is_nok)).sum()), int(((a != is_nok) & (b == is_nok)).sum())
    p_value = float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return Tested(difference=(only_a - only_b) / len(is_nok), p_value=p_value)


def roc_curve(p_nok: FloatArray, is_nok: BoolArray) -> tuple[FloatArray, FloatArray]:
    """False-alarm rate and recall, [T] each, over falling thresholds."""
    false_alarms, recall, _ = metrics.roc_curve(is_nok, p_nok)
    return false_alarms, recall


def pr_curve(p_nok: FloatArray, is_nok: BoolArray, *, prevalence: float | None = None) -> tuple[FloatArray, FloatArray]:
    """Recall and precision, [T] each, over falling thresholds; precision at the line's share of NOK where given."""
    nok = float(is_nok.mean()) if prevalence is None else prevalence
    weight = np.where(is_nok, nok / is_nok.sum(), (1 - nok) / (~is_nok).sum())
    precision, recall, _ = metrics.precision_recall_curve(is_nok, p_nok, sample_weight=weight)
    return recall[::-1], precision[::-1]


def precision_at(recall: float, false_alarms: float, prevalence: float) -> float | None:
    """Share of alarms that are NOK coils, by Bayes' rule; None where nothing is called NOK.

    Example:
        >>> round(precision_at(0.70, 0.067, 0.01), 3)
        0.095
    """
    alarms = alarms_a_day(recall, false_alarms, prevalence, coils_a_day=1)
    return prevalence * recall / alarms if alarms else None


def alarms_a_day(recall: float, false_alarms: float, prevalence: float, coils_a_day: float) -> float:
    """Coils called NOK on a day of the line, the right ones and the false ones; all but the last are shares."""
    return coils_a_day * (prevalence * recall + (1 - prevalence) * false_alarms)


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Expected calibration error with its 95% interval, in [0, 1]."""

    error: float
    ci95: tuple[float, float]


def calibration_error(p_nok: FloatArray, is_nok: BoolArray, *, bins: int = 10, seed: int = 0) -> Calibration:
    """Mean distance between `p_nok` and the share of NOK coils, in bins of equal mass (Nixon et al. 2019).

    Equal scores share a bin. The error is never negative, so it is above zero for calibrated models too, and a
    resample's lies higher still: the interval is the basic one (Davison and Hinkley 1997, 5.2), which mirrors the
    resamples about the estimate and so takes that bias off once.

    Args:
        p_nok: float64 [N] in [0, 1], N at least 1.
        is_nok: bool [N].
        bins: of about N / bins coils each.
        seed: of the bootstrap.
    """
    size = len(p_nok)
    inner = np.unique(np.quantile(p_nok, np.arange(1, bins) / bins))
    one_hot = np.eye(len(inner) + 1)[np.searchsorted(inner, p_nok, side="right")]
    gaps = one_hot * (p_nok - is_nok)[:, None]
    error = float(np.abs(gaps.sum(axis=0)).sum() / size)
    rng, step = np.random.default_rng(seed), max(1, _CELLS_AT_ONCE // size)
    draws = []
    for start in range(0, RESAMPLES, step):
        weights = rng.multinomial(size, np.full(size, 1 / size), size=min(step, RESAMPLES - start))
        draws.append(np.abs(weights @ gaps).sum(axis=1) / size)
    low, high = interval(np.concatenate(draws)) or (error, error)
    return Calibration(error=error, ci95=(max(0.0, 2 * error - high), max(0.0, 2 * error - low)))


_TP_FP_FN_TN = ((True, True), (False, True), (True, False), (False, False))  # label NOK, called NOK


def _difference(statistic: Statistic, a: Outcomes, b: Outcomes, is_nok: BoolArray) -> FloatArray:
    return statistic(a, is_nok) - statistic(b, is_nok)


def _cells(called_nok: Outcomes, is_nok: BoolArray) -> FloatArray:
    """Confusion counts tp, fp, fn, tn of called coils [R, N]: float64 [R, 4]."""
    called = called_nok.astype(np.float32) @ np.stack([is_nok, ~is_nok], axis=1).astype(np.float32)  # exact to 2^24
    missed = np.array([is_nok.sum(), (~is_nok).sum()]) - called
    return np.concatenate([called, missed], axis=1).astype(np.float64)


def figures(cells: FloatArray) -> dict[str, FloatArray]:
    """`CLASS_METRICS` of confusion counts [R, 4], float64 [R] each, NaN where undefined."""
    tp, fp, fn, tn = cells.T
    f1_ok, f1_nok = share(2 * tn, 2 * tn + fp + fn), share(2 * tp, 2 * tp + fp + fn)
    return {
        "precision_ok": share(tn, tn + fn),
        "recall_ok": share(tn, tn + fp),
        "f1_ok": f1_ok,
        "precision_nok": share(tp, tp + fp),
        "recall_nok": share(tp, tp + fn),
        "f1_nok": f1_nok,
        "macro_f1": (f1_ok + f1_nok) / 2,
        "accuracy": share(tp + tn, cells.sum(axis=1)),
        "mcc": share(tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))),
    }
