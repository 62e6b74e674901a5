"""Scores of a model: by hand where they can be reckoned, by law where they cannot."""

from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.share_intervals import weighted_share, wilson_interval
from processors.model_score import (
    JudgedCoils,
    calibration_error,
    cells_of,
    plain_rates,
    response,
    score,
    slices,
    weighted_rates,
)
from schemas.scores import ALL, UNKNOWN, Cells, Figure, Slice, Stratum

COILS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)


def bools(*values: int) -> np.ndarray:
    return np.array(values, dtype=bool)


def coils(
    *, is_nok: np.ndarray, called: np.ndarray, chance: np.ndarray | None = None, answered: np.ndarray | None = None
) -> JudgedCoils:
    size = len(is_nok)
    probability = np.ones(size) if chance is None else chance
    return JudgedCoils(
        answered=np.ones(size, dtype=bool) if answered is None else answered,
        is_nok=is_nok,
        called_nok=called,
        p_nok=np.where(called, 0.9, 0.1),
        undecided=np.zeros(size, dtype=bool),
        asked=np.ones(size, dtype=bool),
        probability=probability,
        strata=np.where(probability < 1, "drawn", "certain"),
    )


def test_plain_rates_are_shares_of_the_coils() -> None:
    rates = plain_rates(bools(1, 1, 1, 0, 0, 0, 0, 0), bools(1, 1, 0, 1, 0, 0, 0, 0))
    assert [rates.agreement.value, rates.recall.value, rates.false_alarms.value, rates.precision.value] == [
        pytest.approx(share) for share in (6 / 8, 2 / 3, 1 / 5, 2 / 3)
    ]
    assert (rates.recall.low, rates.recall.high) == wilson_interval(2, 3)


def test_wilsons_interval_is_the_one_of_his_paper() -> None:
    low, high = wilson_interval(81, 263)  # Newcombe (1998), table I, method 3
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson_interval(0, 10)[0] == 0
    assert wilson_interval(10, 10)[1] == 1


def test_what_was_never_seen_has_no_score() -> None:
    rates = plain_rates(bools(0, 0), bools(0, 0))
    assert rates.recall == rates.precision == UNKNOWN
    assert rates.false_alarms.value == 0
    nothing = score(coils(is_nok=bools(), called=bools()))
    assert nothing.evaluated == 0
    assert nothing.weighted is None
    assert nothing.rates.agreement == nothing.calibration_error == nothing.undecided == UNKNOWN


def test_a_coil_drawn_with_one_in_fifty_stands_for_fifty() -> None:
    is_nok = bools(1, 1, 1, 0)
    called = bools(1, 1, 0, 0)
    rates = weighted_rates(is_nok, called, np.array([1, 1, 0.02, 0.02]))
    assert cells_of(is_nok, called, np.array([1, 1, 50, 50])) == Cells(tp=2, fp=0, fn=50, tn=50)
    by_hand = 2 * (0.02 - 51 * 0.02**2 / 2 + 50 * 0.02**3 / 3)  # 2 (1 - u) (1 - 50 u) from 0 to 0.02
    assert rates.recall.value == pytest.approx(by_hand)
    assert rates.precision.value == 1


@given(st.integers(1, 30), st.integers(1, 7), st.floats(0.05, 1))
def test_the_mean_of_a_share_over_all_draws_is_the_share_of_the_population(caught: int, missed: int, p: float) -> None:
    mean = 0.0
    for drawn in range(missed + 1):
        chance = comb(missed, drawn) * p**drawn * (1 - p) ** (missed - drawn)
        mean += chance * weighted_share(np.ones(caught), np.full(drawn, 1 / p))
    truth = caught / (caught + missed)
    assert mean == pytest.approx(truth + (1 - truth) * (1 - p) ** (caught + missed), abs=1e-9)


@given(st.lists(st.tuples(st.booleans(), st.floats(0.001, 1)), min_size=1, max_size=60))
def test_shares_of_both_parts_add_up_to_one(drawn: list[tuple[bool, float]]) -> None:
    counts, chance = (np.array(column) for column in zip(*drawn, strict=True))
    part, rest = (1 / chance)[counts], (1 / chance)[~counts]
    assert weighted_share(part, rest) + weighted_share(rest, part) == pytest.approx(1, abs=1e-9)


def test_a_draw_without_a_missed_coil_does_not_prove_that_none_is_missed() -> None:
    is_nok, called = np.repeat([True, False], [20, 80]), np.repeat([True, False], [20, 80])
    chance = np.where(called, 1, 0.02)
    recall = weighted_rates(is_nok, called, chance).recall
    assert recall.value == 1
    assert recall.low is not None
    assert 0.08 < recall.low < 20 / (20 + 3.6 * 50)  # 3.7 may have been overlooked in the draw, of fifty each


@given(COILS)
def test_where_every_coil_was_asked_for_weighted_is_plain(drawn: list[tuple[bool, bool]]) -> None:
    is_nok, called = (np.array(column) for column in zip(*drawn, strict=True))
    assert weighted_rates(is_nok, called, np.ones(len(drawn))) == plain_rates(is_nok, called)


