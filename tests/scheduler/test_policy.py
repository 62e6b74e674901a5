"""Promises of the policy: when a version gets a successor, and that it says why or why not."""

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.anytime import below
from scheduler.deciding import About
from scheduler.evidence import Check, Evidence, Outcomes, Score, check_all, recall_stream
from scheduler.policy import decide, sure_of
from scheduler.scoring import told
from schemas.loop_settings import PolicySettings

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SETTINGS = PolicySettings()
ALL = PolicySettings(feedback="regardless")


def _outcomes(
    coils: int, *, recall: float, false_alarms: float, nok: float = 0.01, draw: float = 0.02, seed: int = 0
) -> Outcomes:
    """Coils of a line where alarms are looked at, and a draw of the others."""
    rng = np.random.default_rng(seed)
    is_nok = rng.random(coils) < nok
    called = rng.random(coils) < np.where(is_nok, recall, false_alarms)
    asked = called | (rng.random(coils) < draw)
    return Outcomes(
        called_nok=called,
        is_nok=is_nok,
        labelled_at=np.where(asked, np.arange(coils) + 50.0, np.nan),
        review_probability=np.where(asked, np.where(called, 1.0, draw), np.nan),
    )


def _evidence(outcomes: Outcomes, **changed: object) -> Evidence:
    labelled = ~np.isnan(outcomes.labelled_at)
    wrong = labelled & (outcomes.called_nok != outcomes.is_nok)
    agreement = 1 - float(wrong.sum() / labelled.sum()) if labelled.any() else None
    score = Score(evaluated=int(labelled.sum()), agreement=agreement, recall=None, false_alarms=None)
    plenty = Evidence(outcomes=outcomes, score=score, labelled=500, labelled_nok=50, new_labelled=None)
    return dataclasses.replace(plenty, **changed)  # type: ignore[arg-type] # fields by name


@given(seed=st.integers(0, 99), share=st.floats(0, 1))
@settings(max_examples=30)
def test_a_disputed_coil_counts_neither_as_right_nor_as_wrong(seed: int, share: float) -> None:
    plain = _outcomes(300, recall=0.7, false_alarms=0.3, nok=0.2, draw=0.3, seed=seed)
    disputed = ~np.isnan(plain.labelled_at) & (np.random.default_rng(seed).random(300) < share)
    known = dataclasses.replace(plain, labelled_at=np.where(disputed, np.nan, plain.labelled_at), disputed=disputed)
    other = dataclasses.replace(known, called_nok=known.called_nok ^ disputed, is_nok=known.is_nok ^ disputed)
    assert check_all(_evidence(known), SETTINGS) == check_all(_evidence(other), SETTINGS), "whatever it is in truth"
    agreement, _, alarms = check_all(_evidence(known), SETTINGS)
    assert agreement.coils == 300 - disputed.sum()
    labelled_nok = known.is_nok & ~np.isnan(known.labelled_at)
    assert alarms.coils == 300 - (disputed | labelled_nok).sum()


GOOD = _outcomes(600, recall=0.8, false_alarms=0.05)
BAD = _outcomes(600, recall=0.8, false_alarms=0.42)


def _check(outcomes: Outcomes, figure: str, settings: PolicySettings = SETTINGS) -> Check:
    return next(c for c in check_all(_evidence(outcomes), settings) if c.figure == figure)


def test_disputes_hide_no_errors() -> None:
    wrong = np.arange(60) % 5 == 0
    outcomes = Outcomes(
        called_nok=np.ones(60, dtype=np.bool_),
        is_nok=~wrong,
        labelled_at=np.where(wrong, 1.0, np.nan),
        review_probability=np.ones(60),
    )
    assert _check(outcomes, "agreement").established_at is None, "those without a label count as right"
    assert _check(dataclasses.replace(outcomes, disputed=~wrong), "agreement").established_at is not None


def test_a_version_that_is_surely_bad_is_acted_on_and_every_figure_is_told() -> None:
    decision = decide(_evidence(BAD), SETTINGS, NOW)
    assert (decision.act, decision.eligible, decision.may_act_from) == (True, True, NOW)
    assert [check.figure for check in decision.checks] == ["agreement", "recall", "false alarms"]
    assert any(why.startswith("agreement: established to be below 75.0% after ") for why in decision.why)
    assert any(why.startswith("false alarms: established to be above 20.0% after ") for why in decision.why)
    assert any(why.startswith("recall: not established to be below 60.0%, at most ") for why in decision.why)


def test_what_is_sure_is_told_by_its_figure_whatever_words_stand_elsewhere_and_after_it_was_kept_too() -> None:
    evidence = _evidence(BAD, drift=("coils: established to be others than ever",))
    decision = decide(evidence, SETTINGS, NOW)
    sure = sure_of(decision.checks)
    assert [sentence.partition(":")[0] for sentence in sure] == ["agreement", "false alarms"]
    assert set(sure) <= set(decision.why)
    assert sure_of(check_all(_evidence(GOOD), SETTINGS)) == ()
    kept = orjson.loads(orjson.dumps([dataclasses.asdict(check) for check in decision.checks]))
    assert sure_of([Check(**check) for check in kept]) == sure
    said = told(About(subject="it", decision=decision, evidence=evidence))
    assert said == f"it has slipped: {'; '.join(sure)}; see `coilflow scheduler why score`"


