"""Promises of the ways to combine members."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from models.combine import MEAN, Rule, among, combine, log_odds
from models.combine_fit import choose_top_k, fit_stacking, fit_weighted
from schemas.coils import BoolArray, FloatArray

CONFIDENCES = Rule(how="confidence_sum")
RULES = [
    MEAN,
    CONFIDENCES,
    Rule(how="weighted", weights=(0.7, 0.0, 0.3)),
    Rule(how="stacking", weights=(0.5, 2.0, 0.0), intercept=-1.0),
    Rule(how="union", thresholds=(0.0, 0.6, 1.0)),
]
probabilities = st.lists(st.floats(0, 1), min_size=3, max_size=3)


def _members(size: int = 1500, seed: int = 0) -> tuple[FloatArray, BoolArray]:
    """A good member, one that errs on other coils, noise, and a copy of the first with a little noise."""
    rng = np.random.default_rng(seed)
    is_nok = rng.random(size) < 0.3
    sign = np.where(is_nok, 1.0, -1.0)
    good = 1.5 * sign + rng.normal(0, 1.5, size)
    odds = np.stack(
        [good, 1.3 * sign + rng.normal(0, 1.5, size), rng.normal(0, 1, size), good + rng.normal(0, 0.1, size)], axis=1
    )
    return 1 / (1 + np.exp(-odds)), is_nok


def _loss(p_nok: FloatArray, is_nok: BoolArray) -> float:
    right = np.log(np.where(is_nok, p_nok, 1 - p_nok))
    return float(-(right[is_nok].mean() + right[~is_nok].mean()) / 2)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.how)
@settings(deadline=None, max_examples=60)
@given(low=probabilities, rise=probabilities)
def test_a_member_that_rises_never_lowers_the_ensemble(rule: Rule, low: list[float], rise: list[float]) -> None:
    higher = np.minimum(np.array(low) + rise, 1)
    before, after = combine(np.array([low, higher]), rule)
    assert 0 <= before <= after + 1e-12 <= 1 + 1e-12


@settings(deadline=None, max_examples=300)
@given(probabilities, probabilities)
def test_a_union_at_one_half_calls_nok_what_any_member_calls(p_nok: list[float], thresholds: list[float]) -> None:
    (combined,) = combine(np.array([p_nok]), Rule(how="union", thresholds=tuple(thresholds)))
    assert (combined >= 0.5) == any(p >= t for p, t in zip(p_nok, thresholds, strict=True))


def test_a_member_just_below_its_threshold_is_not_over_it() -> None:
    thresholds = np.random.default_rng(0).random(5000)
    for t in (*thresholds, 1.0, 5e-324, 1e-300):
        p_nok = np.array([[np.nextafter(t, 0)], [t]])
        below, at = combine(p_nok, Rule(how="union", thresholds=(float(t),)))
        assert below < 0.5 <= at


def test_the_confidence_sum_decides_as_the_pilots_code_does() -> None:
    p_nok = np.random.default_rng(0).random((500, 3))
    expected = []
    for row in p_nok:  # the pilot's code, as FACTS section 4 tells it
        sums = {"OK": 0.0, "NOK": 0.0}
        for p in row:
            sums["NOK" if p > 0.5 else "OK"] += abs((1 - p) - p)
        expected.append(sums["NOK"] > sums["OK"])
    np.testing.assert_array_equal(combine(p_nok, CONFIDENCES) >= 0.5, expected)


def test_a_tie_of_confidences_is_ok() -> None:
    assert (combine(np.array([[0.25, 0.75], [0.5, 0.5]]), CONFIDENCES) < 0.5).all()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.how)
def test_where_every_member_takes_the_batch_the_rule_is_its_own(rule: Rule) -> None:
    assert among(rule, [0, 1, 2]) is rule


def test_weights_are_shared_out_again_among_those_that_are_left() -> None:
    weighted, _, stacking, union = RULES[2], RULES[1], RULES[3], RULES[4]
    assert among(weighted, [1, 2]).weights == (0.0, 1.0)
    assert among(Rule(how="weighted", weights=(0.5, 0.3, 0.2)), [0, 2]).weights == pytest.approx((5 / 7, 2 / 7))
    assert among(weighted, [1]) == MEAN
    assert among(stacking, [0, 1]) == MEAN
    assert among(union, [1]).thresholds == (0.6,)
    assert among(MEAN, [1]) == MEAN


def test_weights_beat_every_member_and_the_mean_where_they_were_fitted() -> None:
    p_nok, is_nok = _members()
    rule = fit_weighted(p_nok, is_nok)
    assert sum(rule.weights) == pytest.approx(1)
    assert min(rule.weights) >= 0
    fitted = _loss(combine(p_nok, rule), is_nok)
    for other in (p_nok.mean(axis=1), *p_nok.T):
        assert fitted <= _loss(other, is_nok) + 1e-6
    nudged = np.array(rule.weights) + 0.02 * (np.eye(4)[0] - np.eye(4)[1])
    assert fitted <= _loss(p_nok @ nudged, is_nok)


def test_noise_gets_no_weight() -> None:
    rng = np.random.default_rng(1)
    is_nok = rng.random(800) < 0.5
    p_nok = np.stack([np.where(is_nok, 0.9, 0.1), rng.random(800)], axis=1)
    assert fit_weighted(p_nok, is_nok).weights == pytest.approx((1.0, 0.0), abs=1e-4)


def test_stacking_is_scikit_learns_logistic_regression_where_no_coefficient_would_be_negative() -> None:
    p_nok, is_nok = _members()
    p_nok = p_nok[:, :2]
    theirs = LogisticRegression(class_weight="balanced", C=1e6, max_iter=1000).fit(log_odds(p_nok), is_nok)
    rule = fit_stacking(p_nok, is_nok)
    assert rule.weights == pytest.approx(theirs.coef_[0], abs=0.01)
    assert rule.intercept == pytest.approx(theirs.intercept_[0], abs=0.01)
    np.testing.assert_allclose(combine(p_nok, rule), theirs.predict_proba(log_odds(p_nok))[:, 1], atol=0.005)


def test_stacking_has_no_negative_coefficient_and_is_finite_where_labels_fall_apart() -> None:
    p_nok, is_nok = _members()
    assert min(fit_stacking(p_nok, is_nok).weights) >= 0
    apart = np.stack([np.where(is_nok, 0.999, 0.001), np.where(is_nok, 1.0, 0.0)], axis=1)
    rule = fit_stacking(apart, is_nok)
    assert max(rule.weights) < 50
    np.testing.assert_array_equal(combine(apart, rule) >= 0.5, is_nok)


def test_stacking_is_found_where_the_search_gives_up_at_the_last_digits() -> None:
    is_nok = np.arange(150) < 45
    odds = np.random.default_rng(133).normal(0, 50, (150, 2))  # L-BFGS-B ends there with ABNORMAL
    p_nok = 1 / (1 + np.exp(-odds))
    rule = fit_stacking(p_nok, is_nok)
    fitted = _loss(combine(p_nok, rule).clip(1e-6, 1 - 1e-6), is_nok)
    assert fitted <= _loss(p_nok.mean(axis=1).clip(1e-6, 1 - 1e-6), is_nok)
    assert min(rule.weights) >= 0


def test_the_first_choice_is_the_best_alone_and_the_second_is_not_its_copy() -> None:
    p_nok, is_nok = _members()
    by_name = dict(zip(("good", "other", "noise", "copy"), p_nok.T, strict=True))
    first, second = choose_top_k(by_name, is_nok, 2)
    assert first == min(by_name, key=lambda name: _loss(by_name[name], is_nok))
    assert second == "other"
    assert set(choose_top_k(by_name, is_nok, 4)) == set(by_name)


@pytest.mark.parametrize("k", [0, 3])
def test_more_members_than_there_are_or_none_are_refused(k: int) -> None:
    p_nok, is_nok = _members(50)
    with pytest.raises(ValueError, match=f"{k} members are wanted of 2"):
        choose_top_k({"a": p_nok[:, 0], "b": p_nok[:, 1]}, is_nok, k)
