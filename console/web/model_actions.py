"""`/models/do/…`: promote, roll back, reject, freeze and unfreeze, each after a page that says what will happen."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from console.model_tables import plant_of
from console.rest.access import ChangesModels
from console.rest.model_changes import actor_of
from console.rest.problems import ProblemError
from console.rest.service import Service, service_of
from console.web.asking import Question, ask, no_reason
from console.web.models import no_model
from flows import change_models
from schemas.errors import BundleError, RegistryError
from schemas.settings import Settings
from store import registry
from store.connection import Connection, utf8_fault
from store.courses import known_plants
from store.pool import borrowed
from store.registered import (
    EVERY_PLANT,
    StoredEnsemble,
    automation,
    champion_of,
    champions_before,
    ensemble,
    model_changes,
    serving,
)
from store.registry_steps import Actor

Action = Literal["promote", "rollback", "reject", "freeze", "unfreeze"]
_TITLES = {
    "promote": "Promote",
    "rollback": "Roll back",
    "reject": "Reject",
    "freeze": "Freeze automatic change",
    "unfreeze": "Let automatic change go on",
}

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a person is about to do."""

    action: Action
    version: str  # to promote or reject; to go back to; empty where none is meant
    plant: str
    stands: str  # what serves there as the page said it: another by now is not what the person agreed to
    happens: tuple[str, ...]  # sentences
    plants: tuple[str, ...] = ()  # to choose from

    @property
    def title(self) -> str:
        """For the head of the page, and the button."""
        what = {"rollback": plant_of(self.plant)}.get(self.action, self.version)
        return f"{_TITLES[self.action]} {what}".strip()


@router.get("/models/do/{action}")
def get_action(
    request: Request,
    caller: ChangesModels,
    action: Action,
    version: Annotated[str, Query()] = "",
    plant: Annotated[str | None, Query()] = None,
) -> HTMLResponse:
    """What will happen, and a field for the reason."""
    with borrowed(service_of(request).pool) as connection:
        asked = _asked(connection, action, version, plant)
    return ask(request, caller, _question(asked))


@router.post("/models/do/{action}")
def post_action(
    request: Request,
    caller: ChangesModels,
    action: Action,
    version: Annotated[str, Form()] = "",
    plant: Annotated[str, Form()] = EVERY_PLANT,
    stands: Annotated[str, Form()] = "",
    why: Annotated[str, Form()] = "",
) -> Response:
    """Do it, and show what serves; or say why not, with nothing changed."""
    service, why = service_of(request), why.strip()
    with borrowed(service.pool) as connection:
        asked = _asked(connection, action, version, plant)
        actor = actor_of(service.settings, caller, why)
        refusal, status = _do(connection, service, asked, actor, stands=stands)
        if refusal is not None:
            return ask(request, caller, _question(asked), why=why, refusal=refusal, status=status)
        told = [one for one in model_changes(connection) if one.at == actor.at and one.who == actor.who]
    change = f"?change={told[-1].change_id}" if told else ""
    return RedirectResponse(f"/models{change}", status_code=HTTPStatus.SEE_OTHER)


def _do(
    connection: Connection, service: Service, asked: Asked, actor: Actor, *, stands: str
) -> tuple[str | None, HTTPStatus]:
    """What speaks against it, nothing being changed then; None where it is done."""
    lacking = no_reason(actor.why)
    if lacking is not None:
        return lacking, HTTPStatus.UNPROCESSABLE_ENTITY
    if stands != asked.stands:
        return "What serves has changed since you looked: read again what will happen.", HTTPStatus.CONFLICT
    if not service.trials.acquire(blocking=False):
        return "Another ensemble is being tried: wait until that is done.", HTTPStatus.CONFLICT
    try:
        _DO[asked.action](connection, asked, service.settings, actor)
    except (BundleError, RegistryError) as error:
        return f"{error}; {error.remedy}", HTTPStatus.CONFLICT
    finally:
        service.trials.release()
    return None, HTTPStatus.SEE_OTHER


def _question(asked: Asked) -> Question:
    return Question(
        title=asked.title,
        page=("Models", "/models"),
        to=f"/models/do/{asked.action}",
        happens=asked.happens,
        fields={"version": asked.version, "plant": asked.plant, "stands": asked.stands},
        choices={plant: plant or "every plant without its own" for plant in asked.plants},
        harms=asked.action not in ("promote", "unfreeze"),
    )


def _asked(connection: Connection, action: Action, version: str, plant: str | None) -> Asked:
    """What an action means as things stand; raises ProblemError where there is nothing it could mean."""
    if action in ("freeze", "unfreeze"):
        frozen = automation(connection).frozen
        return Asked(action=action, version="", plant=EVERY_PLANT, stands=str(frozen), happens=_of_freezing(action))
    if action == "rollback":
        return _rollback(connection, plant or EVERY_PLANT)
    found = None if utf8_fault(version) else ensemble(connection, version)
    if found is None:
        raise no_model(version)
    return _promote(connection, found, plant) if action == "promote" else _reject(connection, found)


