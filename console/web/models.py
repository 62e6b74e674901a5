"""`/models`: what serves where, how good each version is, and the page of one version."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from console.metric_rows import metric_rows
from console.model_scores import score_of
from console.model_tables import plant_of
from console.rest.access import Reads
from console.rest.problems import ProblemError
from console.rest.service import service_of
from console.web.charts import Dot, dot_chart, marks_list
from console.web.model_tables import report_tables
from console.web.pages import render
from console.web.score_charts import Window, change_marks, change_said, score_charts, slice_charts
from flows.audit import model_report
from schemas.audit import Snapshot
from schemas.scores import ALL, Figure, Subject
from schemas.settings import Settings
from store.audit import snapshots
from store.connection import Connection, utf8_fault
from store.courses import score_course
from store.pool import borrowed
from store.registered import (
    ModelChange,
    ServingRow,
    StoredEnsemble,
    automation,
    champions_before,
    ensembles,
    model_changes,
    serving,
)
from store.scores import ModelScore, latest_scores
from store.swaps import answers
from store.training import spellings

PERIODS_DAYS = (7, 30, 90, 400)
_POINTS = 60  # of a line
_CHANGES = 12  # shown

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """One ensemble as the table of versions shows it."""

    ensemble: StoredEnsemble
    plants: tuple[str, ...]  # that it serves or shadows
    score: ModelScore | None
    snapshot: Snapshot | None  # of labelled coils that it was trained on
    last: ModelChange


@dataclass(frozen=True, kw_only=True, slots=True)
class Descent:
    """An ensemble with those that descend from it."""

    ensemble: StoredEnsemble
    children: tuple["Descent", ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """What serves a plant, and whether there is a way back."""

    row: ServingRow
    back: str | None  # version that a rollback goes to first
    swapped: int  # workers that answered so on the champion last
    refused: int


@router.get("/models")
def get_models(
    request: Request,
    caller: Reads,
    days: Annotated[int, Query(ge=1, le=4000)] = 30,
    change: Annotated[int | None, Query()] = None,
) -> HTMLResponse:
    """What serves, scores over time, versions and their descent."""
    service = service_of(request)
    with borrowed(service.pool) as connection:
        context = models_context(connection, service.settings, now=datetime.now(UTC), days=days)
    done = next((one for one in context["all_changes"] if one.change_id == change), None)
    return render(request, "models.html", caller=caller, done=done and change_said(done), **context)


@router.get("/models/{version}")
def get_model(request: Request, caller: Reads, version: str) -> HTMLResponse:
    """One ensemble, or one model as NAME@VERSION: what it is made of, how good it is, and all that happened to it."""
    service, now = service_of(request), datetime.now(UTC)
    if utf8_fault(version):
        raise no_model(version)
    with borrowed(service.pool) as connection:
        report = model_report(connection, version, service.settings, now=now, tries=False)
        newest = latest_scores(connection)
        named = set(spellings(version)) if report.kind == "ensemble" else {report.version}
        own = [one for one in newest if one.subject.version in named and one.subject.model == report.model]
        subjects = {one.subject for one in own}
        changes = model_changes(connection, version=version) if report.kind == "ensemble" else ()
        window = window_of(own, changes, now=now, days=PERIODS_DAYS[-1])
        window, course = _course(connection, subjects, window)
        said = answers(connection, version) if report.kind == "ensemble" else ()
    chosen = max(subjects, key=lambda one: (one.role == "champion", one), default=None)
    return render(
        request,
        "model.html",
        caller=caller,
        report=report,
        charts=score_charts(course, changes, window, service.settings.policy, weighted=False),
        weighted_charts=_weighted(course, changes, window, service.settings),
        marks=marks_list(change_marks(changes), after=window.after, until=window.until),
        slices=slice_charts([one for one in own if one.subject == chosen]),
        chosen=chosen,
        metrics={
            f"{one.model} {one.version}": _metrics(f"metrics-{place}", one.manifest.metrics)
            for place, one in enumerate(report.members)
        },
        manifest=report.manifest,
        quote=quote,
        **report_tables(report, said),
    )


def no_model(version: str) -> ProblemError:
    """The problem of a version that is not there."""
    return ProblemError(HTTPStatus.NOT_FOUND, f"there is no model {version!r}", remedy="see the page Models")


def models_context(connection: Connection, settings: Settings, *, now: datetime, days: int) -> dict[str, Any]:
    """All that the page shows."""
    found, rows, scores = ensembles(connection), serving(connection), latest_scores(connection)
    changes = model_changes(connection)
    last = {change.ensemble_version: change for change in changes}
    kept = {
        one.digest: one for one in snapshots(connection, [one.snapshot_digest for one in found if one.snapshot_digest])
    }
    overall = [one for one in scores if one.subject.kind == "ensemble" and one.slice == ALL]
    window = window_of(overall, changes, now=now, days=days)
    window, course = _course(connection, {one.subject for one in overall}, window)
    return {
        "versions": [_version(one, rows, scores, kept, last) for one in reversed(found)],
        "served": [_served(connection, row) for row in rows.values()],
        "descent": descent(found),
        "frozen": automation(connection),
        "charts": score_charts(course, changes, window, settings.policy, weighted=False),
        "weighted_charts": _weighted(course, changes, window, settings),
        "marks": marks_list(change_marks(changes), after=window.after, until=window.until),
        "days": days,
        "periods": PERIODS_DAYS,
        "changes": changes[-_CHANGES:][::-1],
        "all_changes": changes,
        "plant_of": plant_of,
        "change_said": change_said,
        "quote": quote,
    }


def window_of(scores: Sequence[ModelScore], changes: Sequence[ModelChange], *, now: datetime, days: int) -> Window:
    """The days until what happened last, and until now where that is among them."""
    newest = max((one.computed_at for one in scores), default=now)
    length = timedelta(days=days)
    until = max([newest, *(one.at for one in changes if one.at <= newest + length)])
    return Window(after=until - length, until=now if until <= now <= until + length / 4 else until)


def descent(found: Sequence[StoredEnsemble]) -> tuple[Descent, ...]:
    """Ensembles as trees: those without a parent that is registered, with all that descend from them."""
    children: dict[str | None, list[StoredEnsemble]] = {}
    versions = {one.version for one in found}
    for one in found:
        children.setdefault(one.parent if one.parent in versions else None, []).append(one)

    def below(parent: str | None) -> tuple[Descent, ...]:
        return tuple(Descent(ensemble=one, children=below(one.version)) for one in children.get(parent, ()))

    return below(None)


def _version(
    one: StoredEnsemble,
    rows: Mapping[str, ServingRow],
    scores: Sequence[ModelScore],
    kept: Mapping[str, Snapshot],
    last: Mapping[str | None, ModelChange],
) -> Version:
    return Version(
        ensemble=one,
        plants=tuple(row.plant for row in rows.values() if one.version in (row.champion, row.shadow)),
        score=score_of(one.version, scores),
        snapshot=None if one.snapshot_digest is None else kept.get(one.snapshot_digest),
        last=last[one.version],
    )


def _served(connection: Connection, row: ServingRow) -> Served:
    said = [] if row.champion is None else [one for one in answers(connection, row.champion) if one.plant == row.plant]
    latest = {one.worker: one.outcome for one in said if one.role == "champion"}
    outcomes = list(latest.values())
    before = champions_before(connection, row.plant) if row.champion is not None else ()
    return Served(
        row=row, back=next(iter(before), None), swapped=outcomes.count("swapped"), refused=outcomes.count("refused")
    )


def _course(
    connection: Connection, subjects: Collection[Subject], window: Window
) -> tuple[Window, tuple[ModelScore, ...]]:
    """Scores of a time, which begins no earlier than they do: an axis of nothing tells nothing."""
    course = score_course(connection, subjects, after=window.after, until=window.until, points=_POINTS)
    first = min((one.computed_at for one in course), default=window.after)
    return Window(after=max(window.after, first - timedelta(hours=1)), until=window.until), course


def _weighted(
    course: Sequence[ModelScore], changes: Sequence[ModelChange], window: Window, settings: Settings
) -> tuple[Markup, ...]:
    if all(one.score.weighted is None for one in course):
        return ()
    return score_charts(course, changes, window, settings.policy, weighted=True)


def _metrics(name: str, metrics: Mapping[str, Any]) -> Markup:
    """Those between 0 and 1 as a chart; the report has the others too."""
    dots = [
        Dot(name=row.name, figure=Figure(value=row.value, low=row.ci95 and row.ci95[0], high=row.ci95 and row.ci95[1]))
        for row in metric_rows(metrics)
        if isinstance(row.value, float)
    ]
    return dot_chart(name, "Metrics on its holdout", dots, of="metric", percent=False)
