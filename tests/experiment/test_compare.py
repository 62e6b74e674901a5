"""Promises of an experiment's figures and tests, on arrays whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from flows.experiment.compare import figures_of, paired_tests, permutation_test, rank_permutation_test
from flows.experiment.ensembles import together
from flows.experiment.judged import Judged, Subject
from flows.experiment.results import VALIDATION, Scores, Split
from flows.experiment.spec import EnsembleSpec
from models.objectives_spec import Threshold
from models.statistics import class_statistic, paired_permutation_test, per_class_metrics, roc_auc
from models.thresholds import chosen_threshold
from schemas.coils import BoolArray, FloatArray
from schemas.combine import Combine
from tests.experiment.tiny import spec_of

IS_NOK = np.arange(200) < 40


def _scores(p_nok: FloatArray, threshold: float = 0.5) -> Scores:
    split = Split(coils=tuple(f"p/{i:03d}" for i in range(len(p_nok))), is_nok=IS_NOK[: len(p_nok)], p_nok=p_nok)
    return Scores(splits={VALIDATION: split, "folds": split, "gold": split}, threshold=threshold)


def _noisy(noise: float, seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    p_nok: FloatArray = (IS_NOK * 0.4 + 0.3 + rng.normal(0, noise, len(IS_NOK))).clip(0.01, 0.99)
    return p_nok


def _judged(p_nok: FloatArray) -> Judged:
    coils = tuple(map(str, range(p_nok.shape[1])))
    return Judged(
        coils=coils, is_nok=IS_NOK, p_nok=p_nok, called=p_nok >= 0.5, model=np.zeros(p_nok.shape, dtype=np.int64)
    )


def test_figures_are_those_of_each_run_in_the_mean_inside_their_intervals() -> None:
    p_nok = np.stack([_noisy(0.2, seed) for seed in range(3)])
    found = figures_of(_judged(p_nok), prevalence=0.01, coils_a_day=100, seed=1)
    single = [per_class_metrics(IS_NOK, row >= 0.5) for row in p_nok]
    for name in ("f1_nok", "recall_ok", "macro_f1", "accuracy", "mcc"):
        values = [one[name] for one in single]
        figure = found.of[name]
        assert figure.value == pytest.approx(np.mean([v for v in values if v is not None]))
        assert figure.ci95 is not None
        assert figure.ci95[0] < (figure.value or 0) < figure.ci95[1]
        assert figure.spread is not None
    assert (found.coils, found.nok, found.runs) == (200, 40, 3)
    assert sum(found.confusion.values()) == pytest.approx(200)


def test_alarms_and_precision_are_those_of_the_line() -> None:
    called = np.zeros((1, 200), dtype=bool)
    called[0, :28] = True  # 70% of 40
    called[0, 40:48] = True  # 5% of 160
    found = figures_of(_judged(called.astype(float)), prevalence=0.01, coils_a_day=100, seed=0)
    assert found.of["alarms_a_day"].value == pytest.approx(0.7 + 0.99 * 5)
    assert found.of["precision_on_line"].value == pytest.approx(0.7 / (0.7 + 0.99 * 5))


def test_a_figure_that_is_undefined_is_none() -> None:
    found = figures_of(_judged(np.zeros((1, 200))), prevalence=0.01, coils_a_day=100, seed=0)
    assert found.of["precision_nok"].value is None
    assert found.of["f1_nok"].value == 0


@pytest.mark.parametrize("metric", ["f1_nok", "accuracy"])
def test_one_run_each_is_tested_as_two_models_are(metric: str) -> None:
    a, b = _noisy(0.15, 1) >= 0.5, _noisy(0.35, 2) >= 0.5
    ours = permutation_test(metric, a[None], b[None], IS_NOK, swaps=2000, seed=4)
    theirs = paired_permutation_test(class_statistic(metric), a, b, IS_NOK, resamples=2000, seed=4)
    assert ours.difference == pytest.approx(theirs.difference)
    assert ours.p_value == pytest.approx(theirs.p_value)


def test_equal_methods_do_not_differ_and_the_order_of_a_pair_does_not_matter() -> None:
    a, b = (np.stack([_noisy(0.2, seed) >= 0.5 for seed in seeds]) for seeds in ((1, 2), (3, 4)))
    assert permutation_test("f1_nok", a, a, IS_NOK, swaps=500).p_value == 1.0
    one, other = (
        permutation_test("f1_nok", a, b, IS_NOK, swaps=500),
        permutation_test("f1_nok", b, a, IS_NOK, swaps=500),
    )
    assert one.p_value == other.p_value
    assert one.difference == -other.difference


def test_many_runs_of_a_method_do_not_make_many_coils() -> None:
    a, b = _noisy(0.2, 5) >= 0.5, _noisy(0.25, 6) >= 0.5
    single = permutation_test("f1_nok", a[None], b[None], IS_NOK, swaps=1000)
    many = permutation_test("f1_nok", np.stack([a] * 5), np.stack([b] * 5), IS_NOK, swaps=1000)
    assert many.p_value == single.p_value


def test_a_pair_is_tested_over_folds_and_over_coils_and_corrected_for_the_number_of_pairs() -> None:
    good, bad, worse = (
        Subject(name=name, scores={(0, fold): _scores(_noisy(noise, fold)) for fold in range(2)})
        for name, noise in (("shallow", 0.05), ("rule", 0.5), ("both", 0.7))
    )
    found = {one.name: one for one in (good, bad, worse)}
    tests = paired_tests(
        spec_of(compare=[["shallow", "rule"], ["shallow", "both"]]), _of_folds(found), dict.fromkeys(found, (160, 40))
    )
    gold = [one for one in tests if one.judging == "gold" and one.metric == "f1_nok"]
    assert [one.test for one in gold] == ["permutation over coils"] * 2
    assert all(one.difference > 0 and (one.p_value or 1) < 0.01 for one in gold)
    assert all((one.p_holm or 1) >= (one.p_value or 0) for one in tests)
    assert {one.metric for one in tests if one.test.startswith("corrected")} == {
        *("f1_nok", "macro_f1", "accuracy", "roc_auc")
    }


def _of_folds(found: dict[str, Subject]) -> dict[str, Subject]:
    """The same, each run judged on its own half of the coils."""

    def half(scores: Scores, fold: int) -> Scores:
        split = scores.splits["folds"]
        index = np.arange(fold, len(split.coils), 2)
        own = Split(coils=tuple(split.coils[i] for i in index), is_nok=split.is_nok[index], p_nok=split.p_nok[index])
        return Scores(splits={**scores.splits, "folds": own}, threshold=scores.threshold)

    return {
        name: Subject(name=name, scores={place: half(one, place[1]) for place, one in subject.scores.items()})
        for name, subject in found.items()
    }


def test_folds_of_a_repeat_are_judged_as_one() -> None:
    scores = {(0, fold): _scores(_noisy(0.1, 1)) for fold in range(2)}
    subject = _of_folds({"a": Subject(name="a", scores=scores)})["a"]
    judged = subject.on("folds")
    assert judged is not None
    np.testing.assert_array_equal(judged.called[0], _noisy(0.1, 1) >= 0.5)
    np.testing.assert_array_equal(judged.is_nok, IS_NOK)


@pytest.mark.parametrize("how", ["mean", "confidence_sum", "weighted", "union", "stacking"])
def test_an_ensembles_false_alarms_stay_in_their_bound_on_coils_that_it_was_not_fitted_to(how: Combine) -> None:
    rule = Threshold(rule="false_alarms", most_false_alarms=0.1)
    fitted, fresh = np.arange(600) < 100, np.arange(1500) < 500
    alarms, found, found_alone = [], [], []
    for seed in range(20):
        members = []
        for member in range(2):
            rng = np.random.default_rng([seed, member])
            splits = {
                name: Split(
                    coils=tuple(map(str, range(len(is_nok)))),
                    is_nok=is_nok,
                    p_nok=(is_nok * 0.4 + 0.3 + rng.normal(0, 0.2, len(is_nok))).clip(0.01, 0.99),
                )
                for name, is_nok in ((VALIDATION, fitted), ("gold", fresh))
            }
            own = chosen_threshold(rule, splits[VALIDATION].p_nok, fitted, profiles={})
            members.append(Scores(splits=splits, threshold=own))
        scores = together(EnsembleSpec(members=("a", "b"), combine=how), members, rule)
        alone, both = (one.splits["gold"].p_nok >= one.threshold for one in (members[0], scores))
        alarms.append(both[~fresh].mean())
        found.append(both[fresh].mean())
        found_alone.append(alone[fresh].mean())
    assert 0.06 < np.mean(alarms) < 0.1  # all alarms of both members would be 0.15
    assert np.count_nonzero(np.array(alarms) > 0.12) <= 2  # beyond the bound by more than 1,000 coils would by chance
    assert np.mean(found) > np.mean(found_alone)


@pytest.mark.parametrize("how", ["mean", "confidence_sum", "weighted", "union", "stacking"])
def test_an_ensemble_of_good_and_bad_members_serves_by_every_way_of_combining(how: Combine) -> None:
    members = [_scores(_noisy(0.1, 1)), _scores(_noisy(0.2, 2))]
    spec = EnsembleSpec(members=("a", "b"), combine=how)
    scores = together(spec, members, Threshold())
    called: BoolArray = scores.splits["gold"].p_nok >= scores.threshold
    assert (per_class_metrics(IS_NOK, called)["f1_nok"] or 0) > 0.7


def test_the_best_members_are_chosen_on_validation_coils_alone() -> None:
    good, bad = _scores(_noisy(0.05, 1)), _scores(_noisy(0.8, 2))
    flattered = Scores(splits={**bad.splits, "gold": good.splits["gold"]}, threshold=0.5)
    honest = Scores(splits={**good.splits, "gold": bad.splits["gold"]}, threshold=0.5)
    spec = EnsembleSpec(members=("a", "b"), top_k=1)
    chosen = together(spec, [flattered, honest], Threshold())
    np.testing.assert_array_equal(chosen.splits["gold"].p_nok, bad.splits["gold"].p_nok)


def test_folds_are_ranked_by_the_model_that_judged_them_and_never_together() -> None:
    p_nok = _noisy(0.15, 1)
    fold = np.arange(200) % 2
    squeezed = np.where(fold == 0, p_nok, p_nok / 100)  # as sure of its order, on another scale
    of_folds = replace(_judged(squeezed[None]), model=fold[None])
    auc = figures_of(of_folds, prevalence=0.01, coils_a_day=100, seed=0).of["roc_auc"]
    each = [roc_auc(p_nok[None, fold == one], IS_NOK[fold == one])[0] for one in range(2)]
    assert auc.value == pytest.approx(np.mean(each))
    assert auc.ci95 is not None
    assert auc.ci95[0] < np.mean(each) < auc.ci95[1] <= 1
    plain = replace(_judged(p_nok[None]), model=fold[None])
    tested = rank_permutation_test(of_folds, plain, swaps=50)
    assert (tested.difference, tested.p_value) == (0.0, 1.0)


def test_a_model_that_ranks_better_is_told_from_one_that_scores_on_another_scale() -> None:
    sharp, blurred = _judged(_noisy(0.1, 1)[None]), _judged(_noisy(0.6, 2)[None])
    better = rank_permutation_test(sharp, blurred, swaps=400, seed=1)
    assert better.difference > 0
    assert better.p_value < 0.01
    worse = rank_permutation_test(blurred, sharp, swaps=400, seed=1)
    assert (worse.difference, worse.p_value) == (-better.difference, better.p_value)
    squeezed = rank_permutation_test(sharp, _judged(sharp.p_nok**3 / 10), swaps=400, seed=1)
    assert (squeezed.difference, squeezed.p_value) == (0.0, 1.0)


def test_the_better_ranking_of_equals_is_chance_as_often_as_it_should_be() -> None:
    p_values = [
        rank_permutation_test(
            _judged(_noisy(0.5, seed)[None]), _judged(_noisy(0.5, seed + 500)[None]), swaps=100
        ).p_value
        for seed in range(60)
    ]
    assert sum(p <= 0.1 for p in p_values) <= 14  # 6 expected; more than 14 once in a thousand times
