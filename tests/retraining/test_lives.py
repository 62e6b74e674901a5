"""What the policy reads of a version is bounded, and its mind is the same as if it read the whole life."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from flows.judged_coils import judged_coils
from processors.model_score import score
from scheduler.evidence import Evidence, Outcomes, Score
from scheduler.life import Life, Lives, outcomes_of
from scheduler.policy import Decision, decide
from schemas.loop_settings import PolicySettings, ScoreSettings
from schemas.settings import Settings
from schemas.verdicts import MemberId
from store.connection import Connection
from store.feedback import Feedback, record_feedback
from store.outcomes import Counted, count_outcomes, telling_outcomes
from store.training import DecidedCoil, Scope, outcomes_of_ensemble, votes_of_member
from store.verdicts import Decided, record_verdicts
from tests.scores.given import NOON, decided

EVERYWHERE = Scope(plant="")
MEMBERS = (MemberId(model="cnn1d", version="1.0"), MemberId(model="yolov8n-cls", version="2.0"))
SHARE_ASKED = 0.3


def live(connection: Connection, *, coils: int, seed: int, slips_at: float) -> None:
    """A random life of two ensembles: revisions, skipped members, words late, contrary, corrected and on revisions."""
    rng = np.random.default_rng(seed)
    for place in range(coils):
        bad = rng.random() < 0.3
        wrong = rng.random() < (0.5 if place > slips_at * coils else 0.1)
        versions = ["r1", "r2"] if rng.random() < 0.1 else ["r1"]
        at = NOON + timedelta(hours=place // 3)  # some at the same time
        ensemble = rng.choice(["e1", "e1+mean", "e2"], p=[0.7, 0.1, 0.2])
        for revision in versions:
            record_verdicts(
                connection, [_judged(rng, place, revision, ensemble, bad=bad != wrong)], decided_at=at, destinations=()
            )
        for nth in range(int(rng.choice([0, 1, 2], p=[0.4, 0.5, 0.1]))):
            _say(connection, rng, place, nth, bad=bad, revisions=versions)


def _judged(rng: np.random.Generator, place: int, revision: str, ensemble: str, *, bad: bool) -> Decided:
    p_nok = 0.8 if bad else 0.2
    said = [(one.model, one.version, float(np.clip(p_nok + rng.normal(0, 0.2), 0, 1))) for one in MEMBERS]
    kept = [one for one in said if rng.random() < 0.9]
    drawn = bool(rng.random() < SHARE_ASKED)
    one = decided(
        str(place),
        p_nok,
        revision=revision,
        ensemble=ensemble,
        members=kept or said,
        drawn=SHARE_ASKED,
        asked=drawn,
    )
    if rng.random() < 0.05:  # older than reviews
        return replace(one, verdict=replace(one.verdict, review=(), review_probability=None))
    return one


def _say(
    connection: Connection, rng: np.random.Generator, place: int, nth: int, *, bad: bool, revisions: Sequence[str]
) -> None:
    at = NOON + timedelta(hours=place // 3, minutes=int(rng.integers(1, 60 * 24 * 5)))
    contrary = rng.random() < 0.1
    given = Feedback(
        key=decided(str(place)).verdict.key,
        source="console",
        event_id=f"{place} {nth}",
        label="NOK" if bad != contrary else "OK",
        given_at=at,
        operator=str(rng.choice(["mia", "ben"])),
        revision=str(rng.choice(revisions)) if rng.random() < 0.3 else None,
        corrects=f"{place} 0" if nth and rng.random() < 0.5 else None,
    )
    record_feedback(connection, [given], received_at=at)


def uncut(
    connection: Connection, settings: Settings, versions: Sequence[str], now_h: float, member: MemberId | None
) -> Evidence:
    """The evidence of every coil that was ever decided."""
    now = NOON + timedelta(hours=now_h)
    judged = outcomes_of_ensemble(connection, versions, EVERYWHERE, until=now)
    least = min((coil.probability for coil in judged if coil.probability), default=1.0)
    seen: Sequence[DecidedCoil] = judged
    if member is not None:
        ids = [coil.verdict_id for coil in judged]
        votes = {vote.verdict_id: vote for vote in votes_of_member(connection, member.model, member.version, ids)}
        seen = [
            coil._replace(called_nok=votes[coil.verdict_id].called_nok, p_nok=votes[coil.verdict_id].p_nok)
            for coil in judged
            if coil.verdict_id in votes
        ]
    outcomes = outcomes_of(seen)
    if member is not None:
        outcomes = replace(outcomes, least_probability=least)
    after = now - timedelta(days=settings.score.window_days)
    found = score(judged_coils([coil for coil in seen if coil.decided_at > after]))
    rates = found.rates if found.weighted is None else found.weighted.rates
    return _evidence(
        outcomes,
        Score(
            evaluated=found.evaluated,
            agreement=found.rates.agreement.value,
            recall=rates.recall.value,
            false_alarms=rates.false_alarms.value,
        ),
        None,
    )


def _evidence(outcomes: Outcomes, scored: Score, found_nok: Outcomes | None) -> Evidence:
    return Evidence(
        outcomes=outcomes, score=scored, found_nok=found_nok, labelled=500, labelled_nok=50, new_labelled=None
    )


def of_life(life: Life) -> Evidence:
    return _evidence(life.outcomes, life.score, life.found_nok)


@pytest.mark.parametrize("feedback", ["alarms", "regardless"])
@pytest.mark.parametrize(("seed", "coils", "slips_at"), [(1, 170, 0.5), (2, 60, 0.0), (4, 1, 0.0)])
def test_the_policy_decides_and_says_the_same_as_of_the_whole_life(
    connection: Connection, feedback: str, seed: int, coils: int, slips_at: float
) -> None:
    live(connection, coils=coils, seed=seed, slips_at=slips_at)
    minds = set()
    for horizon in (10, 17, coils):
        policy = PolicySettings.model_validate(
            {"feedback": feedback, "horizon_coils": horizon, "alpha": 0.3, "alpha_rates": 0.3}
        )
        settings = Settings(policy=policy, score=ScoreSettings(window_days=1))
        for now_h in (coils / 4, coils / 3 + 1, coils / 3 + 200):
            now = NOON + timedelta(hours=now_h)
            lives = Lives(connection=connection, scope=EVERYWHERE, settings=settings, now=now)
            cut: list[tuple[Life, Decision]] = []
            for member, versions in ((None, ["e1"]), (MEMBERS[0], ["e1"]), (MEMBERS[1], ["e1", "e2"])):
                life = lives.of_ensemble("e1") if member is None else lives.of_member(member, versions)
                whole = decide(uncut(connection, settings, versions, now_h, member), policy, now)
                cut.append((life, decide(of_life(life), policy, now)))
                assert cut[-1][1] == whole
            minds |= {(decision.act, decision.eligible) for _, decision in cut}
            if feedback == "alarms":
                assert all(len(life.outcomes.is_nok) <= 2 * horizon for life, _ in cut)
    assert coils < 100 or len(minds) > 1  # these lives are told apart


def test_a_member_is_counted_in_one_look_with_the_least_probability_of_all_coils(connection: Connection) -> None:
    skipped = [(one.model, one.version, 0.1) for one in MEMBERS[1:]]
    record_verdicts(
        connection,
        [decided("a", drawn=0.3), decided("b", drawn=0.02, members=skipped), decided("c", 0.9)],
        decided_at=NOON,
        destinations=(),
    )
    for member, coils in ((None, 3), (MEMBERS[0], 2), (MEMBERS[1], 3), (MemberId(model="cnn1d", version="9"), 0)):
        counted = count_outcomes(connection, ["e1"], EVERYWHERE, until=NOON, member=member)
        assert counted == Counted(coils=coils, least_probability=0.02)


def test_only_the_latest_coils_and_those_that_tell_are_read(connection: Connection) -> None:
    live(connection, coils=120, seed=7, slips_at=1)
    until, after = NOON + timedelta(hours=40), NOON + timedelta(hours=30)
    whole = outcomes_of_ensemble(connection, ["e1"], EVERYWHERE, until=until)
    assert count_outcomes(connection, ["e1"], EVERYWHERE, until=until).coils == len(whole)
    read = telling_outcomes(connection, ["e1"], EVERYWHERE, until=until, after=after, latest=20, labels=("NOK",))
    assert {coil.verdict_id for coil in read} <= {coil.verdict_id for coil in whole}
    silent = [coil for coil in read if not coil.latest and coil.decided_at <= after]
    assert silent
    assert len(read) < len(whole)
    latest = [coil[:12] for coil in read if coil.latest]
    assert 0 < len(latest) <= 20
    assert latest == [tuple(coil) for coil in whole[-len(latest) :]]
