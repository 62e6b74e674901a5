"""The job `retrain`: what slips gets a successor, trained apart, judged on coils that nobody learnt from.

What it registers is a candidate, and nothing more: whether that comes to serve is for `scheduler.promotion`.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from flows.bundle_store import local_copy, read_folder
from flows.change_models import model_destinations, new_ensemble
from flows.retrain_order import Order
from flows.retrain_process import (
    FOLDER,
    Trained,
    TrainingFailedError,
    TrainingKilledError,
    clean,
    train_apart,
)
from flows.snapshot import write_snapshot
from flows.split import place_of
from scheduler.evidence import Evidence
from scheduler.gates import Gate, holdout_gate
from scheduler.gather import Gathered, gather, scopes
from scheduler.jobs import JobContext
from scheduler.policy import Decision, decide
from schemas.errors import BundleError, RegistryError, SourceError
from schemas.settings import Settings
from store.alarms import clear_alarm, raise_alarm
from store.connection import Connection, connect
from store.decisions import record_decision
from store.leadership import fenced
from store.registry import register_ensemble, reject
from store.registry_steps import Actor
from store.training import (
    Scope,
    Settled,
    StoredSnapshot,
    begin_retraining,
    end_retraining,
    lose_retrainings,
    record_snapshot,
    retrainings,
    set_retraining,
)

JOB = "retrain"
TRAINING_FAILED, WAITS_FOR_PERSON = "retraining_failed", "successor_waits"
_FEATURES = "features"  # below the data folder
_STATES: Mapping[str, Settled] = {"pass": "accepted", "wait": "waiting", "reject": "rejected"}
_PARTS = ("holdout", "validation", "training")
_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Attempt:
    """One under way."""

    context: JobContext
    gathered: Gathered
    retraining_id: int
    members: tuple[str, ...]
    must: bool
    most_s: float  # for training
    begun_s: float  # monotonic

    def now(self) -> datetime:
        """The time of the scheduler's clock that has passed meanwhile."""
        return self.context.now + timedelta(seconds=time.monotonic() - self.begun_s)


def retrain(context: JobContext) -> str:
    """Decide on every serving version whether it gets a successor, and train the successors that are due.

    Every decision is kept, to act or not. An attempt that fails is kept too, raises an alarm and counts as the last
    attempt; one that was lost with its scheduler does not.

    Raises:
        NotLeaderError: the run was given up; nothing more was stored.
        StoreError: the database refused.
    """
    clean(context.settings.data_dir)
    said, begun_s = [], time.monotonic()
    with connect(context.dsn) as connection:
        with fenced(connection, context.attempt_id):
            lose_retrainings(connection, attempt_id=context.attempt_id, at=context.now)
        for scope, champion in scopes(connection):
            if context.stop.is_set():
                break
            gathered = gather(connection, scope, champion, context.settings, now=context.now)
            said.append(f"{named(scope)}: {_decide_and_train(connection, context, gathered, begun_s)}")
    return "; ".join(said) or "nothing serves yet"


def named(scope: Scope) -> str:
    """Whose coils, for people and as a subject."""
    return scope.plant or "every plant"


def _decide_and_train(connection: Connection, context: JobContext, gathered: Gathered, begun_s: float) -> str:
    settings, now = context.settings, context.now
    ensemble = decide(gathered.ensemble, settings.policy, now)
    members = {member: decide(one, settings.policy, now) for member, one in gathered.members.items()}
    acting = [member for member, decision in members.items() if decision.act]
    whole = ensemble.act
    lacking = _lacking(gathered, settings) if whole or acting else ()
    acts = (whole or bool(acting)) and not lacking
    names = tuple(sorted({member.model for member in (gathered.members if whole else acting)}))
    why = (*ensemble.why, *(f"{m.model} {m.version}: {w}" for m in acting for w in members[m].why)) if acts else ()
    with fenced(connection, context.attempt_id):
        subject = f"{named(gathered.scope)}: ensemble {gathered.champion.version}"
        _keep(connection, context, subject, ensemble, gathered.ensemble, lacking)
        for member, decision in members.items():
            subject = f"{named(gathered.scope)}: {member.model} {member.version}"
            _keep(connection, context, subject, decision, gathered.members[member], lacking)
        if not acts:
            return "no successor is due" if not lacking else f"no successor: {lacking[0]}"
        retraining_id = begin_retraining(
            connection,
            plant=gathered.scope.plant,
            members=names,
            how=settings.retrain.how,
            parent=gathered.champion.version,
            why="; ".join(why),
            attempt_id=context.attempt_id,
            epoch=context.epoch,
            at=now,
        )
    attempt = _Attempt(
        context=context,
        gathered=gathered,
        retraining_id=retraining_id,
        members=names,
        must=not whole,
        most_s=max(0.0, settings.retrain.most_seconds - (time.monotonic() - begun_s)),
        begun_s=time.monotonic(),
    )
    return _train(connection, attempt)


