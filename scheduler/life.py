"""What the policy looks at of a version's life: the latest horizons, every coil found NOK, and the score's window.

A champion may have judged hundreds of thousands of coils, and the policy looks at it every few seconds while people
speak. Evidence begins anew after each horizon, and only the present horizon and the one before count
(`models.anytime`): of the coils before, only how many there were matters, and of members the least probability of a
review. So what is read of a life is bounded, but for coils found NOK. PostgreSQL still counts all of its verdicts at
each look, once for the ensemble and once for each member, and goes through all that anybody ever found NOK: that grows
with the life. Where labels come without regard to the verdict, their order decides which are the latest, so every coil
with a label is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from flows.judged_coils import judged_coils
from models.anytime import latest_begin
from processors.model_score import score
from scheduler.evidence import Outcomes, Score
from schemas.settings import Settings
from schemas.verdicts import MemberId
from store.connection import Connection
from store.outcomes import TellingCoil, count_outcomes, telling_outcomes
from store.training import DecidedCoil, Scope, votes_of_member

_MORE = 100  # verdicts that are read beside those that count: some are replaced, or a member was skipped
_FASTER = 4  # times as many where that was too few


@dataclass(frozen=True, kw_only=True, slots=True)
class Life:
    """What tells of one version."""

    outcomes: Outcomes
    found_nok: Outcomes | None  # None: `outcomes` has them
    score: Score  # over the window


@dataclass(frozen=True, kw_only=True, slots=True)
class Lives:
    """Where and until when lives are looked at.

    Args:
        connection: on a database of this version.
        scope: whose coils.
        settings: horizon, how labels come, the score's window.
        now: nothing decided later is looked at.
    """

    connection: Connection
    scope: Scope
    settings: Settings
    now: datetime

    def of_ensemble(self, version: str) -> Life:
        """What tells of an ensemble; raises StoreError."""
        whole = count_outcomes(self.connection, [version], self.scope, until=self.now)
        return self._life([version], whole.coils, None)

    def of_member(self, member: MemberId, versions: Sequence[str]) -> Life:
        """What tells of a member that votes in ensembles of these versions; coils that it did not judge are left out.

        It is charged for every verdict that its version made, in whichever ensemble.

        Raises:
            StoreError: the database refused.
        """
        counted = count_outcomes(self.connection, versions, self.scope, until=self.now, member=member)
        life = self._life(versions, counted.coils, member)
        least = counted.least_probability
        found = None if life.found_nok is None else replace(life.found_nok, least_probability=least)
        return replace(life, outcomes=replace(life.outcomes, least_probability=least), found_nok=found)

    def _life(self, versions: Sequence[str], coils: int, member: MemberId | None) -> Life:
        policy, after = self.settings.policy, self.now - timedelta(days=self.settings.score.window_days)
        if policy.feedback == "regardless":
            telling = self._telling(versions, member, 0)
            labelled = [coil for coil in telling if coil.labelled]
            return Life(outcomes=outcomes_of(labelled), found_nok=None, score=_score(telling, after))
        before = latest_begin(coils, policy.horizon_coils)
        telling = self._telling(versions, member, coils - before)
        latest = [coil for coil in telling if coil.latest][before - coils :]
        nok = [coil for coil in telling if coil.labelled and coil.is_nok]
        outcomes = replace(
            outcomes_of(latest),
            before=before,
            before_nok=len(nok) - sum(coil.labelled and coil.is_nok for coil in latest),
            before_disputed=sum(map(_disputed, telling)) - sum(map(_disputed, latest)),  # each has a word NOK
        )
        return Life(outcomes=outcomes, found_nok=outcomes_of(nok), score=_score(telling, after))

    def _telling(self, versions: Sequence[str], member: MemberId | None, wanted: int) -> Sequence[TellingCoil]:
        """At least the latest that are wanted, as far as there are so many."""
        most, had = wanted + _MORE if wanted else 0, -1
        while True:
            read = telling_outcomes(
                self.connection,
                versions,
                self.scope,
                until=self.now,
                after=self.now - timedelta(days=self.settings.score.window_days),
                latest=most,
                labels=("OK", "NOK") if self.settings.policy.feedback == "regardless" else ("NOK",),
            )
            found = read if member is None else self._as_member(member, read)
            have = sum(coil.latest for coil in read)
            if sum(coil.latest for coil in found) >= wanted or have == had:
                return found
            most, had = most * _FASTER, have

    def _as_member(self, member: MemberId, telling: Sequence[TellingCoil]) -> list[TellingCoil]:
        """The same coils as a member called them."""
        ids = [coil.verdict_id for coil in telling]
        said = {vote.verdict_id: vote for vote in votes_of_member(self.connection, member.model, member.version, ids)}
        return [
            coil._replace(called_nok=said[coil.verdict_id].called_nok, p_nok=said[coil.verdict_id].p_nok)
            for coil in telling
            if coil.verdict_id in said
        ]


def outcomes_of(decided: Sequence[DecidedCoil | TellingCoil]) -> Outcomes:
    """Decided coils as the policy takes them."""
    return Outcomes(
        called_nok=np.array([coil.called_nok for coil in decided], dtype=np.bool_),
        is_nok=np.array([coil.is_nok for coil in decided], dtype=np.bool_),
        labelled_at=np.array([coil.labelled_at_s if coil.labelled else np.nan for coil in decided], dtype=np.float64),
        review_probability=np.array([coil.probability if coil.asked else np.nan for coil in decided], dtype=np.float64),
        disputed=np.array([_disputed(coil) for coil in decided], dtype=np.bool_),
    )


def _disputed(coil: DecidedCoil | TellingCoil) -> bool:
    return coil.labelled_at_s is not None and not coil.labelled


def _score(telling: Sequence[TellingCoil], after: datetime) -> Score:
    """Over the window: weighted by the draws of reviews where any was answered, else plain."""
    found = score(judged_coils([coil for coil in telling if coil.decided_at > after]))
    rates = found.rates if found.weighted is None else found.weighted.rates
    return Score(
        evaluated=found.evaluated,
        agreement=found.rates.agreement.value,
        recall=rates.recall.value,
        false_alarms=rates.false_alarms.value,
    )
