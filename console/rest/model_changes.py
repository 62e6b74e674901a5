"""`/api/v1/models`: promote, shadow, reject, roll back, freeze, unfreeze; the same steps as `coilflow models`."""

from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, StringConstraints

from console.rest.access import Caller, ChangesModels
from console.rest.idempotency import Asked, Done, Idempotent, once, once_prepared
from console.rest.model_answers import Frozen, Promoted, Rejected, Shadowing
from console.rest.models import Version, registered
from console.rest.problems import Answers, ProblemError
from console.rest.service import Service, service_of
from flows.change_models import model_destinations, try_unless_over, way_back
from schemas.errors import BundleError
from schemas.events import Name
from schemas.settings import Settings
from store import registry
from store.connection import Connection
from store.registered import EVERY_PLANT, automation, champion_of, serving
from store.registry_steps import Actor

Why = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000, pattern=r"^[^\x00]*$")]
_CHANGED: Answers = {
    409: {"description": "it is refused, for the reason that it says, or the same idempotency key is under way"},
    422: {"description": "the body breaks the contract, or its idempotency key was sent with another"},
}
_UNKNOWN: Answers = {404: {"description": "there is no ensemble of that version"}}
_Found = TypeVar("_Found")

router = APIRouter(tags=["models"])


class ChangeRequest(BaseModel):
    """Why; kept with the change."""

    model_config = ConfigDict(extra="forbid")

    why: Why


class PromoteRequest(ChangeRequest):
    """Where."""

    plant: Name | None = None  # null: every plant without a champion of its own


class RollbackRequest(PromoteRequest):
    """Where, and to what."""

    to: Name | None = None  # a champion of before; null: the latest that is whole


@router.post(
    "/api/v1/models/{version}/promote",
    response_model=Promoted,
    summary="Let an ensemble give the verdicts",
    responses={**_CHANGED, **_UNKNOWN},
)
def post_promote(
    request: Request, version: Version, body: PromoteRequest, caller: ChangesModels, asked: Idempotent
) -> Response:
    """Try an ensemble, then promote it; every worker tries it again, swaps and answers. A trial takes seconds."""
    return _placed(
        service_of(request),
        version,
        body,
        caller,
        asked,
        place=registry.promote,
        answer=Promoted(champion=version, plant=body.plant),
    )


@router.post(
    "/api/v1/models/{version}/shadow",
    response_model=Shadowing,
    summary="Let an ensemble judge beside the champion",
    responses={**_CHANGED, **_UNKNOWN},
)
def post_shadow(
    request: Request, version: Version, body: PromoteRequest, caller: ChangesModels, asked: Idempotent
) -> Response:
    """Try an ensemble, then let it judge too: its verdicts are stored, and count for nothing. A trial takes seconds."""
    return _placed(
        service_of(request),
        version,
        body,
        caller,
        asked,
        place=registry.shadow,
        answer=Shadowing(shadow=version, plant=body.plant),
    )


@router.post(
    "/api/v1/models/{version}/reject",
    response_model=Rejected,
    summary="Give a candidate or a shadow up for good",
    responses={**_CHANGED, **_UNKNOWN},
)
def post_reject(
    request: Request, version: Version, body: ChangeRequest, caller: ChangesModels, asked: Idempotent
) -> Response:
    """It judges nowhere any more, and can never be promoted; a champion is rolled back instead."""
    service = service_of(request)

    def act(connection: Connection) -> Done:
        registered(connection, version)
        registry.reject(connection, version, actor_of(service.settings, caller, body.why))
        return Done(body=Rejected(rejected=version))

    return once(service.pool, asked, caller, act)


@router.post(
    "/api/v1/models/rollback", response_model=Promoted, summary="Go back to a champion before", responses=_CHANGED
)
def post_rollback(request: Request, body: RollbackRequest, caller: ChangesModels, asked: Idempotent) -> Response:
    """Put a champion before in the place of the one that serves, which is rejected."""
    service, plant = service_of(request), body.plant or EVERY_PLANT
    actor = actor_of(service.settings, caller, body.why)

    def prepare(connection: Connection) -> tuple[str | None, Actor]:
        return way_back(connection, service.settings, actor, plant=plant, to=body.to)

    def act(connection: Connection, found: tuple[str | None, Actor]) -> Done:
        to, noted = found
        back = registry.rollback(connection, noted, plant=plant, to=to)
        champion = back or champion_of(serving(connection), plant)
        return Done(body=Promoted(champion=champion, plant=body.plant))

    return _tried(service, asked, caller, prepare=prepare, act=act)


@router.post("/api/v1/models/freeze", response_model=Frozen, summary="Stop all automatic change", responses=_CHANGED)
def post_freeze(request: Request, body: ChangeRequest, caller: ChangesModels, asked: Idempotent) -> Response:
    """Stop all automatic change at once; a person may still change what serves."""
    return _freeze(service_of(request), body, caller, asked, registry.freeze)


@router.post("/api/v1/models/unfreeze", response_model=Frozen, summary="Let automatic change go on", responses=_CHANGED)
def post_unfreeze(request: Request, body: ChangeRequest, caller: ChangesModels, asked: Idempotent) -> Response:
    """Let automatic change go on."""
    return _freeze(service_of(request), body, caller, asked, registry.unfreeze)


def actor_of(settings: Settings, caller: Caller, why: str) -> Actor:
    """Who changes what serves, as the registry keeps it."""
    return Actor(who=caller.name, why=why, at=datetime.now(UTC), announce=model_destinations(settings))


def _freeze(
    service: Service,
    body: ChangeRequest,
    caller: Caller,
    asked: Asked,
    change: Callable[[Connection, Actor], bool],
) -> Response:
    def act(connection: Connection) -> Done:
        changed = change(connection, actor_of(service.settings, caller, body.why))
        stands = automation(connection)
        return Done(body=Frozen(frozen=stands.frozen, changed=changed, who=stands.who, why=stands.why, at=stands.at))

    return once(service.pool, asked, caller, act)


def _placed(
    service: Service,
    version: str,
    body: PromoteRequest,
    caller: Caller,
    asked: Asked,
    *,
    place: Callable[..., object],
    answer: BaseModel,
) -> Response:
    """Try an ensemble, then let it judge as `registry.promote` or `registry.shadow` has it."""
    plant, actor = body.plant or EVERY_PLANT, actor_of(service.settings, caller, body.why)

    def prepare(connection: Connection) -> None:
        registered(connection, version)
        try_unless_over(connection, version, service.settings, plant)

    def act(connection: Connection, _: None) -> Done:
        place(connection, version, actor, plant=plant)
        return Done(body=answer)

    return _tried(service, asked, caller, prepare=prepare, act=act)


def _tried(
    service: Service,
    asked: Asked,
    caller: Caller,
    *,
    prepare: Callable[[Connection], _Found],
    act: Callable[[Connection, _Found], Done],
) -> Response:
    """One at a time: a trial is a process of its own, and takes a connection while it lasts."""
    if not service.trials.acquire(blocking=False):
        raise ProblemError(
            HTTPStatus.CONFLICT, "another ensemble is being tried", remedy="wait for its answer, then send it again"
        )
    try:
        return once_prepared(service.pool, asked, caller, prepare=prepare, act=act)
    except BundleError as error:
        raise ProblemError(HTTPStatus.CONFLICT, str(error), remedy=error.remedy) from error
    finally:
        service.trials.release()
