"""One step of a successor's way: one transaction under the leader's epoch, kept with its reasons.

Whoever changed what serves meanwhile, or froze it, wins: both are looked at again under the registry's own lock.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scheduler.gates import Gate
from scheduler.jobs import JobContext
from scheduler.reasons import Code, reason
from scheduler.training_run import WAITS_FOR_PERSON, actor, named, successor_at
from schemas.errors import RegistryError
from store import registry
from store.alarms import clear_alarm, raise_alarm
from store.connection import Connection
from store.decisions import record_decision
from store.leadership import fenced
from store.registered import EVERY_PLANT, champion_of, champions_before, model_changes, serving
from store.registry_steps import Actor, step
from store.training import Retraining, RetrainingState, Scope, last_codes, set_retraining

ROLLED_BACK = "rolled_back"
_FOR_PERSONS: tuple[Code, ...] = (
    "approval",
    "registry",
    "cannot_roll_back",
    "stale",
    "many_alarms",
    "not_better_yet",
    "unreachable",
    "refused_yet",
)  # codes that only a person can answer

Change = Literal["shadow", "promoted", "rolled_back", "withdrawn"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A successor on its way, as a run of the job finds it."""

    connection: Connection
    context: JobContext
    scope: Scope
    champion: str  # version of what serves
    found: Retraining
    version: str  # of the successor


def champion_before(case: Case) -> str | None:
    """What gives the verdicts after a rollback; None: nothing does.

    That is seldom other than the successor's parent: a person may have let it follow another champion, and a plant
    whose first own champion goes is served as every plant is by now.
    """
    own = champions_before(case.connection, case.scope.plant)
    if own:
        return own[0]
    return champion_of(serving(case.connection), EVERY_PLANT) if case.scope.plant else None


def held_against(case: Case) -> str | None:
    """What gave the plant's verdicts before the champion, and is compared with it; None: nothing did.

    Before a plant's first own champion that is what served every plant then, whatever does now.
    """
    own = champions_before(case.connection, case.scope.plant)
    if own or not case.scope.plant:
        return next(iter(own), None)
    everywhere = found = None
    for one in model_changes(case.connection):
        if one.change == "promoted" and one.plant == EVERY_PLANT:
            everywhere = one.ensemble_version
        elif (one.change, one.plant, one.ensemble_version) == ("promoted", case.scope.plant, case.champion):
            found = everywhere
    return found


def take(case: Case, gate: Gate, change: Change, evidence: Mapping[str, Any], *, back: str | None = None) -> str:
    """Take a step that a gate lets pass, reject what it rejects, and keep what it said.

    Args:
        case: the successor.
        gate: what it has shown.
        change: the step.
        evidence: figures that the gate looked at.
        back: what a rollback goes back to, as it was tried; None: another step.

    Returns:
        What was done, for people.

    Raises:
        NotLeaderError: the run was given up; nothing was stored.
        StoreError: the database refused.
    """
    if gate.way == "wait":
        return keep(case, gate, None, evidence)
    done: Change | Literal["rejected"] = change if gate.way == "pass" else "rejected"
    state: RetrainingState = "waiting" if done == "withdrawn" else done
    context, connection = case.context, case.connection
    who = actor(context, "; ".join(gate.why), context.now)
    with fenced(connection, context.attempt_id):
        try:
            with step(connection, f"move successor {case.version!r}", who):
                if not _stands(case, change, back):
                    return f"{case.version}: somebody changed what serves meanwhile"
                _CHANGES[done](case, who)
        except RegistryError as error:
            refused = Gate(way="wait", why=(reason("registry", f"{error}; {error.remedy}; {gate.why[0]}"),))
            return _kept(case, refused, None, evidence)
        return _kept(case, gate, state, evidence)


def keep(case: Case, gate: Gate, state: RetrainingState | None, evidence: Mapping[str, Any]) -> str:
    """Keep what a gate said, and how the successor fares by it (None: as before), where nothing that serves changes."""
    with fenced(case.connection, case.context.attempt_id):
        return _kept(case, gate, state, evidence)


def _kept(case: Case, gate: Gate, state: RetrainingState | None, evidence: Mapping[str, Any]) -> str:
    connection, now = case.connection, case.context.now
    subject, told = successor_at(case.scope, case.version), "; ".join(gate.why)
    act = state is not None
    if state is not None:
        set_retraining(connection, case.found.retraining_id, state, why=told, at=now)
    codes = tuple(why.partition(":")[0] for why in gate.why)
    if last_codes(connection, case.context.job, subject) != (act, codes):
        record_decision(connection, case.context.job, at=now, subject=subject, act=act, why=gate.why, evidence=evidence)
    _tell(case, state, codes, told)
    return f"successor {case.version} {state or 'waits'}: {told}"


def _tell(case: Case, state: RetrainingState | None, codes: tuple[str, ...], told: str) -> None:
    connection, subject, now = case.connection, successor_at(case.scope, case.version), case.context.now
    if set(codes) & set(_FOR_PERSONS):
        text = f"successor {case.version} waits for a person: {told}; see `coilflow models show {case.version}`"
        raise_alarm(connection, WAITS_FOR_PERSON, subject, text=text, now=now)
    else:
        clear_alarm(connection, WAITS_FOR_PERSON, subject, now=now)
    if state == "rolled_back":
        text = f"{case.version} was rolled back: {told}"
        raise_alarm(connection, ROLLED_BACK, named(case.scope), text=text, now=now)
    elif state == "promoted":
        clear_alarm(connection, ROLLED_BACK, named(case.scope), now=now)


def _stands(case: Case, change: Change, back: str | None) -> bool:
    """Whether what serves is still what the case was looked at with."""
    rows = serving(case.connection)
    own = rows.get(case.scope.plant)
    if champion_of(rows, case.scope.plant) != case.champion:
        return False
    if change == "rolled_back":
        return champion_before(case) == back
    shadows = None if own is None else own.shadow
    return shadows == (None if change == "shadow" else case.version)


def _shadow(case: Case, who: Actor) -> None:
    registry.shadow(case.connection, case.version, who, plant=case.scope.plant)


def _promote(case: Case, who: Actor) -> None:
    registry.promote(case.connection, case.version, who, plant=case.scope.plant)


def _roll_back(case: Case, who: Actor) -> None:
    registry.rollback(case.connection, who, plant=case.scope.plant)


def _withdraw(case: Case, who: Actor) -> None:
    registry.withdraw(case.connection, case.version, who, plant=case.scope.plant)


def _reject(case: Case, who: Actor) -> None:
    registry.reject(case.connection, case.version, who)


_CHANGES: Mapping[str, Callable[[Case, Actor], None]] = {
    "shadow": _shadow,
    "promoted": _promote,
    "rolled_back": _roll_back,
    "withdrawn": _withdraw,
    "rejected": _reject,
}
