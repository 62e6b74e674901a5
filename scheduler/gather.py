"""What the database knows of serving versions, as the policy looks at it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scheduler.evidence import Evidence
from scheduler.life import Life, Lives
from schemas.settings import Settings
from schemas.verdicts import MemberId
from store.connection import Connection
from store.drift import latest_drift_checks
from store.registered import StoredEnsemble, automation, serving
from store.registry_steps import known_ensemble
from store.training import (
    LabelledCoil,
    Retraining,
    Scope,
    ensembles_of_member,
    labelled_coils,
    retrainings,
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
    lives = Lives(connection=connection, scope=scope, settings=settings, now=now)

    def evidence(life: Life) -> Evidence:
        return Evidence(outcomes=life.outcomes, found_nok=life.found_nok, score=life.score, **common)

    return Gathered(
        scope=scope,
        champion=stored,
        coils=coils,
        ensemble=evidence(lives.of_ensemble(champion)),
        members={
            member: evidence(lives.of_member(member, ensembles_of_member(connection, member.model, member.version)))
            for member in stored.members
        },
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
