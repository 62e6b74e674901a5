"""`/api/v1/models`: what serves where, what could, how good it is; and drift."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import StringConstraints, TypeAdapter

from console.model_scores import scores_of_version
from console.model_tables import as_object
from console.rest.access import Reads
from console.rest.cursors import MOST_ITEMS, cursor_after, place_of
from console.rest.model_answers import (
    Automation,
    Drift,
    DriftAnswer,
    EnsembleAnswer,
    Models,
    ScoreAnswer,
    Scores,
    ServingAnswer,
    WholeEnsemble,
)
from console.rest.problems import ProblemError
from console.rest.service import service_of
from console.score_tables import drift_row, score_row
from schemas.events import Name
from schemas.scores import SliceKind
from store.audit import ancestors, answers_on, audited_members, changes_of, models_of_version, one_moment
from store.connection import Connection
from store.drift import latest_drift_checks
from store.models import ModelState
from store.pool import borrowed
from store.registered import EVERY_PLANT, StoredEnsemble, automation, ensemble, ensembles, model_changes, serving
from store.scores import latest_scores, score_history

Version = Annotated[
    str,
    Path(description="Of an ensemble, as the list has it."),
    StringConstraints(max_length=200, pattern=r"^[^\x00]+$"),
]
_ENSEMBLE: TypeAdapter[tuple[datetime, str]] = TypeAdapter(tuple[datetime, str])
_SCORE: TypeAdapter[tuple[datetime, int]] = TypeAdapter(tuple[datetime, int])

router = APIRouter(tags=["models"])


@router.get("/api/v1/models", summary="List ensembles", responses={400: {"description": "no such cursor"}})
def get_models(
    request: Request,
    _: Reads,
    plant: Name | None = None,
    state: ModelState | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ITEMS)] = 50,
) -> Models:
    """Registered ensembles, the newest first, with state and score; what serves where; and whether change is frozen."""
    of = ["models", plant, state]
    before = None if cursor is None else place_of(cursor, _ENSEMBLE, of=of)
    with borrowed(service_of(request).pool) as connection, one_moment(connection):
        rows, frozen = serving(connection), automation(connection)
        found = [
            one
            for one in reversed(ensembles(connection))
            if (plant is None or one.plant in (EVERY_PLANT, plant))
            and state in (None, one.state)
            and (before is None or (one.registered_at, one.version) < before)
        ]
        shown = found[:limit]
        last = {change.ensemble_version: change for change in model_changes(connection)}
        scores = latest_scores(connection)
    following = [shown[-1].registered_at, shown[-1].version] if len(found) > limit else None
    return Models(
        items=[EnsembleAnswer.model_validate(as_object(one, rows, last[one.version], scores)) for one in shown],
        next=following and cursor_after(following, of=of),
        serving=[ServingAnswer.model_validate(row, from_attributes=True) for row in rows.values()],
        automation=Automation.model_validate(frozen, from_attributes=True),
    )


@router.get(
    "/api/v1/models/{version}",
    summary="Show an ensemble",
    responses={404: {"description": "there is no ensemble of that version"}},
)
def get_model(request: Request, version: Version, _: Reads) -> WholeEnsemble:
    """Its manifest, members, lineage, score, every change of it, and what the workers answered."""
    with borrowed(service_of(request).pool) as connection, one_moment(connection):
        one = registered(connection, version)
        facts = as_object(
            one, serving(connection), model_changes(connection, version=version)[-1], latest_scores(connection)
        )
        return WholeEnsemble.model_validate(
            {
                **facts,
                "manifest": one.manifest.model_dump(mode="json"),
                "models": audited_members(connection, one.members),
                "lineage": ancestors(connection, version),
                "changes": changes_of(connection, [version]),
                "answers": answers_on(connection, [version]),
            }
        )


@router.get(
    "/api/v1/models/{version}/scores",
    summary="Read how a version's score changed",
    responses={
        400: {"description": "no such cursor"},
        404: {"description": "there is no ensemble and no model of that version"},
    },
)
def get_scores(
    request: Request,
    version: Version,
    _: Reads,
    by: SliceKind = "all",
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ITEMS)] = 50,
) -> Scores:
    """Scores of an ensemble and its members, or of a model, with 95% intervals, the newest first."""
    of = ["scores", version, by]
    before = None if cursor is None else place_of(cursor, _SCORE, of=of)
    with borrowed(service_of(request).pool) as connection:
        if ensemble(connection, version) is None and not models_of_version(connection, version):
            raise unknown(version)
        subjects = {one.subject for one in scores_of_version(connection, version, latest_scores(connection))}
        found = score_history(connection, by, subjects, most=limit + 1, before=before)
    shown = found[:limit]
    following = [shown[-1].computed_at, shown[-1].score_id] if len(found) > limit else None
    return Scores(
        items=[ScoreAnswer.model_validate(score_row(one)) for one in shown],
        next=following and cursor_after(following, of=of),
    )


@router.get("/api/v1/drift", summary="Read the last drift checks")
def get_drift(request: Request, _: Reads, plant: Name | None = None) -> Drift:
    """The last check of each plant: whether its latest coils look like those that its ensemble was made for."""
    with borrowed(service_of(request).pool) as connection:
        found = [one for one in latest_drift_checks(connection) if plant in (None, one.plant)]
    return Drift(items=[DriftAnswer.model_validate(drift_row(one)) for one in found])


def registered(connection: Connection, version: str) -> StoredEnsemble:
    """The ensemble of that version; raises ProblemError where there is none."""
    found = ensemble(connection, version)
    if found is None:
        raise unknown(version)
    return found


def unknown(version: str) -> ProblemError:
    """The problem of a version that is not there."""
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        f"the registry has nothing of version {version}",
        remedy="GET /api/v1/models lists what there is",
    )
