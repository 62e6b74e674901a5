"""From open coils that are due to what the database is told of them: the same for Kafka, the inbox and NiFi."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from flows.served import Ensembles, Served, by_ensembles
from flows.shadows import beside, shadow_verdicts
from processors.assemble import NO_COILS
from processors.chunks import coils_from_events, fragment
from processors.decide import decide
from processors.normalize import normalize
from processors.open_coils import OpenCoil
from processors.review import ask_for_review
from processors.score import Scorer, score
from schemas.coils import CoilHeader, CoilKey
from schemas.errors import CoilflowError
from schemas.readings import readings_of
from schemas.rejects import LogPlace, Reject
from schemas.settings import Settings
from schemas.verdicts import Label, Verdict
from store.verdicts import Decided

log = structlog.get_logger("coilflow.judge")


@dataclass(frozen=True, kw_only=True, slots=True)
class DueCoil:
    """An open coil that is decided now."""

    coil: OpenCoil
    place: str  # of its messages, for people
    silent: bool  # it passed its deadline without an end
    log: LogPlace | None  # its last message; None where it did not come from Kafka


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Each coil is in `decided` or in `rejects`."""

    decided: tuple[Decided, ...]
    rejects: tuple[Reject, ...]
    shadows: tuple[Decided, ...] = ()  # what shadows say of decided coils: stored with them, and counted nowhere


def judge(due: Sequence[DueCoil], ensembles: Ensembles, settings: Settings) -> Outcome:
    """Assemble, normalise, score and decide coils that are due: those of one ensemble in one batch.

    A silent coil that lacks its start or a face is UNDECIDED, with what there is of it, so that what comes late makes
    a revision of it. Stragglers of a coil that was refused before are refused as it was.

    Args:
        due: coils of one host, each once.
        ensembles: the models by plant; a batch is scored by one ensemble, and the same matrices by its shadow.
        settings: tolerance profiles, deadline.
    """
    groups = by_ensembles(due, lambda one: one.coil.key.plant, ensembles)
    return _together([_judge_by(served, coils, settings) for served, coils in groups])


def _together(outcomes: Sequence[Outcome]) -> Outcome:
    return Outcome(
        decided=tuple(one for outcome in outcomes for one in outcome.decided),
        rejects=tuple(one for outcome in outcomes for one in outcome.rejects),
        shadows=tuple(one for outcome in outcomes for one in outcome.shadows),
    )


def _judge_by(served: Served, due: Sequence[DueCoil], settings: Settings) -> Outcome:
    fragments, whole = [], []
    for one in due:
        partial = one.silent and one.coil.is_fragment and not one.coil.is_straggler
        part = _fragment(one, served.champion, settings) if partial else None
        if part is None:
            whole.append(one)
        else:
            fragments.append(part)
    judged = _judge_whole(whole, served, settings)
    return replace(judged, decided=(*fragments, *judged.decided))


def judge_each(due: Sequence[DueCoil], ensembles: Ensembles, settings: Settings) -> Outcome:
    """`judge`, where a coil that a step breaks on is refused alone and does not stop the line."""
    try:
        return judge(due, ensembles, settings)
    except Exception as error:  # noqa: BLE001 - whatever it is, it would come again with every re-read
        if len(due) == 1:
            return Outcome(decided=(), rejects=(_broken(due[0], error),))
    return _together([judge_each([one], ensembles, settings) for one in due])


def _broken(one: DueCoil, error: Exception) -> Reject:
    known = isinstance(error, CoilflowError)
    if not known:
        log.error("a step breaks on a coil", **one.coil.key._asdict(), exc_info=error)
    return Reject(
        step="score",
        place=one.place,
        key=one.coil.key,
        error=str(error) if known else f"unexpected {type(error).__name__}: {error}",
        remedy=error.remedy if isinstance(error, CoilflowError) else "report what the log shows, then replay it",
        original=one.coil.original(),
        log=one.log,
    )


def _judge_whole(due: Sequence[DueCoil], served: Served, settings: Settings) -> Outcome:
    ensemble = served.champion
    by_key = {one.coil.key: one for one in due}
    assembled = coils_from_events(
        [one.coil.events_so_far(place=one.place, rules=settings.stream, silent=one.silent) for one in due]
    )
    normalized = normalize(assembled.coils, ensemble.limits)
    scored = score(normalized.batch, ensemble, place="stream")
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
    refused = assembled.rejects + normalized.rejects + scored.rejects + decided.rejects
    return Outcome(
        decided=tuple(done),
        rejects=tuple(_with_messages(reject, by_key) for reject in refused),
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


def _with_messages(reject: Reject, by_key: dict[CoilKey, DueCoil]) -> Reject:
    """A step refuses what it was given; what is kept is what came."""
    if reject.key is None:
        return reject
    one = by_key[reject.key]
    return replace(reject, place=one.place, original=one.coil.original(), log=one.log)


def _fragment(one: DueCoil, ensemble: Scorer, settings: Settings) -> Decided | None:
    found = fragment(one.coil.events_so_far(place=one.place, rules=settings.stream, silent=True))
    if found is None:
        return None
    batch, order = found
    scores = ensemble.score(normalize(NO_COILS, ensemble.limits).batch)  # nothing can be scored: version and threshold
    verdict = Verdict(
        key=one.coil.key,
        revision=batch.revisions[0],
        label=Label.UNDECIDED,
        p_nok=float("nan"),
        threshold=scores.threshold,
        ensemble_version=scores.ensemble_version,
        members=(),
        observed=0.0,
        reasons=batch.headers[0].reasons,
    )
    asked = ask_for_review(verdict, settings.review)
    decided = _decided(asked, batch.headers[0], readings_of(batch, 0), one)
    return replace(decided, order=order)
