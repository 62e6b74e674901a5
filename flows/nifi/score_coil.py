"""ScoreCoil: matrices in, verdicts out; the ensembles are those that the registry names, swapped while it runs."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from flows.judge import fragment_verdict
from flows.nifi.database import database_of
from flows.nifi.original import original_of
from flows.nifi.outcome import ENSEMBLE, batch_attributes, label_attributes
from flows.nifi.properties import settings_from
from flows.nifi.step import SUCCESS, Properties, StepResult
from flows.nifi.verdicts import verdict_rows
from flows.served import Current, Ensembles, Served, by_ensembles
from flows.serving import following
from flows.shadows import beside, shadow_verdicts
from processors.decide import decide
from processors.review import ask_for_review
from processors.score import score
from schemas.coils import CoilKey, Limits, Order
from schemas.errors import CoilflowError, SourceError, UsageError
from schemas.matrices import MATRIX_BATCH, keys_of
from schemas.nifi_batches import MATRICES, NifiBatch, keys_of_rejects, read_batch, write_batch
from schemas.rejects import Reject
from schemas.settings import Settings
from schemas.verdicts import Verdict
from store.verdicts import Decided

log = structlog.get_logger("coilflow.nifi")

_PLACE = "NiFi"


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Each coil is in `decided`, with its last event of the inbox, or in `rejects`."""

    decided: tuple[Decided, ...] = ()
    inbox_ids: tuple[int | None, ...] = ()
    shadows: tuple[Decided, ...] = ()  # of decided coils
    rejects: tuple[Reject, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreCoil:
    """The step, while ensembles come and go."""

    current: Current
    settings: Settings
    held: ExitStack = field(default_factory=ExitStack)  # what follows the registry

    def run(self, content: bytes, attributes: Mapping[str, str]) -> StepResult:
        """Judge the coils of a FlowFile, those of one plant by one ensemble.

        Raises:
            SourceError: the content is no batch of matrices.
            UsageError: NormalizeCoil has other limits than what serves: none of its coils is refused for that.
        """
        given = read_batch("matrices", content)
        ensembles = self.current()
        _refuse_other_limits(given.rows, ensembles.every_plant.champion.limits)
        judged = judge_rows(given.rows, ensembles, self.settings)
        last = dict(zip(keys_of(given.rows), given.rows.column("inbox_id").to_pylist(), strict=True))
        lost = keys_of_rejects(judged.rejects)
        refused = {key: inbox_id for key in lost if (inbox_id := last.get(key)) is not None}
        inbox_id_of = dict(zip(map(_identity, judged.decided), judged.inbox_ids, strict=True))
        everything = (*judged.decided, *judged.shadows)
        batch = NifiBatch(
            rows=verdict_rows(everything, [inbox_id_of[_identity(one)] for one in everything]),
            rejects=given.rejects + judged.rejects,
            refused={**given.refused, **refused},
        )
        verdicts = [one.verdict for one in judged.decided]
        return StepResult(
            relationship=SUCCESS,
            contents=write_batch("verdicts", batch),
            attributes={
                **batch_attributes((verdict.key.plant for verdict in verdicts), rejects=len(batch.rejects)),
                **label_attributes(verdict.label for verdict in verdicts),
                ENSEMBLE: ", ".join(sorted({verdict.ensemble_version for verdict in verdicts})),
            },
        )

    def close(self) -> None:
        """Follow the registry no more."""
        self.held.close()


def open_step(properties: Properties) -> ScoreCoil:
    """Load what serves, and follow the registry from now on.

    Raises:
        UsageError: a property or a setting is wrong.
        StoreError: the database cannot be reached, or is of another version.
        BundleError: nothing that the registry names can be loaded.
    """
    settings = settings_from(properties)
    with ExitStack() as stack:
        dsn = stack.enter_context(database_of(settings))
        serving = stack.enter_context(following(dsn, settings, kind="nifi"))
        return ScoreCoil(current=serving.current, settings=settings, held=stack.pop_all())


def _refuse_other_limits(rows: pa.RecordBatch, limits: Limits) -> None:
    other = set(rows.column("limits_version").to_pylist()) - {limits.version, None}
    if other:
        raise UsageError(
            f"the coils were normalised with limits {', '.join(sorted(other))}, what serves has {limits.version}",
            remedy=f'give NormalizeCoil a Limits File with {{"low": {limits.low!r}, "high": {limits.high!r}}}, '
            "then send its coils again",
        )


def judge_rows(rows: pa.RecordBatch, ensembles: Ensembles, settings: Settings) -> Judged:
    """Judge coils; one that a step breaks on is refused alone.

    Args:
        rows: of `schemas.nifi_batches.MATRICES`.
        ensembles: what serves.
        settings: tolerance profiles, draw for review.
    """
    plants = rows.column("plant").to_pylist()
    groups = by_ensembles(range(rows.num_rows), plants.__getitem__, ensembles)
    return _together([_each(rows.take(pa.array(which)), served, settings) for served, which in groups])


def _together(parts: Sequence[Judged]) -> Judged:
    return Judged(
        decided=tuple(one for part in parts for one in part.decided),
        inbox_ids=tuple(one for part in parts for one in part.inbox_ids),
        shadows=tuple(one for part in parts for one in part.shadows),
        rejects=tuple(one for part in parts for one in part.rejects),
    )


def _each(rows: pa.RecordBatch, served: Served, settings: Settings) -> Judged:
    try:
        return _judge(rows, served, settings)
    except Exception as error:  # noqa: BLE001 - whatever it is, it would come again with every try
        if rows.num_rows == 1:
            return Judged(rejects=(_broken(rows, error),))
    return _together([_each(rows.slice(i, 1), served, settings) for i in range(rows.num_rows)])


def _judge(rows: pa.RecordBatch, served: Served, settings: Settings) -> Judged:
    pieces = rows.filter(rows.column("fragment"))
    given = rows.filter(pc.invert(rows.column("fragment"))) if pieces.num_rows else rows
    batch = given.select(MATRIX_BATCH.names)
    scored = score(batch, served.champion, place=_PLACE)
    decided = decide(
        scored.batch,
        scored.scores,
        profiles=settings.tolerance_profiles,
        customer_profiles=settings.customer_profiles,
        place=_PLACE,
    )
    whole = _by_identity(given)
    said = shadow_verdicts(served.shadow, scored.batch, settings)
    verdicts = [ask_for_review(verdict, settings.review) for verdict in decided.verdicts]
    told = [(verdict, whole[verdict.key, verdict.revision]) for verdict in verdicts]
    champions = [_decided(verdict, coil) for verdict, coil in told]
    parts = [
        (fragment_verdict(key, coil["revision"], coil["reasons"] or (), served.champion, settings), coil)
        for (key, _), coil in _by_identity(pieces).items()
    ]
    return Judged(
        decided=(*(_decided(verdict, coil) for verdict, coil in parts), *champions),
        inbox_ids=tuple(coil["inbox_id"] for _, coil in (*parts, *told)),
        shadows=tuple(one for champion in champions for one in beside(champion, said)),
        rejects=tuple(_with_events(reject, whole) for reject in (*scored.rejects, *decided.rejects)),
    )


Coil = dict[str, Any]  # a row without its tensors


def _by_identity(rows: pa.RecordBatch) -> dict[tuple[CoilKey, str], Coil]:
    names = [name for name in MATRICES.names if name not in ("matrix", "spread")]
    coils = rows.select(names).to_pylist()
    return {(CoilKey(plant=coil["plant"], coil_id=coil["coil_id"]), coil["revision"]): coil for coil in coils}


def _identity(one: Decided) -> tuple[CoilKey, str]:
    return one.verdict.key, one.verdict.revision


def _order(coil: Coil) -> Order | None:
    return None if coil["order"] is None else Order.model_validate_json(coil["order"])


def _decided(verdict: Verdict, coil: Coil) -> Decided:
    return Decided(
        verdict=verdict,
        readings=coil["readings"],
        order=_order(coil),
        started_at=coil["started_at"],
        truth=coil["label"],
        rows_per_face=coil["rows_per_face"],
    )


def _with_events(reject: Reject, whole: Mapping[tuple[CoilKey, str], Coil]) -> Reject:
    """What is kept of a coil that is refused is what makes it again, no matrix."""
    coil = next(coil for (key, _), coil in whole.items() if key == reject.key)
    return replace(reject, original=_events(coil))


def _events(coil: Coil) -> bytes:
    return original_of(
        CoilKey(plant=coil["plant"], coil_id=coil["coil_id"]),
        coil["revision"],
        coil["readings"],
        order=_order(coil),
        started_at=coil["started_at"],
        rows_per_face=coil["rows_per_face"],
    )


def _broken(row: pa.RecordBatch, error: Exception) -> Reject:
    [(key, _)] = _by_identity(row)
    known = isinstance(error, CoilflowError)
    if not known:
        log.error("a step breaks on a coil", **key._asdict(), exc_info=error)
    return Reject(
        step="score",
        place=_PLACE,
        key=key,
        error=str(error) if known else f"unexpected {type(error).__name__}: {error}",
        remedy=error.remedy if isinstance(error, CoilflowError) else "report what the log shows, then replay it",
        original=_original(row),
    )


def _original(row: pa.RecordBatch) -> bytes:
    [coil] = _by_identity(row).values()
    try:
        return _events(coil)
    except (pa.ArrowException, OSError, ValueError, SourceError):  # what broke the step may break this too
        readings: bytes = coil["readings"]
        return readings
