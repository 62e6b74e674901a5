"""`coilflow models scores` and `models drift`: how good each version is, and whether the coils are still alike."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.text import Text

from console.database import command_database
from console.model_scores import scores_of_version
from console.options import JsonOption
from console.output import out, print_json
from console.score_tables import drift_row, drift_table, score_row, scores_table
from flows.bundle_store import local_copy
from flows.drift_report import refuse_without_evidently, write_drift_report
from models.ensemble import load_ensemble
from schemas.errors import UsageError
from schemas.settings import Settings, load_settings
from store.connection import Connection
from store.drift import DriftCheck, latest_drift_checks
from store.registered import champion_of, serving
from store.registry_steps import known_ensemble
from store.scores import latest_scores, score_history
from store.waits import limit_waits

_MOST = 100


def scores(
    version: Annotated[
        str | None,
        typer.Argument(metavar="[VERSION]", help="Of an ensemble, with its members, or of a model; else all."),
    ] = None,
    *,
    by: Annotated[
        Literal["band", "material", "plant"] | None, typer.Option("--by", help="Of each such slice; else of all coils.")
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="As they changed, the newest first; else the newest alone.")
    ] = False,
    most: Annotated[int, typer.Option("--most", min=1, help="No more of the history.")] = _MOST,
    as_json: JsonOption = False,
) -> int:
    """Show how often people agreed with each version, on labelled coils and weighted; exit 1 where nothing is known."""
    part = by or "all"
    with command_database(load_settings()) as connection:
        limit_waits(connection)
        newest = latest_scores(connection)
        if version is not None:
            newest = scores_of_version(connection, version, newest)
        if history:
            found = score_history(connection, part, {one.subject for one in newest}, most=most)
        else:
            found = tuple(one for one in newest if one.slice.kind == part)
    if as_json:
        for one in found:
            print_json(score_row(one))
    elif found:
        out.print(scores_table(found))
    else:
        whose = "any version" if version is None else version
        text = f"no score of {whose} by {part}" if by else f"no score of {whose}"
        out.print(f"{text}: the job `score` reckons them once coils are judged and labelled", soft_wrap=True)
    return 0 if found else 1


def drift(
    *,
    plant: Annotated[str | None, typer.Option("--plant", help="Of this plant alone.")] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write Evidently's page of the latest coils and those before."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Show each plant's last drift check, figure by figure with reference and threshold; exit 1 where there is none."""
    if html is not None:
        refuse_without_evidently()
    settings = load_settings()
    with command_database(settings) as connection:
        limit_waits(connection)
        found = tuple(one for one in latest_drift_checks(connection) if plant in (None, one.plant))
        if html is not None:
            _write_page(connection, settings, found, plant, html)
    for one in found:
        if as_json:
            print_json(drift_row(one))
        else:
            if one.figures:
                out.print(drift_table(one))
            out.print(Text(one.sentence), soft_wrap=True)
    if not found and not as_json:
        out.print("no drift check yet: the job `drift` makes one every hour", soft_wrap=True)
    if html is not None and not as_json:
        out.print(Text(f"the latest coils beside those before them: {html}"), soft_wrap=True)
    return 0 if found or html is not None else 1


def _write_page(
    connection: Connection, settings: Settings, found: tuple[DriftCheck, ...], plant: str | None, html: Path
) -> None:
    plants = [one.plant for one in found]
    if plant is None and len(plants) != 1:
        raise UsageError(f"a page is of one plant, and {len(plants)} were checked", remedy="name one with --plant")
    chosen = plant or plants[0]
    champion = champion_of(serving(connection), chosen)
    if champion is None:
        raise UsageError(f"no ensemble serves {chosen}", remedy="register one, or start a worker")
    folder = local_copy(known_ensemble(connection, champion), settings)
    served = load_ensemble(folder, threads=settings.threads, how=settings.combine)
    try:
        write_drift_report(connection, settings, served, datetime.now(UTC), plant=chosen, out=html)
    except OSError as error:
        raise UsageError(f"{html} cannot be written ({error.strerror})", remedy="name another file") from error
