"""Promises of the test that may be asked after every coil."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.anytime import EVERY, advance, begin, below, upper_limit
from schemas.coils import BoolArray, FloatArray

HORIZON = 600
ONES = np.ones(())
Outcomes = st.lists(st.booleans(), min_size=1, max_size=80).map(lambda x: np.array(x, dtype=bool))
Bounds = st.floats(0.05, 0.95)


def _evidence(right: BoolArray, *, bound: float, weight: FloatArray = ONES, horizon: int = HORIZON) -> FloatArray:
    return advance(begin(), right, weight, bound=bound, horizon=horizon)[1]


def _runs(mean: float, *, runs: int = 2000, coils: int = HORIZON, seed: int = 0) -> BoolArray:
    return np.random.default_rng(seed).random((runs, coils)) < mean


def _found(right: BoolArray, *, bound: float = 0.75, alpha: float = 0.2) -> tuple[float, float]:
    """Share of runs with a finding, and the mean of coils until it, the horizon where there is none."""
    crossed = _evidence(right, bound=bound) >= 1 / alpha
    any_crossed = crossed.any(axis=-1)
    return float(any_crossed.mean()), float(np.where(any_crossed, crossed.argmax(axis=-1) + 1, HORIZON).mean())


@pytest.mark.parametrize("alpha", [0.5, 0.2, 0.05])
@pytest.mark.parametrize("bound", [0.25, 0.75, 0.9])
def test_a_mean_at_its_bound_is_ever_found_below_it_with_a_chance_of_at_most_alpha(bound: float, alpha: float) -> None:
    share, _ = _found(_runs(bound), bound=bound, alpha=alpha)
    assert alpha / 4 < share <= alpha + 0.01  # not for want of power either


@pytest.mark.parametrize("bound", [0.25, 0.75])
def test_evidence_is_a_fair_game_at_the_bound(bound: float) -> None:
    every = (np.arange(2**10)[:, None] >> np.arange(10) & 1).astype(bool)
    chance = np.where(every, bound, 1 - bound).prod(axis=1)
    assert chance @ _evidence(every, bound=bound, horizon=HORIZON) == pytest.approx(np.ones(10))


def test_the_law_holds_for_outcomes_that_depend_on_those_before() -> None:
    rng, right = np.random.default_rng(1), np.ones((2000, HORIZON), dtype=bool)
    for i in range(1, HORIZON):
        chance = np.where(right[:, i - 1], 0.75, 0.9)  # never below the bound, given the past
        right[:, i] = rng.random(2000) < chance
    assert _found(right)[0] <= 0.2


def test_the_law_holds_for_outcomes_that_are_seen_by_chance() -> None:
    rng = np.random.default_rng(2)
    right = rng.random((2000, 6 * HORIZON)) < 0.6
    seen = right | (rng.random(right.shape) < 0.02)  # of those not right one in fifty
    first = np.argsort(~seen, axis=1, kind="stable")[:, :HORIZON]
    shown = np.take_along_axis(right, first, axis=1)
    assert np.take_along_axis(seen, first, axis=1).all()
    evidence = _evidence(shown, bound=0.6, weight=np.where(shown, 1.0, 50.0))
    assert 0.02 < (evidence >= 10).any(axis=1).mean() <= 0.1


def test_a_model_85_percent_right_is_left_alone_and_one_60_percent_right_is_caught() -> None:
    assert _found(_runs(0.85))[0] < 0.02
    share, coils = _found(_runs(0.6))
    assert share == 1
    assert coils < 60


def test_a_slip_after_many_good_coils_is_caught_within_the_horizon() -> None:
    right = np.concatenate([_runs(0.9, coils=300), _runs(0.6, coils=300, seed=1)], axis=1)
    share, coils = _found(right)
    assert share > 0.98
    assert coils < 300 + 110  # the mean of all coils is at the bound only after 600


@settings(deadline=None)
@given(Outcomes, st.data(), Bounds)
def test_evidence_is_the_same_one_by_one_and_all_at_once(right: BoolArray, data: st.DataObject, bound: float) -> None:
    cut = data.draw(st.integers(0, len(right)))
    whole, evidence = advance(begin(), right, ONES, bound=bound, horizon=30)
    process, first = advance(begin(), right[:cut], ONES, bound=bound, horizon=30)
    process, second = advance(process, right[cut:], ONES, bound=bound, horizon=30)
    assert np.array_equal(np.concatenate([first, second]), evidence)
    assert np.array_equal(process.capital, whole.capital)
    assert process.seen == whole.seen


@settings(deadline=None)
@given(Outcomes, st.data(), Bounds)
def test_evidence_never_falls_where_an_outcome_turns_wrong(right: BoolArray, data: st.DataObject, bound: float) -> None:
    worse = right.copy()
    worse[data.draw(st.integers(0, len(right) - 1))] = False
    assert np.all(_evidence(worse, bound=bound) >= _evidence(right, bound=bound) * (1 - 1e-12))


@settings(deadline=None)
@given(Outcomes, Bounds, Bounds)
def test_what_is_below_a_bound_is_below_a_higher_one(right: BoolArray, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert np.all(_evidence(right, bound=high) >= _evidence(right, bound=low) * (1 - 1e-12))


@settings(deadline=None)
@given(Outcomes, Bounds)
def test_an_outcome_of_no_weight_keeps_its_place_and_says_nothing(right: BoolArray, bound: float) -> None:
    weight = np.ones(len(right))
    weight[::3] = 0
    flipped = np.where(weight == 0, ~right, right)
    assert np.array_equal(_evidence(right, bound=bound, weight=weight), _evidence(flipped, bound=bound, weight=weight))


@settings(deadline=None, max_examples=50)
@given(Outcomes, st.sampled_from([0.3, 0.5, 0.75]), st.sampled_from([20, 60, 600]))
def test_a_finding_is_an_upper_limit_below_the_bound(right: BoolArray, bound: float, horizon: int) -> None:
    found = below(right, np.ones(len(right)), bound=bound, alpha=0.2, horizon=horizon)
    limit = upper_limit(right, np.ones(len(right)), alpha=0.2, horizon=horizon)
    assert (found is not None) == (limit <= bound)


def test_limits_hold_the_mean_at_all_times_and_close_in_on_it() -> None:
    ones, missed, widths = np.ones(HORIZON), 0, []
    for right in _runs(0.7, runs=60, seed=3):
        low = 1 - upper_limit(~right, ones, alpha=0.05, horizon=HORIZON)  # already the extreme over all times
        high = upper_limit(right, ones, alpha=0.05, horizon=HORIZON)
        missed += not low <= 0.7 <= high
        widths.append(high - low)
    assert missed <= 6  # 10% of 60
    assert np.mean(widths) < 0.16


def test_a_finding_names_its_coil_and_the_coils_that_made_it() -> None:
    right = np.concatenate([np.ones(200, dtype=bool), np.zeros(30, dtype=bool)])
    found = below(right, np.ones(230), bound=0.75, alpha=0.2, horizon=HORIZON)
    assert found is not None
    assert 200 < found.at < 215
    assert found.since == 200
    same = below(right[: found.at], np.ones(found.at), bound=0.75, alpha=0.2, horizon=HORIZON)
    assert same == found
    assert below(right[: found.at - 1], np.ones(found.at - 1), bound=0.75, alpha=0.2, horizon=HORIZON) is None


def test_a_finding_stands_for_one_horizon_and_all_begins_anew_after_each() -> None:
    right = np.concatenate([np.zeros(20, dtype=bool), np.ones(700, dtype=bool)])
    ones = np.ones(len(right))
    assert below(right[:80], ones[:80], bound=0.75, alpha=0.2, horizon=100) is not None
    assert below(right[:100], ones[:100], bound=0.75, alpha=0.2, horizon=100) is not None
    assert below(right, ones, bound=0.75, alpha=0.2, horizon=100) is None
    late = np.concatenate([right, np.zeros(20, dtype=bool)])
    found = below(late, np.ones(740), bound=0.75, alpha=0.2, horizon=100)
    assert found is not None
    assert 720 < found.at <= 740
    assert found.since in range(700, found.at)


def test_nothing_is_known_of_no_outcomes() -> None:
    none = np.empty(0)
    assert below(none.astype(bool), none, bound=0.75, alpha=0.2, horizon=HORIZON) is None
    assert upper_limit(none.astype(bool), none, alpha=0.2, horizon=HORIZON) == 1.0


def test_endless_wrong_outcomes_do_not_overflow() -> None:
    wrong = np.zeros(5 * HORIZON, dtype=bool)
    assert np.isfinite(_evidence(wrong, bound=0.9, weight=np.array(1000.0), horizon=10 * HORIZON)).all()
    assert _evidence(wrong, bound=0.9, horizon=EVERY // 2)[0] > 1


@pytest.mark.parametrize("bound", [0.0, 1.0, np.nan])
def test_a_bound_that_is_no_share_is_refused(bound: float) -> None:
    with pytest.raises(ValueError, match="expected above 0 and below 1"):
        _evidence(np.array([True]), bound=bound)


@pytest.mark.parametrize(("right", "weight"), [(True, 2.0), (True, -1.0), (False, -1.0), (False, np.nan)])
def test_a_weight_outside_its_range_is_refused(right: bool, weight: float) -> None:  # noqa: FBT001 - a case
    with pytest.raises(ValueError, match="weight is outside"):
        _evidence(np.array([right]), bound=0.5, weight=np.array([weight]))
    with pytest.raises(ValueError, match="horizon is 0"):
        _evidence(np.array([right]), bound=0.5, horizon=0)