def test_a_good_version_is_left_alone_though_nearly_all_its_alarms_are_false() -> None:
    evidence = _evidence(GOOD)
    assert evidence.score.agreement is not None
    assert evidence.score.agreement < 0.75  # the plant's rule, of coils with labels: eligible
    decision = decide(evidence, SETTINGS, NOW)
    assert (decision.act, decision.eligible) == (False, True)
    assert any("below the bound 75.0%" in why for why in decision.why)
    assert any(why.startswith("agreement: not established to be below 75.0%, at most ") for why in decision.why)


def test_a_score_within_bounds_is_not_eligible() -> None:
    well = Score(evaluated=200, agreement=0.9, recall=0.8, false_alarms=0.05)
    assert not decide(_evidence(GOOD, score=well), SETTINGS, NOW).eligible
    for score in (
        dataclasses.replace(well, agreement=0.74),
        dataclasses.replace(well, recall=0.59),
        dataclasses.replace(well, false_alarms=0.21),
    ):
        assert decide(_evidence(GOOD, score=score), SETTINGS, NOW).eligible


def test_ten_coils_are_too_few_and_eleven_are_not() -> None:
    wrong = Outcomes(
        called_nok=np.ones(11, dtype=bool),
        is_nok=np.zeros(11, dtype=bool),
        labelled_at=np.arange(11.0),
        review_probability=np.ones(11),
    )
    ten = Outcomes(
        called_nok=wrong.called_nok[:10],
        is_nok=wrong.is_nok[:10],
        labelled_at=wrong.labelled_at[:10],
        review_probability=wrong.review_probability[:10],
    )
    held = decide(_evidence(ten), SETTINGS, NOW)
    assert (held.act, held.eligible) == (False, False)
    assert "10 coils evaluated, more than 10 wanted" in held.why
    assert decide(_evidence(wrong), SETTINGS, NOW).act


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"frozen": True}, "automatic change is frozen"),
        ({"pending": "head@7"}, "successor head@7 is on its way"),
        ({"labelled": 49}, "49 labelled coils to learn from, at least 50 wanted"),
        ({"labelled_nok": 9}, "9 of them NOK, at least 10 wanted"),
        ({"new_labelled": 19}, "19 labelled since the last attempt, at least 20 wanted"),
    ],
)
def test_what_holds_a_bad_version_s_successor_back_is_said(changed: dict[str, object], why: str) -> None:
    decision = decide(_evidence(BAD, **changed), SETTINGS, NOW)
    assert (decision.act, decision.eligible) == (False, True)
    assert why in decision.why


def test_the_cooldown_holds_back_until_it_is_over_and_says_until_when() -> None:
    attempt = NOW - timedelta(hours=23, microseconds=7)
    held = decide(_evidence(BAD, last_attempt=attempt), SETTINGS, NOW)
    assert not held.act
    assert held.may_act_from == attempt + timedelta(hours=24)
    assert any(f"may be from {held.may_act_from:%Y-%m-%d %H:%M} UTC on" in why for why in held.why)
    assert decide(_evidence(BAD, last_attempt=attempt), SETTINGS, held.may_act_from).act


def test_drift_is_told_and_never_acts_alone() -> None:
    drift = ("the mean coating has a stability index of 0.4",)
    decision = decide(_evidence(GOOD, drift=drift), SETTINGS, NOW)
    assert not decision.act
    assert any("stability index" in why for why in decision.why)
    without = decide(_evidence(GOOD), SETTINGS, NOW)
    assert (without.act, without.checks) == (decision.act, decision.checks)


def test_recall_that_collapses_is_caught_while_agreement_stays_at_97_percent() -> None:
    collapsed = _outcomes(40_000, recall=0.1, false_alarms=0.0212)
    assert (collapsed.called_nok == collapsed.is_nok).mean() > 0.968
    healthy = _outcomes(40_000, recall=0.8, false_alarms=0.0212)
    assert _check(collapsed, "recall").established_at is not None
    assert _check(healthy, "recall").established_at is None
    assert _check(collapsed, "agreement").established_at is None
    assert decide(_evidence(collapsed), SETTINGS, NOW).act
    assert not decide(_evidence(healthy), SETTINGS, NOW).act


def test_missed_coils_that_nobody_asked_for_say_nothing_of_recall() -> None:
    missed = Outcomes(
        called_nok=np.zeros(50, dtype=bool),
        is_nok=np.ones(50, dtype=bool),
        labelled_at=np.arange(50.0),
        review_probability=np.full(50, np.nan),
    )
    check = _check(missed, "recall")
    assert (check.coils, check.limit, check.established_at) == (0, 1.0, None)
    assert _check(missed, "recall", ALL).established_at is not None


