"""`coilflow demo`: everything, embedded, on one machine."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from console.options import SeedOption
from console.output import RejectReport, out, print_json, progress, verdict_table
from flows.demo import Shift, run_shift
from flows.serving import serving_ensemble
from schemas.settings import load_settings
from store.databases import create_database
from store.embedded import embedded_postgres

_PICTURES = Path("coilflow-demo")


def demo(
    *,
    coils: Annotated[int, typer.Option("--coils", min=1, max=1_000_000, help="How many.")] = 200,
    seed: SeedOption = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Only the line of counts, which is the last in any case.")
    ] = False,
) -> int:
    """Simulate a shift, judge it, store it and show what came out."""
    from console.pictures import draw_coil  # noqa: PLC0415 - no other command waits for matplotlib

    begun = time.perf_counter()
    settings = load_settings()
    ensemble = serving_ensemble(settings)
    report = RejectReport()
    name = f"demo_{datetime.now(UTC):%Y%m%d_%H%M%S_%f}"
    with embedded_postgres(settings.data_dir) as server, progress("shift", total=2 * coils) as step:
        shift = run_shift(
            coils,
            seed=seed,
            dsn=create_database(server, name),
            ensemble=ensemble,
            settings=settings,
            on_coils=step.advance,
            on_rejects=report.add,
        )
    report.close()
    _PICTURES.mkdir(exist_ok=True)
    pictures = [_PICTURES / f"coil-{coil.verdict.key.coil_id}.png" for coil in shift.in_doubt]
    for coil, picture in zip(shift.in_doubt, pictures, strict=True):
        draw_coil(coil, picture, ensemble.limits)
    if not as_json:
        _show(shift, pictures, database=name)
    stored = shift.counts
    print_json(
        {
            "coils": stored.coils,
            "verdicts": stored.verdicts,
            "open": stored.open,
            "dead_letters": stored.dead_letters,
            "feedback": stored.feedback,
            "retrained": [],
            "swaps": 0,
            "lost": shift.lost,
            "duplicated": stored.duplicated,
            "seconds": round(time.perf_counter() - begun, 1),
        }
    )
    return 0 if stored.verdicts else 1


def _show(shift: Shift, pictures: list[Path], *, database: str) -> None:
    stored = shift.counts
    out.print(verdict_table(shift.in_doubt, "closest to their threshold"))
    table = Table(title="the shift, counted in the database", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("number", justify="right")
    for what, number in (
        ("coils", f"{stored.coils}"),
        ("OK / NOK / undecided", f"{stored.ok} / {stored.nok} / {stored.undecided}"),
        ("dead letters", f"{stored.dead_letters}"),
        ("agree with the simulated expert", f"{shift.agreed} of {stored.decided}"),
        ("lost, duplicated", f"{shift.lost}, {stored.duplicated}"),
        ("simulated", f"{stored.coils / shift.simulate_s:,.0f} coils/s"),
        ("read, judged and stored", f"{stored.coils / shift.assess_s:,.0f} coils/s"),
    ):
        table.add_row(what, number)
    out.print(table)
    out.print(f"stored in database {database} of the embedded PostgreSQL")
    for picture in pictures:
        out.print(f"picture {picture}")
