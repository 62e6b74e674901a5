"""`coilflow models`: what serves, what could, who changed it and why; and to change it."""

import getpass
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from console.database import command_database
from console.model_scores import score_cells, score_object, score_of
from console.options import JsonOption
from console.output import err, out, print_json
from flows import change_models
from schemas.errors import BundleError, RegistryError
from schemas.settings import Settings, load_settings
from store import registry
from store.connection import Connection
from store.registered import (
    EVERY_PLANT,
    ModelChange,
    ServingRow,
    StoredEnsemble,
    automation,
    champion_of,
    ensembles,
    model_changes,
    serving,
)
from store.registry_steps import Actor, known_ensemble
from store.scores import ModelScore, latest_scores
from store.swaps import answers
from store.waits import limit_waits

VersionArgument = Annotated[str, typer.Argument(metavar="VERSION", help="Of an ensemble, as `models list` has it.")]
PlantOption = Annotated[str, typer.Option("--plant", help="Of this plant alone; else of every plant without its own.")]
WhyOption = Annotated[str, typer.Option("--why", metavar="TEXT", help="Kept with the change.")]
WhoOption = Annotated[str | None, typer.Option("--who", metavar="NAME", help="Who does it; else the login name.")]


def list_(*, plant: PlantOption = EVERY_PLANT, as_json: JsonOption = False) -> int:
    """List the registered ensembles: state, where each serves, score, and the last change; exit 1 where none is."""
    with _registry() as (connection, _):
        found = [one for one in ensembles(connection) if not plant or one.plant in (EVERY_PLANT, plant)]
        rows, changes, frozen = serving(connection), model_changes(connection), automation(connection)
        scores = latest_scores(connection)
    last = {change.ensemble_version: change for change in changes}
    if as_json:
        told = {"who": frozen.who, "why": frozen.why, "at": frozen.at} if frozen.frozen else None
        for one in found:
            print_json({**_as_object(one, rows, last[one.version], scores), "frozen": told})
    elif found:
        out.print(_table(found, rows, last, scores))
    else:
        out.print("no ensemble is registered; the first worker registers the one of its settings")
    if frozen.frozen and not as_json:
        out.print(Text(f"automatic change is frozen since {_time(frozen.at)} by {frozen.who}: {frozen.why}"))
    return 0 if found else 1


def show(version: VersionArgument, *, as_json: JsonOption = False) -> int:
    """Show one ensemble: its members, where it serves, every change of it, and what the workers answered."""
    with _registry() as (connection, _):
        one = known_ensemble(connection, version)
        rows, changes = serving(connection), model_changes(connection, version=version)
        said, scores = answers(connection, version), latest_scores(connection)
    as_object = _as_object(one, rows, changes[-1], scores)
    if as_json:
        history = {"changes": [asdict(change) for change in changes], "answers": [asdict(each) for each in said]}
        print_json({**as_object, "manifest": one.manifest.model_dump(mode="json"), **history})
        return 0
    facts = Table(show_header=False, box=None)
    for name, value in as_object.items():
        if name not in ("members", "score"):
            facts.add_row(name, Text("" if value is None else str(value), overflow="fold"))
    for name, cell in zip(("agreement", "NOK recall"), score_cells(score_of(version, scores)), strict=True):
        facts.add_row(name, cell)
    for member in one.members:
        facts.add_row("member", f"{member.model} {member.version}")
    out.print(facts)
    out.print(_history(changes))
    answered = Table(title="answers of the workers", title_justify="left")
    for name in ("when", "worker", "plant", "as", "answer", "reason"):
        answered.add_column(name, overflow="fold")
    for each in said:
        cells = (_time(each.at), each.worker, _plant(each.plant), each.role, each.outcome, each.reason)
        answered.add_row(*(Text(cell) for cell in cells))
    out.print(answered)
    return 0


def register(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Of an ensemble, with its ensemble.json.")],
    *,
    plant: PlantOption = EVERY_PLANT,
    why: WhyOption = "",
    who: WhoOption = None,
    as_json: JsonOption = False,
) -> int:
    """Register an ensemble as a candidate, after checking every file against its digest."""
    with _registry() as (connection, settings):
        one = change_models.register_folder(connection, folder, settings, _actor(settings, who, why), plant=plant)
    _say({"registered": one.version, "location": one.location}, as_json=as_json)
    return 0


def shadow(
    version: VersionArgument,
    *,
    plant: PlantOption = EVERY_PLANT,
    why: WhyOption = "",
    who: WhoOption = None,
    as_json: JsonOption = False,
) -> int:
    """Let an ensemble judge beside the champion: its verdicts are stored, and count for nothing."""
    with _registry() as (connection, settings):
        change_models.shadow(connection, version, settings, _actor(settings, who, why), plant=plant)
    _say({"shadow": version, "plant": _plant(plant)}, as_json=as_json)
    return 0


def promote(
    version: VersionArgument,
    *,
    plant: PlantOption = EVERY_PLANT,
    why: WhyOption = "",
    who: WhoOption = None,
    as_json: JsonOption = False,
) -> int:
    """Let an ensemble give the verdicts, after a trial here; every worker tries it again, swaps and answers."""
    with _registry() as (connection, settings):
        change_models.promote(connection, version, settings, _actor(settings, who, why), plant=plant)
    _say({"champion": version, "plant": _plant(plant)}, as_json=as_json)
    return 0


