"""One attempt at a successor: coils are written out, a process trains on them, and what comes of it is registered."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import structlog

from flows.bundle_store import local_copy
from flows.change_models import model_destinations, new_ensemble
from flows.drift import reference_from_database
from flows.retrain_order import Order
from flows.retrain_process import (
    FOLDER,
    Trained,
    TrainingFailedError,
    TrainingKilledError,
    train_apart,
)
from flows.snapshot import write_snapshot
from models.ensemble import load_ensemble
from models.features import FOLDER as FEATURES
from models.reference import write_reference
from scheduler.gates import Gate, holdout_gate
from scheduler.gather import Gathered
from scheduler.jobs import JobContext
from scheduler.reasons import Code, reason
from schemas.errors import (
    BundleError,
    NotLeaderError,
    RegistryError,
    SourceError,
    StoreError,
    StoreUnavailableError,
)
from store.alarms import clear_alarm, raise_alarm
from store.connection import Connection
from store.decisions import record_decision
from store.drift import plants_with_coils
from store.leadership import fenced
from store.registered import serving
from store.registry import register_ensemble, reject
from store.registry_steps import Actor
from store.training import (
    Scope,
    Settled,
    StoredSnapshot,
    end_retraining,
    record_snapshot,
    retrainings,
    set_retraining,
)

TRAINING_FAILED, WAITS_FOR_PERSON = "retraining_failed", "successor_waits"
_STATES: Mapping[str, Settled] = {"pass": "accepted", "wait": "waiting", "reject": "rejected"}
_CODES: Mapping[Literal["failed", "killed"], Code] = {"failed": "training_failed", "killed": "training_killed"}
_REFERENCE_COILS = 1000  # of a plant, the latest
_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
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


def named(scope: Scope) -> str:
    """Whose coils, for people and as a subject."""
    return scope.plant or "every plant"


def successor_at(scope: Scope, version: str) -> str:
    """A successor and whose coils it is for: what is decided and told of it, and of no other, has that subject."""
    return f"{named(scope)}: successor {version}"


def train(connection: Connection, attempt: Attempt) -> str:
    """Train a successor apart, and register it as a candidate with what it showed on the holdout.

    Returns:
        What came of it, for people.

    Raises:
        NotLeaderError: the run was given up; nothing of it was stored, and the next run settles the attempt.
        StoreError: the database refused.
    """
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
    except (NotLeaderError, StoreUnavailableError):
        raise
    except StoreError as error:  # what was trained cannot be registered, and would not be the next time
        return _ended(connection, attempt, "failed", f"{error}; {error.remedy}", snapshot)


def _order(attempt: Attempt, champion: Path, snapshot: StoredSnapshot) -> Order:
    settings = attempt.context.settings
    return Order(
        champion=champion,
        snapshot=settings.data_dir / snapshot.location,
        members=attempt.members,
        must=attempt.must,
        how=settings.retrain.how,
        holdout_share=settings.retrain.holdout_share,
        regardless=settings.policy.feedback == "regardless",
        combine=settings.combine,
        seed=attempt.retraining_id,
        out=settings.data_dir / FOLDER / str(attempt.retraining_id),
        cache=settings.data_dir / FEATURES,
        profiles=settings.tolerance_profiles,
    )


def _register(connection: Connection, attempt: Attempt, snapshot: StoredSnapshot, trained: Trained, gate: Gate) -> str:
    """Register the successor with what it showed, in one transaction under the leader's epoch."""
    context, scope = attempt.context, attempt.gathered.scope
    told: dict[str, Any] = {"compared": trained.compared, "trained": trained.trained, "kept": trained.kept}
    told["reference"] = _give_reference(connection, context, scope, trained.folder)
    new = new_ensemble(
        trained.folder,
        context.settings,
        plant=scope.plant,
        parent=attempt.gathered.champion.version,
        snapshot_digest=snapshot.digest,
    )
    version, now = new.manifest.version, attempt.now()
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
            context.job,
            at=now,
            subject=successor_at(scope, version),
            act=gate.way == "pass",
            why=gate.why,
            evidence=told,
        )
        if gate.way == "reject":
            _reject(connection, context, version, "; ".join(gate.why), now)
        if gate.way == "wait":
            text = f"successor {version} waits for a person: {gate.why[0]}; `coilflow models show {version}`"
            raise_alarm(connection, WAITS_FOR_PERSON, successor_at(scope, version), text=text, now=now)
        clear_alarm(connection, TRAINING_FAILED, named(scope), now=now)
    return f"successor {version}, {_STATES[gate.way]}: {gate.why[0]}"


def _give_reference(connection: Connection, context: JobContext, scope: Scope, folder: Path) -> str:
    """Keep with a successor what coils look like now, for drift to be told from that; returns of which coils."""
    settings, until = context.settings, context.now
    after = until - timedelta(days=settings.score.window_days)
    found = plants_with_coils(connection, after=after, until=until)
    plants = [plant for plant in found if plant not in scope.others and scope.plant in ("", plant)]
    try:
        successor = load_ensemble(folder, threads=1)
        reference = reference_from_database(
            connection, successor, after=after, until=until, coils=_REFERENCE_COILS, plants=plants
        )
    except SourceError as error:
        return f"none: {error}"
    write_reference(folder, reference)
    return reference.source


def _supersede(connection: Connection, context: JobContext, scope: Scope, version: str, now: datetime) -> None:
    """A candidate that waits for a person waits no longer once there is a newer one, unless a person took it up."""
    taken_up = {name for row in serving(connection).values() for name in (row.champion, row.shadow)}
    for one in retrainings(connection, plant=scope.plant):
        waits = one.state == "waiting" and one.candidate not in (None, version, *taken_up)
        if waits and one.candidate is not None:
            why = reason("superseded", f"by {version}, which learnt from newer labels")
            _reject(connection, context, one.candidate, why, now)
            set_retraining(connection, one.retraining_id, "rejected", why=why, at=now)
            clear_alarm(connection, WAITS_FOR_PERSON, successor_at(scope, one.candidate), now=now)


def _reject(connection: Connection, context: JobContext, version: str, why: str, now: datetime) -> None:
    """Reject a candidate; where a person has changed it meanwhile, or has frozen everything, it stays as it is."""
    try:
        reject(connection, version, actor(context, why, now))
    except RegistryError as error:
        _log.info("a candidate stays as it is", ensemble=version, reason=str(error))


def _ended(
    connection: Connection,
    attempt: Attempt,
    state: Literal["failed", "killed"],
    why: str,
    snapshot: StoredSnapshot | None,
) -> str:
    context, scope, now = attempt.context, attempt.gathered.scope, attempt.now()
    with fenced(connection, context.attempt_id):
        if snapshot is not None:
            record_snapshot(connection, snapshot)
        digest = None if snapshot is None else snapshot.digest
        end_retraining(connection, attempt.retraining_id, state, why=why, at=now, snapshot=digest)
        subject = f"{named(scope)}: ensemble {attempt.gathered.champion.version}"
        told = (reason(_CODES[state], why),)
        record_decision(connection, context.job, at=now, subject=subject, act=False, why=told, evidence={})
        text = f"no successor of {attempt.gathered.champion.version} could be trained: {why}"
        raise_alarm(connection, TRAINING_FAILED, named(scope), text=text, now=now)
    return f"training {state}: {why}"


def actor(context: JobContext, why: str, now: datetime) -> Actor:
    """The job as one who changes what serves, which a freeze stops."""
    return Actor(who=context.job, why=why, at=now, automatic=True, announce=model_destinations(context.settings))
