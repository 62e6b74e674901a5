"""From open coils that are due to what the database is told of them: the same for Kafka, the inbox and NiFi."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flows.assemble_due import AssembledDue, DueCoil, FragmentCoil, assemble_due, broken_coil, with_messages
from flows.served import Ensembles, Served, by_ensembles
from flows.shadows import beside, shadow_verdicts
from flows.tracing import Stepping, Timeline, stepping
from processors.assemble import NO_COILS
from processors.decide import decide
from processors.normalize import normalize
from processors.review import ask_for_review
from processors.score import Scorer, score
from schemas.coils import CoilHeader, CoilKey
from schemas.readings import readings_of
from schemas.rejects import Reject
from schemas.settings import Settings
from schemas.verdicts import Label, Verdict
from store.verdicts import Decided


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Each coil is in `decided` or in `rejects`."""

    decided: tuple[Decided, ...]
    rejects: tuple[Reject, ...]
    shadows: tuple[Decided, ...] = ()  # what shadows say of decided coils: stored with them, and counted nowhere


def judge(
    due: Sequence[DueCoil], ensembles: Ensembles, settings: Settings, *, timeline: Timeline | None = None
) -> Outcome:
    """Assemble, normalise, score and decide coils that are due: those of one ensemble in one batch.

    A silent coil that lacks its start or a face is UNDECIDED, with what there is of it, so that what comes late makes
    a revision of it. Stragglers of a coil that was refused before are refused as it was.

    Args:
        due: coils of one host, each once.
        ensembles: the models by plant; a batch is scored by one ensemble, and the same matrices by its shadow.
        settings: tolerance profiles, deadline.
        timeline: times the steps; None: nobody asks.
    """
    groups = by_ensembles(due, lambda one: one.coil.key.plant, ensembles)
    return _together([_judge_by(served, coils, settings, timeline) for served, coils in groups])


def _together(outcomes: Sequence[Outcome]) -> Outcome:
    return Outcome(
        decided=tuple(one for outcome in outcomes for one in outcome.decided),
        rejects=tuple(one for outcome in outcomes for one in outcome.rejects),
        shadows=tuple(one for outcome in outcomes for one in outcome.shadows),
    )


def _judge_by(served: Served, due: Sequence[DueCoil], settings: Settings, timeline: Timeline | None) -> Outcome:
    step = stepping(timeline, [one.coil.key for one in due])
    if timeline is not None:
        served = replace(served, champion=timeline.timed(served.champion))
    with step("assemble"):
        built = assemble_due(due, settings)
    fragments = [_fragment(one, served.champion, settings) for one in built.fragments]
    judged = _judge_whole(built, {one.coil.key: one for one in due}, served, settings, step)
    return replace(judged, decided=(*fragments, *judged.decided))


def judge_each(
    due: Sequence[DueCoil], ensembles: Ensembles, settings: Settings, *, timeline: Timeline | None = None
) -> Outcome:
    """`judge`, where a coil that a step breaks on is refused alone and does not stop the line."""
    try:
        return judge(due, ensembles, settings, timeline=timeline)
    except Exception as error:  # noqa: BLE001 - whatever it is, it would come again with every re-read
        if len(due) == 1:
            return Outcome(decided=(), rejects=(broken_coil(due[0], "score", error),))
    return _together([judge_each([one], ensembles, settings, timeline=timeline) for one in due])


def _judge_whole(
    built: AssembledDue, by_key: Mapping[CoilKey, DueCoil], served: Served, settings: Settings, step: Stepping
) -> Outcome:
    ensemble, assembled = served.champion, built.whole
    with step("normalize"):
        normalized = normalize(assembled.coils, ensemble.limits)
    with step("score"):
        scored = score(normalized.batch, ensemble, place="stream")
    with step("decide"):
        decided = decide(
            scored.batch,
            scored.scores,
            profiles=settings.tolerance_profiles,
            customer_profiles=settings.customer_profiles,
            place="stream",
        )
    row_of = {header.key: row for row, header in enumerate(assembled.coils.headers)}
    done = []
    for verdict in decided.verdicts:
        row = row_of[verdict.key]
        header = assembled.coils.headers[row]
        asked = ask_for_review(verdict, settings.review)
        done.append(_decided(asked, header, readings_of(assembled.coils, row), by_key[verdict.key]))
    said = shadow_verdicts(served.shadow, scored.batch, settings)
    refused = normalized.rejects + scored.rejects + decided.rejects
    return Outcome(
        decided=tuple(done),
        rejects=(*assembled.rejects, *(with_messages(reject, by_key) for reject in refused)),
        shadows=tuple(one for champion in done for one in beside(champion, said)),
    )


def _decided(verdict: Verdict, header: CoilHeader, readings: bytes, one: DueCoil) -> Decided:
    return Decided(
        verdict=verdict,
        readings=readings,
        order=header.order,
        started_at=header.started_at,
        truth=None,
        rows_per_face=one.coil.rows_per_face,
        log=one.log,
    )


def _fragment(one: FragmentCoil, ensemble: Scorer, settings: Settings) -> Decided:
    batch = one.coils
    header = batch.headers[0]
    verdict = fragment_verdict(header.key, batch.revisions[0], header.reasons, ensemble, settings)
    return replace(_decided(verdict, header, readings_of(batch, 0), one.due), order=one.order)


def fragment_verdict(
    key: CoilKey, revision: str, reasons: Sequence[str], ensemble: Scorer, settings: Settings
) -> Verdict:
    """UNDECIDED, on a silent coil that lacks its start or a face: there is nothing to score.

    Args:
        key: of the coil.
        revision: of what there is of it.
        reasons: why it is a fragment.
        ensemble: whose coil it is: its version and threshold stand in the verdict.
        settings: of the draw for review.
    """
    scores = ensemble.score(normalize(NO_COILS, ensemble.limits).batch)  # nothing can be scored: version and threshold
    verdict = Verdict(
        key=key,
        revision=revision,
        label=Label.UNDECIDED,
        p_nok=float("nan"),
        threshold=scores.threshold,
        ensemble_version=scores.ensemble_version,
        members=(),
        observed=0.0,
        reasons=tuple(reasons),
    )
    return ask_for_review(verdict, settings.review)