def _promote(connection: Connection, found: StoredEnsemble, plant: str | None) -> Asked:
    rows = serving(connection)
    where = found.plant or plant or EVERY_PLANT
    champion = champion_of(rows, where)
    plants = (found.plant,) if found.plant else (EVERY_PLANT, *known_plants(connection))
    if where not in plants:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"no coil of plant {where!r} was ever seen", remedy="choose another")
    happens = [
        f"{found.version} is tried here first: its files, its canary coils, its speed. If it fails, nothing changes.",
        f"It gives the verdicts of {plant_of(where)} from then on; each worker tries it again and swaps between two "
        "batches. Verdicts that were announced stay as they are.",
    ]
    if champion is not None:
        happens.append(
            f"{champion}, which gives them now, retires unless it serves another plant. A rollback brings it back."
        )
    if found.state == "shadow":
        happens.append("It judges in shadow no more.")
    elsewhere = [row.plant for row in rows.values() if row.plant and row.champion and not where]
    if elsewhere:
        happens.append(f"{', '.join(elsewhere)} keeps a champion of its own.")
    return Asked(
        action="promote",
        version=found.version,
        plant=where,
        stands=champion or "",
        happens=tuple(happens),
        plants=plants,
    )


def _rollback(connection: Connection, plant: str) -> Asked:
    own = serving(connection).get(plant)
    if own is None or own.champion is None:
        raise ProblemError(
            HTTPStatus.CONFLICT,
            f"{plant_of(plant)} has no champion of its own to roll back",
            remedy="see the page Models",
        )
    ways = champions_before(connection, plant)
    if not ways and plant == EVERY_PLANT:
        raise ProblemError(
            HTTPStatus.CONFLICT,
            f"there is no champion before {own.champion} to go back to",
            remedy="promote another on the page Models",
        )
    back = ways[0] if ways else None
    happens = [
        f"{back} gives the verdicts of {plant_of(plant)} again, after a trial of its files here; if it fails, the "
        "champion before it does."
        if back
        else f"{plant_of(plant)} is served as every plant is again: it has no champion of its own any more.",
        f"{own.champion} is rejected for good, unless it serves another plant: it cannot be promoted again.",
        "Each worker swaps between two batches. Verdicts that were announced stay as they are.",
    ]
    return Asked(action="rollback", version=back or "", plant=plant, stands=own.champion, happens=tuple(happens))


def _reject(connection: Connection, found: StoredEnsemble) -> Asked:
    happens = [f"{found.version} is given up for good: it judges nowhere any more, and cannot be promoted."]
    shadowed = [plant_of(row.plant) for row in serving(connection).values() if row.shadow == found.version]
    if shadowed:
        happens.append(f"Its shadow of {', '.join(shadowed)} ends, and the place is free for another.")
    happens.append("What it said of coils so far stays in the audit.")
    return Asked(action="reject", version=found.version, plant=found.plant, stands=found.state, happens=tuple(happens))


def _of_freezing(action: Action) -> tuple[str, ...]:
    if action == "unfreeze":
        return (
            "coilflow may train, shadow, promote and roll back by itself again, as the policy says.",
            "What it held back is decided anew at the next run of the jobs.",
        )
    return (
        "coilflow changes nothing by itself any more: no successor is trained, shadowed or promoted, and none is "
        "rolled back, however bad the scores are.",
        "What serves now goes on. People may still promote, roll back and reject.",
        "It holds until somebody lets it go on.",
    )


def _do_promote(connection: Connection, asked: Asked, settings: Settings, actor: Actor) -> None:
    change_models.promote(connection, asked.version, settings, actor, plant=asked.plant)


def _do_rollback(connection: Connection, asked: Asked, settings: Settings, actor: Actor) -> None:
    change_models.rollback(connection, settings, actor, plant=asked.plant)


def _do_reject(connection: Connection, asked: Asked, _: Settings, actor: Actor) -> None:
    registry.reject(connection, asked.version, actor)


def _do_freeze(connection: Connection, _: Asked, __: Settings, actor: Actor) -> None:
    registry.freeze(connection, actor)


def _do_unfreeze(connection: Connection, _: Asked, __: Settings, actor: Actor) -> None:
    registry.unfreeze(connection, actor)


_DO: dict[Action, Callable[[Connection, Asked, Settings, Actor], None]] = {
    "promote": _do_promote,
    "rollback": _do_rollback,
    "reject": _do_reject,
    "freeze": _do_freeze,
    "unfreeze": _do_unfreeze,
}
