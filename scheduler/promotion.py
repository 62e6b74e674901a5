"""The job `promotion`: a successor goes from the holdout to shadow, to champion, and past its watch, or back."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from flows.change_models import verify
from scheduler.gates import Gate, InShadow, shadow_gate, watch_gate
from scheduler.gather import scopes
from scheduler.jobs import JobContext
from scheduler.life import outcomes_of
from scheduler.reasons import Reason, reason
from scheduler.refusals import refusals, tell_whether_it_serves
from scheduler.successor_steps import Case, champion_before, held_against, keep, take
from scheduler.training_run import named
from schemas.errors import BundleAwayError, BundleError
from store.connection import Connection, connect
from store.registered import ChangeKind, automation, champion_of, model_changes, serving
from store.registry_steps import known_ensemble
from store.training import (
    Pair,
    RetrainingState,
    Scope,
    Which,
    latest_outcomes,
    outcomes_of_ensemble,
    retrainings,
    shadow_pairs,
    unanswered,
)

_MOVING: tuple[RetrainingState, ...] = ("accepted", "shadow", "promoted")  # its successor is on its way
_LOOKED_AT: tuple[RetrainingState, ...] = (*_MOVING, "waiting")  # or a person may have let it go on


def promote_successors(context: JobContext) -> str:
    """Move each successor on its way by one step, where it has earned it.

    Raises:
        NotLeaderError: the run was given up; nothing more was stored.
        StoreError: the database refused.
        TrialStoppedError: the run was given up within a trial; the next run tries again.
    """
    said = []
    with connect(context.dsn) as connection:
        for scope, champion in _looked_at(connection):
            tell_whether_it_serves(context, connection, scope, champion)
            for one in retrainings(connection, plant=scope.plant, states=_LOOKED_AT):
                if one.candidate is None or context.stop.is_set():
                    continue
                case = Case(
                    connection=connection,
                    context=context,
                    scope=scope,
                    champion=champion,
                    found=one,
                    version=one.candidate,
                )
                if one.state in _MOVING or _changed_while_waiting(case):
                    said.append(f"{named(scope)}: {_move(case)}")
    return "; ".join(said) or "no successor is on its way"


def _looked_at(connection: Connection) -> tuple[tuple[Scope, str], ...]:
    """Whose successors may be on their way: those of a plant whose own champion is gone are left over."""
    found, rows = scopes(connection), serving(connection)
    under_way = {one.plant for one in retrainings(connection, states=_LOOKED_AT)}
    left_over = {*rows, *under_way} - {one.plant for one, _ in found}
    champions = ((plant, champion_of(rows, plant)) for plant in sorted(left_over))
    return (*found, *((Scope(plant=plant), version) for plant, version in champions if version is not None))


def _changed_while_waiting(case: Case) -> bool:
    """Whether a person let it serve, or shadow the champion that it was judged against, or gave it up."""
    if case.found.state != "waiting":
        return False
    if case.champion == case.version:
        return True
    if _shadow_of(case) == case.version:
        return case.found.parent == case.champion
    return known_ensemble(case.connection, case.version).state in ("rejected", "retired")


def _move(case: Case) -> str:
    if case.found.state == "shadow" and _shadow_of(case) == case.version and case.found.parent != case.champion:
        return take(case, Gate(way="pass", why=(_stale(case),)), "withdrawn", {})
    by_hand = _changed_by_hand(case)
    if by_hand is not None:
        state, why = by_hand
        return keep(case, Gate(way="wait", why=(why,)), state, {})
    if case.found.state == "accepted":
        return _shadow(case)
    return _promote(case) if case.found.state == "shadow" else _watch(case)


def _changed_by_hand(case: Case) -> tuple[RetrainingState, Reason] | None:
    """What a person made of the successor meanwhile, and so how it fares; None: nothing."""
    state, at = known_ensemble(case.connection, case.version).state, case.found.state
    serves, shadows = case.champion == case.version, _shadow_of(case) == case.version
    other, judged = f"{case.champion} serves", case.found.parent == case.champion
    found: tuple[tuple[bool, RetrainingState, Reason], ...] = (
        (at == "promoted" and state == "rejected", "rolled_back", reason("by_hand", other)),
        (at == "promoted", "kept", reason("by_hand", other)),
        (serves, "promoted", reason("by_hand", "a person promoted it")),
        (state in ("rejected", "retired"), "rejected", reason("by_hand", f"it is {state}")),
        (not judged, "waiting", _stale(case)),
        (at in ("accepted", "waiting") and shadows, "shadow", reason("by_hand", "a person lets it shadow")),
        (at == "shadow" and not shadows, "waiting", reason("stale", "it shadows no more")),
    )
    if at == "promoted" and serves:
        return None
    return next(((now, why) for holds, now, why in found if holds), None)


def _stale(case: Case) -> Reason:
    return reason("stale", f"{case.champion} serves now, and it was not judged against that")


def _shadow(case: Case) -> str:
    shadows = _shadow_of(case)
    if shadows is not None:
        return keep(case, Gate(way="wait", why=(reason("place_taken", f"{shadows} shadows"),)), None, {})
    gate = _tried(case, case.version, Gate(way="pass", why=(Reason(case.found.why),)), against=case.champion)
    return take(case, gate, "shadow", case.found.judged)


def _promote(case: Case) -> str:
    promotion, since = case.context.settings.promotion, _since(case, "shadowed")
    pairs = shadow_pairs(
        case.connection,
        shadow=case.version,
        champion=case.champion,
        scope=case.scope,
        since=since,
        until=case.context.now,
    )
    seen = _seen(case, pairs, since)
    gate = shadow_gate(seen, case.context.settings)
    if gate.way == "pass" and promotion.approval:
        asked = reason("approval", f"promote it with `coilflow models promote {case.version}`")
        gate = Gate(way="wait", why=(asked, *gate.why))
    elif gate.way == "pass":
        gate = _tried(case, case.version, gate, against=case.champion)
    return take(case, gate, "promoted", asdict(seen))


def _seen(case: Case, pairs: Sequence[Pair], since: datetime) -> InShadow:
    differ = [pair for pair in pairs if pair.shadow_nok != pair.champion_nok]
    said = refusals(case.connection, case.version, case.scope, "shadow", since=since, now=case.context.now)
    return InShadow(
        coils=len(pairs),
        differ=len(differ),
        alarms_alone=sum(pair.shadow_nok and not (pair.is_nok or pair.disputed) for pair in differ),
        compared=_compared(pairs, regardless=_regardless(case)),
        refused=said.outlasted[0] if said.outlasted else None,
        refused_yet=said.refused[0] if said.refused else None,
        days=(case.context.now - since) / timedelta(days=1),
    )


def _compared(pairs: Sequence[Pair], *, regardless: bool) -> dict[str, Any] | None:
    """Both on coils with a label that say something of the line."""
    from models.weighted_pairs import Pairs, compare  # noqa: PLC0415 - scikit-learn is an optional extra

    told = [pair for pair in pairs if pair.labelled and (regardless or (pair.asked and pair.probability))]
    if not told:
        return None
    weight = [1.0 if regardless or not pair.probability else 1 / pair.probability for pair in told]
    return compare(
        Pairs(
            is_nok=np.array([pair.is_nok for pair in told]),
            champion_nok=np.array([pair.champion_nok for pair in told]),
            successor_nok=np.array([pair.shadow_nok for pair in told]),
            weight=np.array(weight),
        )
    ).as_json()


def _watch(case: Case) -> str:
    """The first coils of a new champion are watched, until all of them that were asked for have their labels.

    A later coil stands in for one that is disputed: so a dispute neither holds the watch up nor ends it on nothing.
    Where labels come without regard to verdicts, the first labelled coils are watched: no other is asked for.
    After `score.window_days` it ends with what it has seen, in a slow plant too: the coils of the champion before are
    of another time by then, and the policy looks on.
    """
    settings, now, connection, scope = case.context.settings, case.context.now, case.connection, case.scope
    most, since, regardless = settings.promotion.watch_coils, _since(case, "promoted"), _regardless(case)
    which: Which = "labelled" if regardless else "undisputed"
    decided = outcomes_of_ensemble(connection, [case.version], scope, until=now, since=since, most=most, which=which)
    back, other = champion_before(case), held_against(case)
    before = latest_outcomes(connection, other, scope, until=since, most=most, which=which) if other else ()
    gate = watch_gate(outcomes_of(decided), outcomes_of(before), settings.policy, settings.promotion)
    seen = {"watched": len(decided), "before": len(before)}
    said = refusals(connection, case.version, scope, "champion", since=since, now=now)
    if said.by_all:
        why = reason("refused_by_all", f"none of {said.live} workers serves it; {said.outlasted[0]}")
        return _roll_back(case, Gate(way="reject", why=(why,)), back, {**seen, "refused": len(said.refused)})
    if gate.way == "reject":
        return _roll_back(case, gate, back, seen)
    over = now >= since + timedelta(days=settings.score.window_days)
    enough, named_so = len(decided) >= most, "labelled coils" if regardless else "coils"
    few = reason("watched", f"{len(decided)} of {most} {named_so} judged as champion")
    if not enough and not (over and (regardless or decided)):  # a plant that stood still has shown nothing
        return keep(case, Gate(way="wait", why=(few,)), None, seen)
    if not regardless and not over:
        to_come = unanswered(connection, case.version, scope, since=since, until=decided[-1].decided_at)
        if to_come:
            why = reason("labels_to_come", f"{to_come} of the watched coils were asked for and have no label yet")
            return keep(case, Gate(way="wait", why=(why,)), None, seen)
    return keep(case, gate if enough else replace(gate, why=(*gate.why, few)), "kept", seen)


def _regardless(case: Case) -> bool:
    return case.context.settings.policy.feedback == "regardless"


def _roll_back(case: Case, gate: Gate, back: str | None, seen: dict[str, int]) -> str:
    """Go back to the champion before, and to no earlier one: nothing is known of how that would compare.

    While its files are damaged or away the new one stays, a person is told, and the next run tries again.
    """
    if back is None:  # the registry says so
        return take(case, Gate(way="pass", why=gate.why), "rolled_back", seen)
    before = held_against(case)
    how = "served before" if before == back else f"serves every plant now, and {before} served before"
    tried = _tried(case, back, gate, against=None)
    if tried is not gate:
        text = f"{back} {how}; {tried.why[0]}; restore its files, or name another by `coilflow models rollback`"
        return keep(case, Gate(way="wait", why=(reason("cannot_roll_back", text), *gate.why)), None, seen)
    why = (*gate.why, reason("back_to", f"{back}, which {how}"))
    return take(case, Gate(way="pass", why=why), "rolled_back", seen, back=back)


def _tried(case: Case, version: str, gate: Gate, *, against: str | None) -> Gate:
    """The gate; or that the ensemble fails its trial: damaged, off on its canaries, crashing, too slow; or away."""
    if automation(case.connection).frozen:  # the registry will refuse: no trial every minute
        return gate
    champion = None if against is None else known_ensemble(case.connection, against)
    try:
        stored = known_ensemble(case.connection, version)
        verify(stored, case.context.settings, against=champion, stop=case.context.stop)
    except BundleAwayError as error:
        return Gate(way="wait", why=(reason("unreachable", f"{error}; {error.remedy}"), *gate.why))
    except BundleError as error:
        return Gate(way="reject", why=(reason("trial", f"{error}; {error.remedy}"),))
    return gate


def _shadow_of(case: Case) -> str | None:
    row = serving(case.connection).get(case.scope.plant)
    return None if row is None else row.shadow


def _since(case: Case, change: ChangeKind) -> datetime:
    """When the successor last came to where it is."""
    changes = model_changes(case.connection, version=case.version, plant=case.scope.plant)
    return max((one.at for one in changes if one.change == change), default=case.found.changed_at)
