"""The job `retrain`: what slips gets a successor, trained apart, judged on coils that nobody learnt from.

What it registers is a candidate, and nothing more: whether that comes to serve is for `scheduler.promotion`.
"""

import time

from flows.retrain_process import clean
from scheduler.deciding import About, decide_all, each, evidence_of
from scheduler.gather import Gathered, gather, scopes
from scheduler.jobs import JobContext
from scheduler.training_run import Attempt, named, train
from store.connection import Connection, connect
from store.decisions import record_decision
from store.leadership import fenced
from store.training import begin_retraining, lose_retrainings


def retrain(context: JobContext) -> str:
    """Decide on every serving version whether it gets a successor, and train the successors that are due.

    Every decision is kept, to act or not. An attempt that fails is kept too, raises an alarm and counts as the last
    attempt; one that was lost with its scheduler does not.

    Raises:
        NotLeaderError: the run was given up; nothing more was stored.
        StoreError: the database refused.
    """
    said, begun_s = [], time.monotonic()
    with connect(context.dsn) as connection:
        with fenced(connection, context.attempt_id):
            lose_retrainings(connection, attempt_id=context.attempt_id, at=context.now)
            clean(context.settings.data_dir)  # here alone is it sure that no other leader trains in it
        for scope, champion in scopes(connection):
            if context.stop.is_set():
                break
            gathered = gather(connection, scope, champion, context.settings, now=context.now)
            said.append(f"{named(scope)}: {_decide_and_train(connection, context, gathered, begun_s)}")
    return "; ".join(said) or "nothing serves yet"


def _decide_and_train(connection: Connection, context: JobContext, gathered: Gathered, begun_s: float) -> str:
    settings, now = context.settings, context.now
    decided = decide_all(gathered, settings, now)
    whole, acting = decided.ensemble.act, decided.acting
    names = tuple(sorted({member.model for member in (gathered.members if whole else acting)}))
    why = (*decided.ensemble.why, *(f"{m.model} {m.version}: {w}" for m in acting for w in decided.members[m].why))
    with fenced(connection, context.attempt_id):
        for about in each(gathered, decided):
            _keep(connection, context, about, decided.lacking)
        if not decided.acts:
            return "no successor is due" if not decided.lacking else f"no successor: {decided.lacking[0]}"
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


def _keep(connection: Connection, context: JobContext, about: About, lacking: tuple[str, ...]) -> None:
    """Keep what the policy says of one version; what is lacking holds back whatever it says."""
    decision = about.decision
    act, why = decision.act and not lacking, (*decision.why, *(lacking if decision.act else ()))
    record_decision(
        connection,
        context.job,
        at=context.now,
        subject=about.subject,
        act=act,
        why=why or ("nothing is known of it",),
        evidence=evidence_of(about),
    )
