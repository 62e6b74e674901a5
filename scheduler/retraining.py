"""The job `retrain`: what slips gets a successor, trained apart, judged on coils that nobody learnt from.

What it registers is a candidate, and nothing more: whether that comes to serve is for `scheduler.promotion`.
"""

import time
from dataclasses import asdict

from flows.bundle_store import local_copy, read_folder
from flows.retrain_process import clean
from flows.split import place_of
from scheduler.evidence import Evidence
from scheduler.gather import Gathered, gather, scopes
from scheduler.jobs import JobContext
from scheduler.policy import Decision, decide
from scheduler.training_run import Attempt, named, train
from schemas.errors import BundleError
from schemas.settings import Settings
from store.connection import Connection, connect
from store.decisions import record_decision
from store.leadership import fenced
from store.training import begin_retraining, lose_retrainings

_PARTS = ("holdout", "validation", "training")


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
    attempt = Attempt(
        context=context,
        gathered=gathered,
        retraining_id=retraining_id,
        members=names,
        must=not whole,
        most_s=max(0.0, settings.retrain.most_seconds - (time.monotonic() - begun_s)),
        begun_s=time.monotonic(),
    )
    return train(connection, attempt)


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
        context.job,
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