def _keep(
    connection: Connection,
    context: JobContext,
    subject: str,
    decision: Decision,
    evidence: Evidence,
    lacking: tuple[str, ...],
) -> None:
    """Keep what the policy says of one version; what is lacking holds back whatever it says."""
    told = {
        "checks": [asdict(check) for check in decision.checks],
        "score": asdict(evidence.score),
        "labelled": evidence.labelled,
        "labelled_nok": evidence.labelled_nok,
        "new_labelled": evidence.new_labelled,
        "eligible": decision.eligible,
        "may_act_from": decision.may_act_from.isoformat(),
    }
    act, why = decision.act and not lacking, (*decision.why, *(lacking if decision.act else ()))
    record_decision(
        connection,
        JOB,
        at=context.now,
        subject=subject,
        act=act,
        why=why or ("nothing is known of it",),
        evidence=told,
    )


def _lacking(gathered: Gathered, settings: Settings) -> tuple[str, ...]:
    """Which part of the coils to learn from lacks a label, by the draw that divides them; else training would fail."""
    try:
        champion = read_folder(local_copy(gathered.champion, settings))
    except BundleError as error:
        return (f"the champion's files: {error}; {error.remedy}",)
    validation = min(float(member.training.spec.get("validation_share", 0)) for member in champion.members)
    counts = {(part, label): 0 for part in _PARTS for label in ("OK", "NOK")}
    for coil in gathered.coils:
        place = place_of(coil.key.coil_id)
        held, validates = place < settings.retrain.holdout_share, place >= 1 - validation
        counts["holdout" if held else "validation" if validates else "training", coil.label] += 1
    return tuple(
        f"the {part} part of {len(gathered.coils)} labelled coils has no {label} coil"
        for (part, label), count in counts.items()
        if not count
    )


def _train(connection: Connection, attempt: _Attempt) -> str:
    context, gathered, settings = attempt.context, attempt.gathered, attempt.context.settings
    snapshot: StoredSnapshot | None = None
    try:
        champion = local_copy(gathered.champion, settings)
        snapshot = write_snapshot(
            connection,
            gathered.coils,
            settings.data_dir,
            scope=gathered.scope,
            limits=gathered.champion.manifest.limits,
            holdout_share=settings.retrain.holdout_share,
            until=context.now,
        )
        trained = train_apart(
            _order(attempt, champion, snapshot), settings.retrain, context.stop, most_s=attempt.most_s
        )
        gate = holdout_gate(trained.compared, settings)
        return _register(connection, attempt, snapshot, trained, gate)
    except (BundleError, SourceError, TrainingFailedError) as error:
        return _ended(connection, attempt, "failed", f"{error}; {error.remedy}", snapshot)
    except TrainingKilledError as error:
        return _ended(connection, attempt, "killed", f"{error}; {error.remedy}", snapshot)


def _order(attempt: _Attempt, champion: Path, snapshot: StoredSnapshot) -> Order:
    settings = attempt.context.settings
    return Order(
        champion=champion,
        snapshot=settings.data_dir / snapshot.location,
        members=attempt.members,
        must=attempt.must,
        how=settings.retrain.how,
        holdout_share=settings.retrain.holdout_share,
        regardless=settings.policy.feedback == "regardless",
        seed=attempt.retraining_id,
        out=settings.data_dir / FOLDER / str(attempt.retraining_id),
        cache=settings.data_dir / _FEATURES,
        profiles=settings.tolerance_profiles,
    )


