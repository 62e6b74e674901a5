"""The job `score`: how good every version was over the last days, of what people have said since.

A score that changed may be a version that slips: the policy looks at once, tells it, and asks for the job `retrain`
where a successor is due, which else would wait for its day.
"""

from flows.score_models import keep_scores, reckon_scores
from scheduler.deciding import About, decide_all, each, evidence_of
from scheduler.gather import gather, scopes
from scheduler.jobs import JobContext
from scheduler.policy import sure_of
from scheduler.reasons import reason
from scheduler.watch import settle
from store.connection import Connection, connect
from store.decisions import record_decision
from store.leadership import fenced
from store.requests import request_pending
from store.training import last_codes

SLIPPED = "model_slipped"


def score(context: JobContext) -> str:
    """Reckon the scores of all versions again, keep those that changed, and look whether what serves slips.

    Raises:
        NotLeaderError: the run was given up; nothing more was stored.
        StoreError: the database refused.
    """
    with connect(context.dsn) as connection:
        # Not within the fence: a transaction that stands still there is ended, and a take-over would wait for it.
        reckoned = reckon_scores(connection, context.settings, context.now)
        with fenced(connection, context.attempt_id):
            changed = keep_scores(connection, reckoned)
        slipped = _look(connection, context) if changed else ()
    return f"{len(changed)} scores changed" + (f"; slipped: {', '.join(slipped)}" if slipped else "")


def _look(connection: Connection, context: JobContext) -> tuple[str, ...]:
    """Look at what serves, and return the subjects that slip."""
    settings, now, slipped = context.settings, context.now, dict[str, str]()
    for scope, champion in scopes(connection):
        if context.stop.is_set():
            return tuple(slipped)
        gathered = gather(connection, scope, champion, settings, now=now)
        decided = decide_all(gathered, settings, now)
        with fenced(connection, context.attempt_id):
            for about in each(gathered, decided):
                if _slips(about):
                    slipped[about.subject] = told(about)
                _keep(connection, context, about, decided.lacking)
            if decided.acts:
                why = "; ".join(slipped[about.subject] for about in each(gathered, decided) if about.decision.act)
                request_pending(connection, "retrain", who="policy", why=why, now=now)
    with fenced(connection, context.attempt_id):
        settle(connection, SLIPPED, slipped, now=now)
    return tuple(slipped)


def _slips(about: About) -> bool:
    """By the plant's rule, and surely."""
    decision = about.decision
    return decision.eligible and any(check.established_at is not None for check in decision.checks)


def told(about: About) -> str:
    """What the alarm says of a version that slips."""
    sure = "; ".join(sure_of(about.decision.checks))
    return f"{about.subject} has slipped: {sure}; see `coilflow scheduler why score`"


def _keep(connection: Connection, context: JobContext, about: About, lacking: tuple[str, ...]) -> None:
    """Keep a decision where it is another than the last one: figures change with every word, and minds do not."""
    decision = about.decision
    act = decision.act and not lacking
    if _slips(about):
        found = reason("slipped", "a figure is established to be out of its bounds")
    elif decision.eligible:
        found = reason("out_of_bounds", "over the window, and not established to be")
    else:
        found = reason("stands", "nothing speaks for a successor")
    last = last_codes(connection, context.job, about.subject)
    if last is None or (last[0], last[1][0]) != (act, found.partition(":")[0]):
        record_decision(
            connection,
            context.job,
            at=context.now,
            subject=about.subject,
            act=act,
            why=(found, *decision.why, *(lacking if decision.act else ())),
            evidence=evidence_of(about),
        )
