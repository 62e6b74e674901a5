"""Promises of what a successor has to pass."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from models.weighted_pairs import Pairs, compare
from scheduler.evidence import Outcomes
from scheduler.gates import InShadow, holdout_gate, shadow_gate, watch_gate
from schemas.loop_settings import PolicySettings, PromotionSettings, RetrainSettings
from schemas.settings import Settings

POLICY, PROMOTION = PolicySettings(), PromotionSettings(shadow_coils=50, margin=0.02)
LENIENT = PROMOTION.model_copy(update={"in_shadow": "no_worse"})
SEEN = InShadow(coils=60, differ=6, alarms_alone=3, compared=None, refused=None)


def compared(**changes: Any) -> dict[str, Any]:
    figures = {"f1": 0.5, "recall": 0.5, "false_alarms": 0.1, "agreement": 0.8}
    return {
        "coils": 80,
        "nok": 20,
        "drawn": 30,
        "champion": figures,
        "successor": figures | {"f1": 0.8},
        "difference": 0.3,
        "ci95": (0.1, 0.5),
        "p_value": 0.004,
        **changes,
    }


def settings(**changes: Any) -> Settings:
    return Settings(retrain=RetrainSettings(least_holdout_nok=10), promotion=PromotionSettings(margin=0.02), **changes)


@pytest.mark.parametrize(
    ("changes", "way", "code"),
    [
        ({}, "pass", "better"),
        ({"nok": 9}, "wait", "few_nok"),
        ({"difference": 0.0}, "reject", "not_better"),
        ({"difference": 0.01}, "reject", "not_better"),
        ({"drawn": 0}, "wait", "no_draws"),
        ({"p_value": 0.2}, "wait", "may_be_chance"),
    ],
)
def test_only_a_difference_that_is_proved_passes_the_holdout(changes: dict[str, Any], way: str, code: str) -> None:
    gate = holdout_gate(compared(**changes), settings())
    assert gate.way == way
    assert gate.why[0].startswith(f"{code}: ")


def test_where_labels_come_regardless_of_verdicts_no_draw_is_needed() -> None:
    regardless = settings(policy=PolicySettings(feedback="regardless"))
    assert holdout_gate(compared(drawn=0), regardless).way == "pass"
    assert holdout_gate(None, settings()).way == "wait"


@pytest.mark.parametrize(
    ("changes", "way", "code"),
    [
        ({}, "pass", "no_worse"),
        ({"coils": 49}, "wait", "few_coils"),
        ({"alarms_alone": 13}, "wait", "many_alarms"),
        ({"refused": "worker a: too slow"}, "reject", "refused"),
        ({"compared": compared(difference=-0.2, p_value=0.2)}, "pass", "no_worse"),
        ({"compared": compared(difference=-0.2, p_value=0.01)}, "reject", "worse_in_shadow"),
        ({"compared": compared()}, "pass", "better"),
    ],
)
def test_a_shadow_may_take_over_where_it_is_no_worse(changes: dict[str, Any], way: str, code: str) -> None:
    gate = shadow_gate(replace(SEEN, **changes), Settings(promotion=LENIENT))
    assert gate.way == way
    assert gate.why[0].startswith(f"{code}: ")


@pytest.mark.parametrize(
    ("changes", "way", "code"),
    [
        ({"compared": compared()}, "pass", "better"),
        ({"compared": None}, "wait", "not_better_yet"),
        ({"compared": compared(difference=0.01)}, "wait", "not_better_yet"),
        ({"compared": compared(p_value=0.06)}, "wait", "not_better_yet"),
        ({"compared": compared(p_value=0.06), "days": 30.0}, "reject", "not_better"),
        ({"compared": compared(), "coils": 49}, "wait", "few_coils"),
    ],
)
def test_a_shadow_has_to_prove_better_by_a_margin_and_no_chance(changes: dict[str, Any], way: str, code: str) -> None:
    gate = shadow_gate(replace(SEEN, **changes), Settings(promotion=PROMOTION))
    assert gate.way == way
    assert gate.why[0].startswith(f"{code}: ")


def outcomes(right: np.ndarray, *, is_nok: np.ndarray) -> Outcomes:
    """Every coil has its label and was drawn with certainty."""
    size = len(right)
    return Outcomes(
        called_nok=np.where(right, is_nok, ~is_nok),
        is_nok=is_nok,
        labelled_at=np.arange(size, dtype=np.float64),
        review_probability=np.ones(size),
    )


def test_a_new_champion_that_does_worse_is_found_and_one_that_does_as_well_is_not() -> None:
    rng = np.random.default_rng(3)
    is_nok = rng.random(200) < 0.2
    good = outcomes(rng.random(200) < 0.9, is_nok=is_nok)
    again = outcomes(rng.random(200) < 0.9, is_nok=is_nok)
    bad = outcomes(rng.random(200) < 0.6, is_nok=is_nok)
    assert watch_gate(again, good, POLICY, PROMOTION).way == "pass"
    gate = watch_gate(bad, good, POLICY, PROMOTION)
    assert gate.way == "reject"
    assert gate.why[0].startswith("worse_than_before: agreement below")


def test_a_new_champion_as_good_as_the_old_one_is_seldom_rolled_back() -> None:
    rng, back = np.random.default_rng(5), 0
    for _ in range(200):
        is_nok = rng.random(120) < 0.2
        before, after = (outcomes(rng.random(120) < 0.8, is_nok=is_nok) for _ in range(2))
        back += watch_gate(after, before, POLICY, PROMOTION).way == "reject"
    assert back / 200 <= PROMOTION.alpha


def test_what_has_no_label_yet_is_not_held_against_a_new_champion() -> None:
    is_nok = np.zeros(100, dtype=np.bool_)
    before = outcomes(np.ones(100, dtype=np.bool_), is_nok=is_nok)
    silent = replace(outcomes(np.zeros(100, dtype=np.bool_), is_nok=is_nok), labelled_at=np.full(100, np.nan))
    assert watch_gate(silent, before, POLICY, PROMOTION).way == "pass"


def test_false_alarms_seen_by_a_draw_count_for_all_that_were_not_drawn() -> None:
    """The champion's 20 false alarms are all seen; of the successor's 20, one was drawn with a probability of 5%."""
    is_nok = np.array([True] * 20 + [False] * 41)
    champion = np.array([True] * 20 + [True] * 20 + [False] * 21)
    successor = np.array([True] * 20 + [False] * 20 + [True] + [False] * 20)
    alike = Pairs(is_nok=is_nok, champion_nok=champion, successor_nok=successor, weight=np.ones(61))
    assert compare(alike).difference > 0.3
    weighed = compare(replace(alike, weight=np.where(np.arange(61) < 40, 1.0, 20.0)))
    assert weighed.difference == pytest.approx(0, abs=1e-9)
    assert weighed.p_value == 1.0
    assert weighed.drawn == 21


@drawn(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.sampled_from([1.0, 20.0])), min_size=1))
def test_swapping_the_two_models_turns_the_difference_round(coils: list[tuple[bool, bool, bool, float]]) -> None:
    is_nok, one, other, weight = (np.array(column) for column in zip(*coils, strict=True))
    there = compare(Pairs(is_nok=is_nok, champion_nok=one, successor_nok=other, weight=weight))
    back = compare(Pairs(is_nok=is_nok, champion_nok=other, successor_nok=one, weight=weight))
    assert there.difference == pytest.approx(-back.difference)
    assert there.p_value == back.p_value
    assert (there.champion, there.successor) == (back.successor, back.champion)


@pytest.mark.parametrize("seed", [3, 17, 36, 50])
def test_what_one_look_at_a_new_champion_finds_no_later_look_takes_back(seed: int) -> None:
    """Looks are many: were each to bet anew on as many coils as it has, they would find too much between them."""
    policy = PolicySettings(least_agreement=0.9)
    nobody = outcomes(np.zeros(0, dtype=np.bool_), is_nok=np.zeros(0, dtype=np.bool_))  # so that 90% is the bound
    agrees, is_nok = np.random.default_rng(seed).random(60) < 0.6, np.zeros(60, dtype=np.bool_)
    agrees[25:] = True
    looks = (outcomes(agrees[:coils], is_nok=is_nok[:coils]) for coils in range(1, 61))
    ways = [watch_gate(look, nobody, policy, PROMOTION).way for look in looks]
    assert ways == sorted(ways), "pass until it is found, reject from then on"