def test_a_slip_that_the_window_does_not_feel_yet_is_acted_on() -> None:
    before, after = (_outcomes(n, recall=0.8, false_alarms=f, seed=3) for n, f in ((300, 0.08), (130, 0.42)))
    both = Outcomes(
        called_nok=np.concatenate([before.called_nok, after.called_nok]),
        is_nok=np.concatenate([before.is_nok, after.is_nok]),
        labelled_at=np.concatenate([before.labelled_at, after.labelled_at + 1000]),
        review_probability=np.concatenate([before.review_probability, after.review_probability]),
    )
    mild = Score(evaluated=100, agreement=0.81, recall=None, false_alarms=0.18)
    decision = decide(_evidence(both, score=mild), SETTINGS, NOW)
    assert decision.act
    found = decision.checks[2]
    assert found.established_at is not None
    assert found.by_coils is not None
    assert found.established_at > 300 > found.established_at - found.by_coils >= 250


def test_labels_given_without_regard_to_the_verdict_stand_for_all_coils() -> None:
    rng = np.random.default_rng(5)
    is_nok = rng.random(600) < 0.3
    called = is_nok ^ (rng.random(600) < 0.4)
    some = Outcomes(
        called_nok=called,
        is_nok=is_nok,
        labelled_at=np.where(rng.random(600) < 0.3, rng.permutation(600).astype(float), np.nan),
        review_probability=np.full(600, np.nan),
    )
    assert _check(some, "agreement").established_at is None  # what has no label counts as right
    check = _check(some, "agreement", ALL)
    assert check.coils == int((~np.isnan(some.labelled_at)).sum())
    assert check.established_at is not None


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32), st.data())
def test_fewer_labels_never_make_agreement_or_false_alarms_look_worse(seed: int, data: st.DataObject) -> None:
    full = _outcomes(60, recall=0.5, false_alarms=0.4, nok=0.1, draw=0.3, seed=seed)
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=60, max_size=60)))
    part = dataclasses.replace(full, labelled_at=np.where(kept, full.labelled_at, np.nan))
    assert _check(part, "agreement").limit >= _check(full, "agreement").limit
    found = _check(part, "false alarms").established_at is not None
    assert not found or _check(full, "false alarms").established_at is not None


def test_the_order_in_which_labels_come_counts_for_recall_only() -> None:
    coils = _outcomes(3000, recall=0.3, false_alarms=0.1, nok=0.05, draw=0.3)
    late = dataclasses.replace(coils, labelled_at=1e4 - coils.labelled_at)
    for figure in ("agreement", "false alarms"):
        assert _check(late, figure) == _check(coils, figure)
    assert _check(late, "recall").coils == _check(coils, "recall").coils


def test_a_version_without_a_coil_is_left_alone_and_the_decision_says_so() -> None:
    none = Outcomes(
        called_nok=np.empty(0, dtype=bool),
        is_nok=np.empty(0, dtype=bool),
        labelled_at=np.empty(0),
        review_probability=np.empty(0),
    )
    decision = decide(_evidence(none), SETTINGS, NOW)
    assert (decision.act, decision.eligible) == (False, False)
    assert decision.why == ("no coil that it decided has a label yet: nothing is known of it",)


def test_a_version_of_whose_coils_nobody_spoke_is_told_in_one_line() -> None:
    unspoken = dataclasses.replace(GOOD, labelled_at=np.full(600, np.nan))
    decision = decide(_evidence(unspoken, frozen=True, drift=("linz drifted",)), SETTINGS, NOW)
    assert (decision.act, len(decision.why)) == (False, 1)


def test_a_member_that_catches_what_the_ensemble_misses_is_not_found_wanting_for_it() -> None:
    """Its recall is 70%; what it alone catches is seen in 2% of coils, as is what nobody catches."""
    rng, draw, found = np.random.default_rng(2), 0.02, 0
    for _ in range(60):
        kind = rng.choice(4, size=2400, p=[0.45, 0.17, 0.25, 0.13])  # both, the ensemble, the member, nobody
        by_ensemble = kind <= 1
        seen = by_ensemble | (rng.random(kind.size) < draw)
        member = Outcomes(
            called_nok=(kind[seen] == 0) | (kind[seen] == 2),
            is_nok=np.ones(seen.sum(), dtype=np.bool_),
            labelled_at=np.arange(seen.sum(), dtype=np.float64),
            review_probability=np.where(by_ensemble[seen], 1.0, draw),
            least_probability=draw,
        )
        stream = recall_stream(member, "alarms")
        assert stream.weight[stream.right].max() <= 1
        found += below(stream.right, stream.weight, bound=0.65, alpha=0.1, horizon=2400) is not None
    assert found / 60 <= 0.1