def reject(version: VersionArgument, *, why: WhyOption = "", who: WhoOption = None, as_json: JsonOption = False) -> int:
    """Give a candidate or a shadow up for good."""
    with _registry() as (connection, settings):
        registry.reject(connection, version, _actor(settings, who, why))
    _say({"rejected": version}, as_json=as_json)
    return 0


def rollback(
    *, plant: PlantOption = EVERY_PLANT, why: WhyOption = "", who: WhoOption = None, as_json: JsonOption = False
) -> int:
    """Go back to the champion before; the one that goes is rejected."""
    with _registry() as (connection, settings):
        back = change_models.rollback(connection, settings, _actor(settings, who, why), plant=plant)
        champion = back or champion_of(serving(connection), plant)
    _say({"champion": champion, "plant": _plant(plant)}, as_json=as_json)
    return 0


def verify(
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="Of one ensemble; else all that serve.")
    ] = None,
    *,
    plant: PlantOption = EVERY_PLANT,
    as_json: JsonOption = False,
) -> int:
    """Check the digests of every file, and score the canary coils in a process of its own; exit 1 where any is off."""
    failed = 0
    with _registry() as (connection, settings):
        rows = serving(connection)
        named = {row.champion for row in rows.values()} | {row.shadow for row in rows.values()}
        chosen = [version] if version else sorted(one for one in named if one)
        if plant and not version:
            chosen = [one for one in (champion_of(rows, plant),) if one]
        for one in chosen:
            try:
                trial = change_models.verify(known_ensemble(connection, one), settings)
            except BundleError as error:
                failed += 1
                _say({"version": one, "good": False, "error": str(error), "remedy": error.remedy}, as_json=as_json)
            else:
                said = {"version": one, "good": True, "canaries_off_by": trial.off, "ms_a_coil": round(trial.ms, 3)}
                _say(said, as_json=as_json)
    if not chosen:
        raise RegistryError("nothing serves yet", remedy="register an ensemble, or start a worker")
    return 1 if failed else 0


def freeze(*, why: WhyOption = "", who: WhoOption = None, as_json: JsonOption = False) -> int:
    """Stop all automatic change at once; a person may still change what serves."""
    return _freeze(frozen=True, why=why, who=who, as_json=as_json)


def unfreeze(*, why: WhyOption = "", who: WhoOption = None, as_json: JsonOption = False) -> int:
    """Let automatic change go on."""
    return _freeze(frozen=False, why=why, who=who, as_json=as_json)


def _freeze(*, frozen: bool, why: str, who: str | None, as_json: bool) -> int:
    with _registry() as (connection, settings):
        changed = (registry.freeze if frozen else registry.unfreeze)(connection, _actor(settings, who, why))
    _say({"frozen": frozen, "changed": changed}, as_json=as_json)
    return 0


@contextmanager
def _registry() -> Iterator[tuple[Connection, Settings]]:
    settings = load_settings()
    with command_database(settings) as connection:
        limit_waits(connection)
        yield connection, settings


def _actor(settings: Settings, who: str | None, why: str) -> Actor:
    return Actor(
        who=who or _login(), why=why, at=datetime.now(UTC), announce=change_models.model_destinations(settings)
    )


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number without a name
        return "unknown"


def _as_object(
    one: StoredEnsemble, rows: dict[str, ServingRow], last: ModelChange, scores: Sequence[ModelScore]
) -> dict[str, Any]:
    return {
        "version": one.version,
        "name": one.name,
        "state": one.state,
        "made_for": one.plant or None,
        "champion_of": [row.plant for row in rows.values() if row.champion == one.version],
        "shadow_of": [row.plant for row in rows.values() if row.shadow == one.version],
        "parent": one.parent,
        "snapshot_digest": one.snapshot_digest,
        "limits_version": one.limits_version,
        "digest": one.digest,
        "location": one.location,
        "members": [{"model": member.model, "version": member.version} for member in one.members],
        "score": score_object(score_of(one.version, scores)),
        "registered_at": one.registered_at,
        "changed_at": last.at,
        "change": last.change,
        "who": last.who,
        "why": last.why,
    }


def _table(
    found: Sequence[StoredEnsemble],
    rows: dict[str, ServingRow],
    last: dict[str | None, ModelChange],
    scores: Sequence[ModelScore],
) -> Table:
    table = Table(title="ensembles", title_justify="left")
    for name in ("version", "name", "state", "plant", "agreement", "NOK recall", "changed", "who", "why"):
        table.add_column(name, overflow="fold")
    for one in found:
        change = last[one.version]
        where = [_plant(row.plant) for row in rows.values() if one.version in (row.champion, row.shadow)]
        plants = ", ".join(where) or one.plant
        score = score_cells(score_of(one.version, scores))
        cells = (one.version, one.name, one.state, plants, *score, _time(change.at), change.who, change.why)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _history(changes: Sequence[ModelChange]) -> Table:
    table = Table(title="changes", title_justify="left")
    for name in ("when", "change", "plant", "who", "why"):
        table.add_column(name, overflow="fold")
    for change in changes:
        cells = (_time(change.at), change.change, _plant(change.plant), change.who, change.why)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _say(said: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(said)
        return
    text = Text(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in said.items()))
    (err if said.get("good") is False else out).print(text, soft_wrap=True)


def _plant(plant: str) -> str:
    return plant or "every plant"


def _time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M}"
