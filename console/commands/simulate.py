"""`coilflow simulate`: coils of a simulated line, as the plant's tables or as events."""

from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from console.options import SeedOption
from console.output import out, progress
from plant.events import write_events
from plant.line import SimulatedBlock
from plant.line import simulate as run_line
from plant.settings import PRODUCTION
from plant.tables import write_tables
from schemas.errors import UsageError


class Format(StrEnum):
    """What to write."""

    TABLES = "tables"
    EVENTS = "events"


def simulate(
    *,
    coils: Annotated[int, typer.Option("--coils", min=1, max=1_000_000, help="How many.")],
    out_dir: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder to write to; made where it is not there.")
    ],
    seed: SeedOption = 0,
    form: Annotated[
        Format, typer.Option("--format", help="tables: coils.csv, tiles.csv, truth.csv; events: events.jsonl.")
    ] = Format.TABLES,
    defect_share: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of coils with an injected defect; else as in production.")
    ] = None,
) -> int:
    """Simulate coils, labelled by a simulated expert."""
    if out_dir.exists() and not out_dir.is_dir():
        raise UsageError(f"{out_dir} is a file", remedy="name a folder")
    line = PRODUCTION if defect_share is None else replace(PRODUCTION, defect_share=defect_share)
    nok = 0
    with progress("simulate", total=coils) as step:

        def blocks() -> Iterator[SimulatedBlock]:
            nonlocal nok
            for block in run_line(coils, seed=seed, line=line):
                yield block
                nok += sum(header.label == "NOK" for header in block.headers)
                step.advance(len(block))

        if form is Format.TABLES:
            write_tables(blocks(), out_dir)
        else:
            write_events(blocks(), out_dir / "events.jsonl")
    out.print(f"{coils} coils in {out_dir}, {nok} of them NOK by the expert")
    return 0
