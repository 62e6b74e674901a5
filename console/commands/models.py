"""`coilflow models`: what can be done with an ensemble of models besides asking it."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from console.extras import refuse_missing
from console.options import JsonOption
from console.output import out, print_json, progress
from flows.mapping import mapping_of
from flows.population import Population, from_source, simulated
from flows.sources.open import open_source
from models.ensemble import load_ensemble
from schemas.coils import Limits
from schemas.settings import Settings, load_settings

if TYPE_CHECKING:
    from flows.int8 import Int8Form


def int8(
    ensemble: Annotated[
        Path | None, typer.Argument(metavar="[ENSEMBLE]", help="Folder of an ensemble; else the one that serves.")
    ] = None,
    *,
    out_folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the int8 form.")],
    calibrate: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Labelled coils, as like those of the line as may be: 256 calibrate, the others judge; "
            "else simulated ones.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Write the int8 form of an ensemble for the edge: smaller, faster, and compared with the original."""
    refuse_missing("an int8 form needs", ("onnx", "sklearn"), extra="retrain")
    from flows.int8 import int8_form  # noqa: PLC0415 - onnx and scikit-learn are optional extras

    settings = load_settings()
    source = ensemble or settings.ensemble
    before = load_ensemble(source, threads=1)
    with progress("read coils"):
        population = _population(calibrate, before.limits, settings)
    with progress("quantise", total=len(before.members)) as step:
        form = int8_form(source, out_folder, population, on_member=lambda _: step.advance(1))
    if as_json:
        print_json({**asdict(form), "out": str(out_folder)})
        return 0
    out.print(_table(form))
    out.print(
        f"labels agree on {form.label_agreement:.2%} of {form.judged} coils; calibrated on {form.calibrated} others "
        f"of {population.source}"
    )
    out.print(f"{form.name} {form.version} in {out_folder}: serve it with COILFLOW_ENSEMBLE={out_folder}")
    return 0


def _population(source: str | None, limits: Limits, settings: Settings) -> Population:
    if source is None:
        from flows.int8 import TYPICAL  # noqa: PLC0415 - as above

        return simulated(TYPICAL, limits)
    return from_source(open_source(source, plant=settings.plant, mapping=mapping_of(settings)), limits)


def _table(form: "Int8Form") -> Table:
    table = Table(title="kB of each graph", title_justify="left")
    for name in ("member", "version", "before", "after"):
        table.add_column(name, justify="left" if name in ("member", "version") else "right")
    for member in form.members:
        table.add_row(member.model, member.version, _kb(member.bytes_before), _kb(member.bytes_after))
    before, after = (sum(getattr(m, name) for m in form.members) for name in ("bytes_before", "bytes_after"))
    table.add_row("in all", "", _kb(before), _kb(after), end_section=True)
    return table


def _kb(size: int) -> str:
    return f"{size / 1e3:,.0f}"
