"""`coilflow models`: what serves, what could, who changed it and why; and to change it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from console.database import command_database
from console.login import login_name
from console.model_scores import score_of
from console.model_tables import (
    answers_table,
    as_object,
    changes_table,
    ensembles_table,
    facts_table,
    frozen_sentence,
    plant_of,
    time_of,
)
from console.options import JsonOption
from console.output import err, out, print_json
from flows import change_models
from models.ensemble import ENSEMBLE
from schemas.errors import BundleError, RegistryError, UsageError
from schemas.settings import Settings, load_settings
from store import registry
from store.connection import Connection
from store.registered import (
    EVERY_PLANT,
    automation,
    champion_of,
    ensembles,
    model_changes,
    serving,
)
from store.registry_steps import Actor, known_ensemble
from store.scores import latest_scores
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
            print_json({**as_object(one, rows, last[one.version], scores), "frozen": told})
    elif found:
        out.print(ensembles_table(found, rows, last, scores))
    else:
        out.print("no ensemble is registered; the first worker registers the one of its settings")
    if frozen.frozen and not as_json:
        out.print(Text(f"automatic change is frozen {frozen_sentence(frozen)}"), soft_wrap=True)
    return 0 if found else 1


def show(version: VersionArgument, *, as_json: JsonOption = False) -> int:
    """Show one ensemble: its members, where it serves, every change of it, and what the workers answered."""
    with _registry() as (connection, _):
        one = known_ensemble(connection, version)
        rows, changes = serving(connection), model_changes(connection, version=version)
        said, scores = answers(connection, version), latest_scores(connection)
    if as_json:
        history = {"changes": [asdict(change) for change in changes], "answers": [asdict(each) for each in said]}
        facts = as_object(one, rows, changes[-1], scores)
        print_json({**facts, "manifest": one.manifest.model_dump(mode="json"), **history})
        return 0
    out.print(facts_table(one, rows, score_of(version, scores)))
    out.print(changes_table(changes))
    out.print(answers_table(said))
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
        if not (folder / ENSEMBLE).is_file():
            raise UsageError(
                f"{folder} is no folder of an ensemble: it holds no {ENSEMBLE}",
                remedy=f"give as FOLDER the folder that holds {ENSEMBLE}",
            )
        new = change_models.new_ensemble(folder, settings, plant=plant)
        is_new = registry.register_ensemble(connection, new, _actor(settings, who, why))
        one = known_ensemble(connection, new.manifest.version)
    if is_new:
        sentence = f"{one.version} is registered as a candidate, kept in {one.location}"
    else:
        sentence = f"{one.version} was registered before, at {time_of(one.registered_at)}; nothing was changed"
    _say({"registered": one.version, "location": one.location, "new": is_new}, sentence, as_json=as_json)
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
    said = {"shadow": version, "plant": plant_of(plant)}
    _say(
        said, f"{version} judges {plant_of(plant)} beside its champion; its verdicts count for nothing", as_json=as_json
    )
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
    said = {"champion": version, "plant": plant_of(plant)}
    _say(
        said,
        f"{version} is the champion of {plant_of(plant)}; what the workers answer: coilflow models show {version}",
        as_json=as_json,
    )
    return 0


def reject(version: VersionArgument, *, why: WhyOption = "", who: WhoOption = None, as_json: JsonOption = False) -> int:
    """Give a candidate or a shadow up for good."""
    with _registry() as (connection, settings):
        registry.reject(connection, version, _actor(settings, who, why))
    _say({"rejected": version}, f"{version} is rejected for good", as_json=as_json)
    return 0


def rollback(
    *,
    plant: PlantOption = EVERY_PLANT,
    to: Annotated[
        str | None, typer.Option("--to", metavar="VERSION", help="A champion of before; else the latest that is whole.")
    ] = None,
    why: WhyOption = "",
    who: WhoOption = None,
    as_json: JsonOption = False,
) -> int:
    """Go back to a champion before; the one that goes is rejected."""
    with _registry() as (connection, settings):
        back = change_models.rollback(connection, settings, _actor(settings, who, why), plant=plant, to=to)
        champion = back or champion_of(serving(connection), plant)
    sentence = f"{champion} is the champion of {plant_of(plant)} again"
    if back is None:
        sentence = f"{plant_of(plant)} has no champion of its own any more: {champion} serves it, as every plant"
    _say({"champion": champion, "plant": plant_of(plant)}, sentence, as_json=as_json)
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
                said = {"version": one, "good": False, "error": str(error), "remedy": error.remedy}
                _say(said, f"{one} is not good: {error}; {error.remedy}", as_json=as_json, to=err)
            else:
                said = {"version": one, "good": True, "canaries_off_by": trial.off, "ms_a_coil": round(trial.ms, 3)}
                sentence = (
                    f"{one} is good: every file has its digest, the canary coils are off by {trial.off:.1e} at most, "
                    f"{trial.ms:.2f} ms a coil"
                )
                _say(said, sentence, as_json=as_json)
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
        stands = automation(connection)
    if changed:
        sentence = "automatic change is frozen" if frozen else "automatic change goes on"
    else:
        already = f"frozen already, {frozen_sentence(stands)}" if frozen else "not frozen"
        sentence = f"automatic change is {already}; nothing was changed"
    said = {"frozen": frozen, "changed": changed, "who": stands.who, "why": stands.why, "at": stands.at}
    _say(said, sentence, as_json=as_json)
    return 0


@contextmanager
def _registry() -> Iterator[tuple[Connection, Settings]]:
    settings = load_settings()
    with command_database(settings) as connection:
        limit_waits(connection)
        yield connection, settings


def _actor(settings: Settings, who: str | None, why: str) -> Actor:
    return Actor(
        who=who or login_name(), why=why, at=datetime.now(UTC), announce=change_models.model_destinations(settings)
    )


def _say(said: dict[str, Any], sentence: str, *, as_json: bool, to: Console = out) -> None:
    if as_json:
        print_json(said)
    else:
        to.print(Text(sentence), soft_wrap=True)
