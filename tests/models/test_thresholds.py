"""Promises of the thresholds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from models.objectives_spec import Threshold
from models.thresholds import (
    chosen_threshold,
    cost_threshold,
    f1_threshold,
    false_alarm_threshold,
    most_alarms,
    profile_threshold,
)
from schemas.coils import BoolArray, FloatArray
from schemas.errors import SourceError, SpecError
from schemas.settings import ToleranceProfile

BOUNDS = (0.02, 0.05, 0.1, 0.3, 0.6)
COSTS = (0.5, 2.0, 9.0, 40.0, 300.0)
PROFILES = {"default": ToleranceProfile(), "strict": ToleranceProfile(threshold=0.15)}


@st.composite
def coils(draw: st.DrawFn) -> tuple[FloatArray, BoolArray]:
    """Scores below 1, often equal, of 150 to 400 coils of both labels."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size, digits = draw(st.integers(150, 400)), draw(st.sampled_from([1, 2, 17]))
    is_nok = rng.random(size) < draw(st.sampled_from([0.02, 0.3, 0.5]))
    is_nok[:2] = True, False
    return np.round((0.4 * is_nok + 0.6 * rng.random(size)) * 0.94, digits), is_nok


def _alarms(p_nok: FloatArray, is_nok: BoolArray, threshold: float) -> float:
    return float((p_nok[~is_nok] >= threshold).mean())


@pytest.mark.parametrize("ok_coils", [30, 59, 100, 600, 3000])
@pytest.mark.parametrize("bound", BOUNDS)
def test_allowed_alarms_are_the_most_whose_clopper_pearson_bound_is_within(ok_coils: int, bound: float) -> None:
    upper = beta.ppf(0.95, np.arange(ok_coils) + 1, ok_coils - np.arange(ok_coils))
    within = np.flatnonzero(upper <= bound)
    assert most_alarms(ok_coils, bound) == (within[-1] if len(within) else None)


@settings(deadline=None, max_examples=60)
@given(coils(), st.sampled_from(BOUNDS[1:]))
def test_false_alarms_never_exceed_the_bound_on_the_sample(sample: tuple[FloatArray, BoolArray], bound: float) -> None:
    if most_alarms(int((~sample[1]).sum()), bound) is not None:
        assert _alarms(*sample, false_alarm_threshold(*sample, most_false_alarms=bound)) <= bound


@settings(deadline=None, max_examples=60)
@given(coils())
def test_no_lower_threshold_between_scores_keeps_to_the_allowed_alarms(sample: tuple[FloatArray, BoolArray]) -> None:
    p_nok, is_nok = sample
    threshold = false_alarm_threshold(p_nok, is_nok, most_false_alarms=0.1)
    allowed = most_alarms(int((~is_nok).sum()), 0.1)
    assert allowed is not None
    below = p_nok[p_nok < threshold].max()
    assert (p_nok[~is_nok] >= threshold).sum() <= allowed < (p_nok[~is_nok] >= below).sum()


@settings(deadline=None, max_examples=30)
@given(coils())
def test_a_wider_bound_never_raises_the_threshold(sample: tuple[FloatArray, BoolArray]) -> None:
    bounds = [b for b in BOUNDS if most_alarms(int((~sample[1]).sum()), b) is not None]
    found = [false_alarm_threshold(*sample, most_false_alarms=bound) for bound in bounds]
    assert found == sorted(found, reverse=True)


@settings(deadline=None, max_examples=30)
@given(coils())
def test_a_dearer_miss_never_raises_the_threshold(sample: tuple[FloatArray, BoolArray]) -> None:
    found = [cost_threshold(*sample, cost_missed=cost, prevalence=0.03) for cost in COSTS]
    assert found == sorted(found, reverse=True)


