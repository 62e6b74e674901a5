"""What the database knows of serving versions, as the policy looks at it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from flows.judged_coils import judged_coils
from processors.model_score import score
from scheduler.evidence import Evidence, Outcomes, Score
from schemas.settings import Settings
from schemas.verdicts import MemberId
from store.connection import Connection
from store.drift import latest_drift_checks
from store.registered import StoredEnsemble, automation, serving
from store.registry_steps import known_ensemble
from store.training import (
    DecidedCoil,
    LabelledCoil,
    Retraining,
    Scope,
    ensembles_of_member,
    labelled_coils,
    outcomes_of_ensemble,
    retrainings,
    votes_of_member,
)

ON_ITS_WAY = ("running", "accepted", "shadow")  # of a retraining: there is nothing to decide meanwhile
_ATTEMPTS = ("failed", "killed", "waiting", "accepted", "rejected", "shadow", "promoted", "kept", "rolled_back")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gathered:
    """All that is known of what serves a plant."""

    scope: Scope
    champion: StoredEnsemble
    coils: tuple[LabelledCoil, ...]  # to learn from
    ensemble: Evidence
    members: Mapping[MemberId, Evidence]


def scopes(connection: Connection) -> tuple[tuple[Scope, str], ...]:
    """Whose coils have a champion of their own, with its version: every plant first; raises StoreError."""
    champions = {plant: row.champion for plant, row in serving(connection).items() if row.champion is not None}
    own = tuple(sorted(plant for plant in champions if plant))
    return tuple(
        (Scope(plant=plant, others=() if plant else own), version) for plant, version in sorted(champions.items())
    )


def gather(connection: Connection, scope: Scope, champion: str, settings: Settings, *, now: datetime) -> Gathered:
    """Read what the policy looks at: the champion of a plant, and each member that votes in it.

    A member is charged for every verdict that its version made, in whichever ensemble.

    Args:
        connection: on a database of this version.
        scope: whose coils.
        champion: version of the ensemble that serves them.
        settings: of the score, and how many coils to learn from.
        now: the time; nothing later is looked at but labels, which count from when they came.

    Raises:
        StoreError: the database refused.
    """
    stored = known_ensemble(connection, champion)
    coils = labelled_coils(connection, scope, until=now, most=settings.retrain.most_coils)
    common = _common(connection, scope, coils)
    after = now - timedelta(days=settings.score.window_days)

    def evidence(decided: Sequence[DecidedCoil]) -> Evidence:
        return Evidence(outcomes=outcomes_of(decided), score=_score(decided, after), **common)

    own = outcomes_of_ensemble(connection, [champion], scope, until=now)
    members = {}
    for member in stored.members:
        versions = ensembles_of_member(connection, member.model, member.version)
        judged = own if versions == (champion,) else outcomes_of_ensemble(connection, versions, scope, until=now)
        found = evidence(_as_member(connection, member, judged))
        least = min((coil.probability for coil in judged if coil.probability), default=1.0)
        members[member] = replace(found, outcomes=replace(found.outcomes, least_probability=least))
    return Gathered(scope=scope, champion=stored, coils=coils, ensemble=evidence(own), members=members)


def outcomes_of(decided: Sequence[DecidedCoil]) -> Outcomes:
    """Decided coils as the policy takes them."""
    return Outcomes(
        called_nok=np.array([coil.called_nok for coil in decided], dtype=np.bool_),
        is_nok=np.array([coil.is_nok for coil in decided], dtype=np.bool_),
        labelled_at=np.array([coil.labelled_at_s if coil.labelled else np.nan for coil in decided], dtype=np.float64),
        review_probability=np.array([coil.probability if coil.asked else np.nan for coil in decided], dtype=np.float64),
    )


def _common(connection: Connection, scope: Scope, coils: Sequence[LabelledCoil]) -> dict[str, Any]:
    attempts = retrainings(connection, plant=scope.plant)
    last = next((one.started_at for one in attempts if one.state in _ATTEMPTS), None)
    new = None if last is None else sum(coil.heard_at > last for coil in coils)
    return {
        "labelled": len(coils),
        "labelled_nok": sum(coil.label == "NOK" for coil in coils),
        "new_labelled": new,
        "last_attempt": last,
        "frozen": automation(connection).frozen,
        "pending": _pending(connection, scope, attempts),
        "drift": tuple(
            check.sentence
            for check in latest_drift_checks(connection)
            if check.drifted and check.plant not in scope.others and scope.plant in ("", check.plant)
        ),
    }


def _pending(connection: Connection, scope: Scope, attempts: Sequence[Retraining]) -> str | None:
    """What is on its way already, by coilflow itself or by a person who lets an ensemble shadow."""
    for one in attempts:
        if one.state in ON_ITS_WAY:
            return one.candidate or f"of {one.parent}, in training"
    row = serving(connection).get(scope.plant)
    return None if row is None else row.shadow


def _as_member(connection: Connection, member: MemberId, decided: Sequence[DecidedCoil]) -> list[DecidedCoil]:
    """The same coils as a member called them; those that it did not judge are left out."""
    votes = votes_of_member(connection, member.model, member.version, [coil.verdict_id for coil in decided])
    said = {vote.verdict_id: vote for vote in votes}
    return [
        coil._replace(called_nok=said[coil.verdict_id].called_nok, p_nok=said[coil.verdict_id].p_nok)
        for coil in decided
        if coil.verdict_id in said
    ]


def _score(decided: Sequence[DecidedCoil], after: datetime) -> Score:
    """Over the window: weighted by the draws of reviews where any was answered, else plain."""
    found = score(judged_coils([coil for coil in decided if coil.decided_at > after]))
    rates = found.rates if found.weighted is None else found.weighted.rates
    return Score(
        evaluated=found.evaluated,
        agreement=found.rates.agreement.value,
        recall=rates.recall.value,
        false_alarms=rates.false_alarms.value,
    )
