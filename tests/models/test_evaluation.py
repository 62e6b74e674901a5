"""Promises of the evaluation, held against scikit-learn."""

import json

import numpy as np
import pytest
from sklearn import metrics

from models.evaluation import METRICS, evaluate
from models.thresholds import f1_threshold
from schemas.coils import BoolArray, FloatArray


def _coils(n: int, seed: int, *, ties: bool = False) -> tuple[FloatArray, BoolArray]:
    rng = np.random.default_rng(seed)
    is_nok = rng.random(n) < 0.3
    p_nok = (0.25 * is_nok + 0.75 * rng.random(n)).clip(0, 1)
    return (np.round(p_nok, 1) if ties else p_nok), is_nok


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_metrics_are_those_of_scikit_learn(seed: int, ties: bool) -> None:  # noqa: FBT001 - a test case
    p_nok, is_nok = _coils(200, seed, ties=ties)
    predicted = p_nok >= 0.5
    got = evaluate(p_nok=p_nok, is_nok=is_nok, predicted_nok=predicted).metrics
    expected = {
        "accuracy": metrics.accuracy_score(is_nok, predicted),
        "precision": metrics.precision_score(is_nok, predicted),
        "recall": metrics.recall_score(is_nok, predicted),
        "f1": metrics.f1_score(is_nok, predicted),
        "roc_auc": metrics.roc_auc_score(is_nok, p_nok),
        "mcc": metrics.matthews_corrcoef(is_nok, predicted),
    }
    assert got == pytest.approx(expected)


def test_confusion_counts_are_those_of_scikit_learn() -> None:
    p_nok, is_nok = _coils(150, 3)
    predicted = p_nok >= 0.6
    tn, fp, fn, tp = metrics.confusion_matrix(is_nok, predicted).ravel().tolist()
    result = evaluate(p_nok=p_nok, is_nok=is_nok, predicted_nok=predicted, undecided=4)
    assert result.confusion == {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
    assert result.undecided == 4


def test_prevalence_weights_the_classes_as_scikit_learns_sample_weights_do() -> None:
    p_nok, is_nok = _coils(300, 1)
    predicted = p_nok >= 0.5
    weight = np.where(is_nok, 0.01 / is_nok.sum(), 0.99 / (~is_nok).sum())
    got = evaluate(p_nok=p_nok, is_nok=is_nok, predicted_nok=predicted, prevalence=0.01).metrics
    assert got["precision"] == pytest.approx(metrics.precision_score(is_nok, predicted, sample_weight=weight))
    assert got["accuracy"] == pytest.approx(metrics.accuracy_score(is_nok, predicted, sample_weight=weight))
    assert got["mcc"] == pytest.approx(metrics.matthews_corrcoef(is_nok, predicted, sample_weight=weight))
    assert got["f1"] == pytest.approx(metrics.f1_score(is_nok, predicted, sample_weight=weight))
    assert got["recall"] == pytest.approx(metrics.recall_score(is_nok, predicted))


def test_the_study_at_one_percent_nok_has_9_5_percent_precision() -> None:
    is_nok = np.repeat([True, False], 1000)
    predicted = np.concatenate([np.arange(1000) < 700, np.arange(1000) < 67])
    result = evaluate(p_nok=predicted.astype(float), is_nok=is_nok, predicted_nok=predicted, prevalence=0.01)
    assert result.metrics["precision"] == pytest.approx(0.0955, abs=0.0005)


def test_intervals_hold_the_metric_and_shrink_with_more_coils() -> None:
    widths = []
    for n in (100, 2000):
        p_nok, is_nok = _coils(n, 0)
        result = evaluate(p_nok=p_nok, is_nok=is_nok, predicted_nok=p_nok >= 0.5)
        for name in METRICS:
            bounds, value = result.ci95[name], result.metrics[name]
            assert bounds is not None
            assert value is not None
            assert bounds[0] <= value <= bounds[1]
        accuracy = result.ci95["accuracy"]
        assert accuracy is not None
        widths.append(accuracy[1] - accuracy[0])
    assert widths[1] < widths[0] / 3


def test_an_interval_covers_the_binomial_one() -> None:
    is_nok = np.zeros(400, dtype=bool)
    predicted = np.arange(400) < 40
    result = evaluate(p_nok=np.zeros(400), is_nok=is_nok, predicted_nok=predicted)
    assert result.ci95["accuracy"] == pytest.approx((0.9 - 1.96 * 0.015, 0.9 + 1.96 * 0.015), abs=0.004)


def test_the_same_coils_give_the_same_intervals() -> None:
    p_nok, is_nok = _coils(80, 7)
    first, second = (evaluate(p_nok=p_nok, is_nok=is_nok, predicted_nok=p_nok >= 0.5) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("is_nok", "undefined"),
    [
        ([False] * 6, {"roc_auc", "mcc", "recall"}),
        ([True] * 6, {"roc_auc", "mcc"}),
        ([], set(METRICS)),
    ],
)
def test_an_undefined_metric_is_null_and_never_nan(is_nok: list[bool], undefined: set[str]) -> None:
    size = len(is_nok)
    p_nok = np.linspace(0, 1, size)
    result = evaluate(p_nok=p_nok, is_nok=np.array(is_nok, dtype=bool), predicted_nok=p_nok > 0.5).as_json()
    assert {name for name in METRICS if result[name] is None} == undefined
    assert {name for name in METRICS if result["ci95"][name] is None} == undefined
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_threshold_is_where_f1_is_about_largest(seed: int, ties: bool) -> None:  # noqa: FBT001 - a test case
    p_nok, is_nok = _coils(400, seed, ties=ties)
    precision, recall, _ = metrics.precision_recall_curve(is_nok, p_nok)
    best = (2 * precision * recall / np.maximum(precision + recall, 1e-9)).max()
    assert metrics.f1_score(is_nok, p_nok >= f1_threshold(p_nok, is_nok)) > best - 0.02