@settings(deadline=None, max_examples=30)
@given(coils())
def test_a_rising_change_of_the_scores_calls_the_same_coils(sample: tuple[FloatArray, BoolArray]) -> None:
    p_nok, is_nok = sample
    changed = p_nok**2 / 2
    for bound in BOUNDS[2:]:
        first = p_nok >= false_alarm_threshold(p_nok, is_nok, most_false_alarms=bound)
        second = changed >= false_alarm_threshold(changed, is_nok, most_false_alarms=bound)
        np.testing.assert_array_equal(first, second)


def test_the_bound_holds_on_new_coils_in_about_95_of_100_draws() -> None:
    rng = np.random.default_rng(4)
    kept = 0
    for _ in range(400):
        p_nok = rng.random(300)
        kept += 1 - false_alarm_threshold(p_nok, np.zeros(300, dtype=bool), most_false_alarms=0.05) <= 0.05
    assert 0.925 <= kept / 400 <= 0.995


def test_too_few_ok_coils_for_a_bound_are_refused_with_how_many_it_takes() -> None:
    p_nok = np.linspace(0, 0.9, 58)
    with pytest.raises(SourceError, match="58 OK coils cannot show") as caught:
        false_alarm_threshold(p_nok, np.zeros(58, dtype=bool), most_false_alarms=0.05)
    assert "at least 59 OK coils" in caught.value.remedy
    assert false_alarm_threshold(np.append(p_nok, 0.95), np.zeros(59, dtype=bool), most_false_alarms=0.05) > 0.95


def test_scores_that_all_are_one_are_refused() -> None:
    with pytest.raises(SourceError, match="have the largest score"):
        false_alarm_threshold(np.ones(100), np.zeros(100, dtype=bool), most_false_alarms=0.05)


def test_equal_scores_are_called_all_or_none() -> None:
    p_nok = np.repeat([0.2, 0.8, 0.9], [80, 15, 5])
    is_nok = np.repeat([False, True], [95, 5])
    threshold = false_alarm_threshold(p_nok, is_nok, most_false_alarms=0.15)
    assert (p_nok >= threshold).sum() == 5


def test_neighbouring_floats_are_told_apart() -> None:
    low = 0.5
    p_nok = np.repeat([low, np.nextafter(low, 1)], 100)
    is_nok = np.repeat([False, True], 100)
    for threshold in (
        f1_threshold(p_nok, is_nok),
        false_alarm_threshold(p_nok, is_nok, most_false_alarms=0.05),
        cost_threshold(p_nok, is_nok, cost_missed=100, prevalence=0.5),
    ):
        np.testing.assert_array_equal(p_nok >= threshold, is_nok)


def test_calibrated_scores_are_cut_where_costs_balance() -> None:
    rng = np.random.default_rng(0)
    p_nok = rng.random(40_000)
    is_nok = rng.random(40_000) < p_nok
    # at the sample's own prevalence, NOK pays from p × cost = 1 - p on (Elkan 2001)
    assert cost_threshold(p_nok, is_nok, cost_missed=4, prevalence=0.5) == pytest.approx(0.2, abs=0.03)


def test_where_a_miss_costs_next_to_nothing_no_coil_is_called_nok() -> None:
    rng = np.random.default_rng(1)
    p_nok, is_nok = rng.random(300) * 0.9, rng.random(300) < 0.5
    is_nok[p_nok > 0.8] = False
    assert cost_threshold(p_nok, is_nok, cost_missed=1e-6, prevalence=0.01) > p_nok.max()
    p_nok[0] = 1.0
    assert cost_threshold(p_nok, is_nok, cost_missed=1e-6, prevalence=0.01) <= 1


def test_a_profiles_own_threshold_is_taken_else_that_of_f1() -> None:
    rng = np.random.default_rng(2)
    p_nok, is_nok = rng.random(100), rng.random(100) < 0.3
    assert profile_threshold(PROFILES["strict"], p_nok, is_nok) == 0.15
    assert profile_threshold(PROFILES["default"], p_nok, is_nok) == f1_threshold(p_nok, is_nok)