@given(COILS, st.floats(0.01, 1))
def test_one_probability_for_all_changes_no_rate(drawn: list[tuple[bool, bool]], chance: float) -> None:
    is_nok, called = (np.array(column) for column in zip(*drawn, strict=True))
    weighted, plain = weighted_rates(is_nok, called, np.full(len(drawn), chance)), plain_rates(is_nok, called)
    for name in ("agreement", "recall", "false_alarms", "precision"):
        ours, theirs = (getattr(rates, name) for rates in (weighted, plain))
        assert ours.value == (None if theirs.value is None else pytest.approx(theirs.value))
        assert ours.low == (None if theirs.low is None else pytest.approx(theirs.low, abs=1e-9))


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0.05, 1)), min_size=1, max_size=8))
def test_totals_are_those_of_the_population_in_the_mean_over_all_draws(drawn: list[tuple[bool, bool, float]]) -> None:
    is_nok, called, chance = (np.array(column) for column in zip(*drawn, strict=True))
    mean = np.zeros(4)
    for taken in product([True, False], repeat=len(drawn)):
        which = np.array(taken)
        likely = np.prod(np.where(which, chance, 1 - chance))
        mean += likely * np.array(cells_of(is_nok[which], called[which], 1 / chance[which]))
    np.testing.assert_allclose(mean, cells_of(is_nok, called, np.ones(len(drawn))), rtol=1e-9, atol=1e-9)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0.01, 1)), min_size=1, max_size=60))
def test_an_interval_holds_its_estimate_and_lies_in_0_to_1(drawn: list[tuple[bool, bool, float]]) -> None:
    is_nok, called, chance = (np.array(column) for column in zip(*drawn, strict=True))
    rates = weighted_rates(is_nok, called, chance)
    for figure in (rates.agreement, rates.recall, rates.false_alarms, rates.precision):
        if figure.value is None or figure.low is None or figure.high is None:
            assert figure == UNKNOWN
        else:
            assert -1e-12 <= figure.low <= figure.value + 1e-9
            assert figure.value - 1e-9 <= figure.high <= 1 + 1e-12


def test_weighted_intervals_hold_the_truth_of_a_line_that_looks_at_its_alarms_and_a_few_others() -> None:
    rng, held, runs = np.random.default_rng(5), {"recall": 0, "agreement": 0, "false_alarms": 0}, 300
    truth = {"recall": 0.6, "false_alarms": 0.05, "agreement": 0.01 * 0.6 + 0.99 * 0.95}
    for _ in range(runs):
        is_nok = rng.random(4000) < 0.01
        called = rng.random(4000) < np.where(is_nok, 0.6, 0.05)
        chance = np.where(called | (rng.random(4000) < 0.01), 1.0, 0.03)
        asked = rng.random(4000) < chance
        rates = weighted_rates(is_nok[asked], called[asked], chance[asked])
        for name in held:
            figure: Figure = getattr(rates, name)
            held[name] += figure.low is not None and figure.low <= truth[name] <= (figure.high or 0)
    assert min(held.values()) >= 0.93 * runs, held


def test_those_who_answered_stand_for_the_others_of_their_stratum() -> None:
    is_nok, called = bools(1, 1, 1, 1, 0, 0, 0, 0), bools(1, 1, 1, 1, 0, 0, 0, 0)
    chance = np.repeat([1, 0.5], 4)
    given_coils = coils(is_nok=is_nok, called=called, chance=chance, answered=bools(1, 1, 1, 1, 1, 0, 0, 0))
    assert response(given_coils) == (
        Stratum(name="certain", asked=4, answered=4),
        Stratum(name="drawn", asked=4, answered=1),
    )
    weighted = score(given_coils).weighted
    assert weighted is not None
    assert (weighted.coils, weighted.stand_for, weighted.represented) == (5, 12, 1)
    silent = score(coils(is_nok=is_nok, called=called, chance=chance, answered=bools(1, 1, 1, 1, 0, 0, 0, 0))).weighted
    assert silent is not None
    assert silent.represented == pytest.approx(4 / 12)


def test_coils_that_nobody_asked_for_count_in_the_plain_score_alone() -> None:
    volunteered = coils(is_nok=bools(1, 0), called=bools(0, 0), chance=np.array([np.nan, 1.0]))
    found = score(volunteered)
    assert found.cells == Cells(tp=0, fp=0, fn=1, tn=1)
    assert found.weighted is not None
    assert found.weighted.coils == 1


def test_the_calibration_error_is_the_gap_of_each_bin_by_its_coils() -> None:
    p_nok = np.repeat([0.1, 0.9], 10)
    is_nok = np.repeat([False, True, True, False], [8, 2, 6, 4])
    figure = calibration_error(p_nok, is_nok, np.ones(20))
    assert figure.value == pytest.approx((0.1 + 0.3) / 2)
    assert 0 <= (figure.low or 0.0) <= (figure.value or 0.0) <= (figure.high or 0.0)
    doubled = calibration_error(p_nok, is_nok, np.repeat([1.0, 3.0], 10))
    assert doubled.value == pytest.approx((0.1 + 3 * 0.3) / 4)


def test_every_value_of_a_group_is_a_slice_and_none_is_none() -> None:
    found = slices({"material": np.array(["DX51D+Z", "", "S250GD+Z", "DX51D+Z"])}, 4)
    assert {key: which.tolist() for key, which in found.items()} == {
        ALL: [True, True, True, True],
        Slice(kind="material", value="DX51D+Z"): [True, False, False, True],
        Slice(kind="material", value="S250GD+Z"): [False, False, True, False],
    }