def _register(connection: Connection, attempt: _Attempt, snapshot: StoredSnapshot, trained: Trained, gate: Gate) -> str:
    """Register the successor with what it showed, in one transaction under the leader's epoch."""
    context, scope = attempt.context, attempt.gathered.scope
    new = new_ensemble(
        trained.folder,
        context.settings,
        plant=scope.plant,
        parent=attempt.gathered.champion.version,
        snapshot_digest=snapshot.digest,
    )
    version, now = new.manifest.version, attempt.now()
    told: dict[str, Any] = {"compared": trained.compared, "trained": trained.trained, "kept": trained.kept}
    with fenced(connection, context.attempt_id):
        register_ensemble(connection, new, actor(context, f"trained on {snapshot.coils} labelled coils", now))
        record_snapshot(connection, snapshot)
        _supersede(connection, context, scope, version, now)
        end_retraining(
            connection,
            attempt.retraining_id,
            _STATES[gate.way],
            why="; ".join(gate.why),
            at=now,
            snapshot=snapshot.digest,
            candidate=version,
            judged=told,
        )
        record_decision(
            connection,
            JOB,
            at=now,
            subject=f"{named(scope)}: successor {version}",
            act=gate.way == "pass",
            why=gate.why,
            evidence=told,
        )
        if gate.way == "reject":
            _reject(connection, context, version, "; ".join(gate.why), now)
        if gate.way == "wait":
            text = f"successor {version} waits for a person: {gate.why[0]}; `coilflow models show {version}`"
            raise_alarm(connection, WAITS_FOR_PERSON, named(scope), text=text, now=now)
        else:
            clear_alarm(connection, WAITS_FOR_PERSON, named(scope), now=now)
        clear_alarm(connection, TRAINING_FAILED, named(scope), now=now)
    return f"successor {version}, {_STATES[gate.way]}: {gate.why[0]}"


def _supersede(connection: Connection, context: JobContext, scope: Scope, version: str, now: datetime) -> None:
    """A candidate that waits for a person waits no longer once there is a newer one."""
    for one in retrainings(connection, plant=scope.plant):
        if one.state == "waiting" and one.candidate is not None and one.candidate != version:
            why = f"superseded: by {version}, which learnt from newer labels"
            _reject(connection, context, one.candidate, why, now)
            set_retraining(connection, one.retraining_id, "rejected", why=why, at=now)


def _reject(connection: Connection, context: JobContext, version: str, why: str, now: datetime) -> None:
    """Reject a candidate; where a person has changed it meanwhile, or has frozen everything, it stays as it is."""
    try:
        reject(connection, version, actor(context, why, now))
    except RegistryError as error:
        _log.info("a candidate stays as it is", ensemble=version, reason=str(error))


def _ended(connection: Connection, attempt: _Attempt, state: Settled, why: str, snapshot: StoredSnapshot | None) -> str:
    context, scope, now = attempt.context, attempt.gathered.scope, attempt.now()
    with fenced(connection, context.attempt_id):
        if snapshot is not None:
            record_snapshot(connection, snapshot)
        digest = None if snapshot is None else snapshot.digest
        end_retraining(connection, attempt.retraining_id, state, why=why, at=now, snapshot=digest)
        subject = f"{named(scope)}: ensemble {attempt.gathered.champion.version}"
        record_decision(
            connection, JOB, at=now, subject=subject, act=False, why=(f"training_{state}: {why}",), evidence={}
        )
        text = f"no successor of {attempt.gathered.champion.version} could be trained: {why}"
        raise_alarm(connection, TRAINING_FAILED, named(scope), text=text, now=now)
    return f"training {state}: {why}"


def actor(context: JobContext, why: str, now: datetime) -> Actor:
    """The job as one who changes what serves, which a freeze stops."""
    return Actor(who=context.job, why=why, at=now, automatic=True, announce=model_destinations(context.settings))