def test_a_specification_chooses_the_rule() -> None:
    rng = np.random.default_rng(3)
    p_nok, is_nok = rng.random(200), rng.random(200) < 0.3

    def chosen(rule: Threshold) -> float:
        return chosen_threshold(rule, p_nok, is_nok, profiles=PROFILES)

    assert chosen(Threshold()) == f1_threshold(p_nok, is_nok)
    bound = false_alarm_threshold(p_nok, is_nok, most_false_alarms=0.1)
    assert chosen(Threshold(rule="false_alarms", most_false_alarms=0.1)) == bound
    assert chosen(Threshold(rule="costs")) == cost_threshold(p_nok, is_nok, cost_missed=20, prevalence=0.01)
    assert chosen(Threshold(rule="profile", profile="strict")) == 0.15
    with pytest.raises(
        SpecError, match=r"key threshold\.profile: 'gold' is not in the settings, known: default, strict"
    ):
        chosen(Threshold(rule="profile", profile="gold"))


def _f1(p_nok: FloatArray, is_nok: BoolArray, threshold: float, prevalence: float) -> float:
    recall, alarms = ((p_nok[of] >= threshold).mean() for of in (is_nok, ~is_nok))
    return float(2 * prevalence * recall / (prevalence * (1 + recall) + (1 - prevalence) * alarms))


def test_f1_at_the_lines_prevalence_is_largest_there() -> None:
    rng = np.random.default_rng(5)
    is_nok = rng.random(4000) < 0.4
    p_nok = 1 / (1 + np.exp(-rng.normal(2.0 * is_nok, 1.0)))
    grid = np.linspace(0.05, 0.999, 400)
    for prevalence in (0.4, 0.1, 0.02):
        best = max(_f1(p_nok, is_nok, at, prevalence) for at in grid)
        found = f1_threshold(p_nok, is_nok, prevalence=prevalence)
        assert _f1(p_nok, is_nok, found, prevalence) > 0.97 * best
    assert f1_threshold(p_nok, is_nok, prevalence=0.02) > f1_threshold(p_nok, is_nok) + 0.05


def test_the_coils_own_prevalence_changes_nothing() -> None:
    rng = np.random.default_rng(6)
    is_nok = np.arange(256) < 64  # a share that floats hold exactly
    p_nok = 1 / (1 + np.exp(-rng.normal(2.0 * is_nok, 1.0)))
    assert f1_threshold(p_nok, is_nok, prevalence=0.25) == f1_threshold(p_nok, is_nok)
    own = cost_threshold(p_nok, is_nok, cost_missed=5, prevalence=None)
    assert own == cost_threshold(p_nok, is_nok, cost_missed=5, prevalence=0.25)


def test_a_specification_chooses_the_prevalence() -> None:
    rng = np.random.default_rng(3)
    p_nok, is_nok = rng.random(200), rng.random(200) < 0.3
    found = chosen_threshold(Threshold(prevalence=0.01), p_nok, is_nok, profiles={})
    assert found == f1_threshold(p_nok, is_nok, prevalence=0.01)
    found = chosen_threshold(Threshold(rule="costs", prevalence=None), p_nok, is_nok, profiles={})
    assert found == cost_threshold(p_nok, is_nok, cost_missed=20, prevalence=float(is_nok.mean()))


@pytest.mark.parametrize("rule", ["f1", "costs", "profile"])
@pytest.mark.parametrize("label", [False, True])
def test_coils_of_one_label_cannot_say_where_the_other_begins(rule: str, label: bool) -> None:  # noqa: FBT001
    p_nok, is_nok = np.linspace(0, 1, 80), np.full(80, label)
    asked = Threshold.model_validate({"rule": rule})
    with pytest.raises(SourceError, match=f"no validation coil is {'OK' if label else 'NOK'}") as caught:
        chosen_threshold(asked, p_nok, is_nok, profiles=PROFILES)
    assert "false_alarms" in caught.value.remedy
    strict = Threshold(rule="profile", profile="strict")
    assert chosen_threshold(strict, p_nok, is_nok, profiles=PROFILES) == 0.15
