"""Promises of the statistics, held against scikit-learn, scipy, published values and laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from models.evaluation import evaluate
from models.statistics import (
    CLASS_METRICS,
    alarms_a_day,
    bootstrap_ci,
    calibration_error,
    class_statistic,
    corrected_t_test,
    difference_ci,
    mcnemar_test,
    paired_permutation_test,
    per_class_metrics,
    pr_curve,
    precision_at,
    roc_auc,
    roc_curve,
)
from schemas.coils import BoolArray, FloatArray

F1 = class_statistic("f1_nok")


def _coils(size: int, seed: int, *, right: float = 0.8, nok: float = 0.3) -> tuple[BoolArray, BoolArray]:
    """Labels, and what a model calls that is right in a share of coils."""
    rng = np.random.default_rng(seed)
    is_nok = rng.random(size) < nok
    return is_nok, np.where(rng.random(size) < right, is_nok, ~is_nok)


def _scores(size: int, seed: int) -> tuple[FloatArray, BoolArray]:
    rng = np.random.default_rng(seed)
    p_nok = rng.random(size)
    return p_nok, rng.random(size) < p_nok


@pytest.mark.parametrize("seed", range(4))
def test_metrics_per_class_are_those_of_scikit_learn(seed: int) -> None:
    is_nok, called = _coils(120, seed)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(is_nok, called)
    expected = {
        "precision_ok": precision[0],
        "recall_ok": recall[0],
        "f1_ok": f1[0],
        "precision_nok": precision[1],
        "recall_nok": recall[1],
        "f1_nok": f1[1],
        "macro_f1": metrics.f1_score(is_nok, called, average="macro"),
        "accuracy": metrics.accuracy_score(is_nok, called),
        "mcc": metrics.matthews_corrcoef(is_nok, called),
    }
    assert per_class_metrics(is_nok, called) == pytest.approx(expected)


def test_a_metric_that_is_undefined_is_none() -> None:
    none_called = per_class_metrics(np.array([True, False]), np.array([False, False]))
    assert {name for name, value in none_called.items() if value is None} == {"precision_nok", "mcc"}
    nobody = np.empty(0, dtype=bool)
    assert set(per_class_metrics(nobody, nobody).values()) == {None}
    assert set(bootstrap_ci(nobody, nobody).values()) == {None}


def test_intervals_agree_with_the_bootstrap_over_coils() -> None:
    is_nok, called = _coils(400, 0)
    got = bootstrap_ci(is_nok, called)
    over_coils = evaluate(p_nok=called.astype(float), is_nok=is_nok, predicted_nok=called).ci95
    names = {"accuracy": "accuracy", "precision_nok": "precision", "recall_nok": "recall", "f1_nok": "f1", "mcc": "mcc"}
    for ours, theirs in names.items():
        assert got[ours] == pytest.approx(over_coils[theirs], abs=0.012)
    assert set(got) == set(CLASS_METRICS)


def test_the_interval_of_a_difference_is_paired() -> None:
    is_nok, a = _coils(1000, 0)
    b = a.copy()
    b[np.flatnonzero(a == is_nok)[:20]] ^= True  # wrong where a was right, 20 times
    bounds = difference_ci("accuracy", a, b, is_nok)
    error = 1.96 * np.sqrt(0.02 * 0.98 / 1000)
    assert bounds == pytest.approx((0.02 - error, 0.02 + error), abs=0.002)
    assert difference_ci("f1_nok", a, a, is_nok) == (0.0, 0.0)


@pytest.mark.parametrize("metric", CLASS_METRICS)
def test_a_model_does_not_differ_from_itself(metric: str) -> None:
    is_nok, called = _coils(80, 1)
    tested = paired_permutation_test(class_statistic(metric), called, called, is_nok, resamples=200)
    assert (tested.difference, tested.p_value) == (0.0, 1.0)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from(CLASS_METRICS))
def test_the_permutation_test_is_symmetric_in_the_models(seed: int, metric: str) -> None:
    is_nok, a = _coils(60, seed)
    _, b = _coils(60, seed + 1, right=0.7)
    first, second = (
        paired_permutation_test(class_statistic(metric), *pair, is_nok, resamples=300, seed=5)
        for pair in ((a, b), (b, a))
    )
    assert first.p_value == second.p_value
    assert first.difference == -second.difference


def test_the_permutation_test_of_accuracy_is_mcnemars() -> None:
    is_nok, a = _coils(300, 2)
    rng = np.random.default_rng(3)
    b = np.where(rng.random(300) < 0.15, ~a, a)
    exact = mcnemar_test(a, b, is_nok)
    drawn = paired_permutation_test(class_statistic("accuracy"), a, b, is_nok, seed=1)
    assert drawn.p_value == pytest.approx(exact.p_value, abs=0.015)
    assert drawn.difference == pytest.approx(exact.difference)


def test_the_permutation_test_agrees_with_scipys() -> None:
    is_nok, a = _coils(200, 4)
    b = np.where(np.random.default_rng(6).random(200) < 0.2, ~a, a)

    def difference(x: BoolArray, y: BoolArray) -> float:
        return float(metrics.f1_score(is_nok, x) - metrics.f1_score(is_nok, y))

    theirs = stats.permutation_test(
        (a, b), difference, permutation_type="samples", n_resamples=400, rng=np.random.default_rng(0)
    )
    ours = paired_permutation_test(F1, a, b, is_nok, resamples=4000)
    assert ours.difference == pytest.approx(theirs.statistic)
    assert ours.p_value == pytest.approx(theirs.pvalue, abs=0.08)


def test_p_values_are_uniform_where_neither_model_is_better() -> None:
    found = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        is_nok = rng.random(250) < 0.3
        a, b = (np.where(rng.random(250) < 0.75, is_nok, ~is_nok) for _ in range(2))
        found.append(paired_permutation_test(F1, a, b, is_nok, resamples=199, seed=seed).p_value)
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=0.03)


def test_a_p_value_is_never_zero() -> None:
    is_nok, _ = _coils(200, 0)
    tested = paired_permutation_test(F1, is_nok, ~is_nok, is_nok, resamples=999)
    assert tested.p_value == 1 / 1000


def test_probabilities_are_compared_by_roc_auc() -> None:
    p_nok, is_nok = _scores(400, 0)
    worse = 0.3 * p_nok + 0.7 * np.random.default_rng(1).random(400)
    tested = paired_permutation_test(roc_auc, p_nok, worse, is_nok, resamples=500)
    expected = metrics.roc_auc_score(is_nok, p_nok) - metrics.roc_auc_score(is_nok, worse)
    assert tested.difference == pytest.approx(expected)
    assert tested.p_value < 0.01


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of precision_ok"):
        class_statistic("f2")


def test_the_corrected_t_test_widens_the_plain_one_by_the_overlap() -> None:
    differences = np.array([0.02, 0.05, 0.01, 0.04, 0.03, 0.06, -0.01, 0.02, 0.03, 0.05])
    plain = stats.ttest_1samp(differences, 0)
    t = plain.statistic / np.sqrt(1 + 10 * 900 / 3600)  # (1/J + 1/4) over 1/J
    got = corrected_t_test(differences, train_n=3600, test_n=900)
    assert got is not None
    assert got.p_value == pytest.approx(2 * stats.t.sf(t, 9))
    assert got.difference == pytest.approx(0.03)
    mirrored = corrected_t_test(-differences, train_n=3600, test_n=900)
    assert mirrored is not None
    assert (mirrored.difference, mirrored.p_value) == (-got.difference, got.p_value)


def test_splits_that_all_differ_by_the_same_prove_nothing() -> None:
    none = corrected_t_test(np.zeros(5), train_n=8, test_n=2)
    assert none is not None
    assert (none.difference, none.p_value) == (0.0, 1.0)
    for splits in (2, 5):
        assert corrected_t_test(np.full(splits, 0.1), train_n=8, test_n=2) is None
    with pytest.raises(ValueError, match="1 splits cannot be tested"):
        corrected_t_test(np.zeros(1), train_n=8, test_n=2)


def test_mcnemars_test_is_the_binomial_of_the_coils_only_one_has_right() -> None:
    is_nok = np.zeros(30, dtype=bool)
    a, b = np.arange(30) < 2, (np.arange(30) >= 2) & (np.arange(30) < 14)  # false alarms: 2 and 12 others
    tested = mcnemar_test(a, b, is_nok)
    assert tested.p_value == pytest.approx(0.012939453125)  # 2 * P(Binomial(14, 1/2) <= 2)
    assert tested.difference == pytest.approx(10 / 30)
    assert mcnemar_test(a, a, is_nok).p_value == 1


def test_the_study_has_9_5_percent_precision_at_one_percent_nok() -> None:
    assert precision_at(0.70, 0.067, 0.01) == pytest.approx(0.095, abs=0.0005)
    assert precision_at(0, 0, 0.01) is None
    assert alarms_a_day(0.70, 0.067, 0.01, coils_a_day=100) == pytest.approx(0.7 + 6.633)


def test_curves_end_where_all_and_none_are_called() -> None:
    p_nok, is_nok = _scores(300, 0)
    false_alarms, recall = roc_curve(p_nok, is_nok)
    assert metrics.auc(false_alarms, recall) == pytest.approx(roc_auc(p_nok[None], is_nok)[0])
    recall, precision = pr_curve(p_nok, is_nok, prevalence=0.01)
    assert (recall[0], recall[-1]) == (0, 1)
    assert precision[-1] == pytest.approx(0.01)
    at = np.flatnonzero(recall >= 0.5)[0]
    called = p_nok >= np.sort(p_nok[is_nok])[::-1][round(recall[at] * is_nok.sum()) - 1]
    expected = precision_at(float(recall[at]), float(called[~is_nok].mean()), 0.01)
    assert precision[at] == pytest.approx(expected)


def test_the_calibration_error_is_the_gap_of_each_bin_by_its_coils() -> None:
    p_nok = np.repeat([0.1, 0.4, 0.7, 0.9], 50)
    is_nok = np.concatenate([np.arange(50) < n for n in (5, 30, 35, 40)])  # 0.1, 0.6, 0.7, 0.8
    assert calibration_error(p_nok, is_nok, bins=4).error == pytest.approx((0 + 0.2 + 0 + 0.1) / 4)


def test_overconfidence_is_seen_and_calibration_is_not_denied() -> None:
    p_nok, is_nok = _scores(2000, 1)
    calibrated = calibration_error(p_nok, is_nok)
    assert calibrated.ci95[0] < 0.01 < calibrated.error < 0.04
    odds = 4 * np.log(p_nok / (1 - p_nok))
    overconfident = calibration_error(1 / (1 + np.exp(-odds)), is_nok)
    assert overconfident.ci95[0] > 0.1
    assert overconfident.ci95[0] < overconfident.error < overconfident.ci95[1]


def test_one_score_for_all_is_one_bin() -> None:
    is_nok = np.arange(10) < 3
    assert calibration_error(np.full(10, 0.5), is_nok).error == pytest.approx(0.2)
