"""`coilflow demo`: everything, embedded, on one machine."""

import logging
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from console.options import SeedOption
from console.output import RejectReport, out, print_json, progress, verdict_table
from flows.demo import Shift, run_shift
from flows.serving import serving_ensemble
from schemas.settings import Settings, load_settings
from store.coils import Counts
from store.databases import create_database
from store.embedded import embedded_postgres

if TYPE_CHECKING:
    from flows.demo_kafka import KafkaShift

_PICTURES = Path("coilflow-demo")


def demo(
    *,
    coils: Annotated[int, typer.Option("--coils", min=1, max=1_000_000, help="How many.")] = 200,
    seed: SeedOption = 0,
    kafka: Annotated[
        bool, typer.Option("--kafka", help="Through the configured Kafka, or one started here by Java and Maven.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Only the line of counts, which is the last in any case.")
    ] = False,
) -> int:
    """Simulate a shift, judge it, store it and show what came out."""
    begun = time.perf_counter()
    settings = load_settings()
    run = _through_kafka if kafka else _in_one_process
    stored, lost = run(coils, seed, settings, quiet=as_json)
    print_json(
        {
            "coils": stored.coils,
            "verdicts": stored.verdicts,
            "open": stored.open,
            "dead_letters": stored.dead_letters,
            "feedback": stored.feedback,
            "retrained": [],
            "swaps": 0,
            "lost": lost,
            "duplicated": stored.duplicated,
            "seconds": round(time.perf_counter() - begun, 1),
        }
    )
    return 0 if stored.verdicts else 1


def _in_one_process(coils: int, seed: int, settings: Settings, *, quiet: bool) -> tuple[Counts, int]:
    from console.pictures import draw_coil  # noqa: PLC0415 - no other command waits for matplotlib

    ensemble = serving_ensemble(settings)
    report = RejectReport()
    name = _database_name()
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
    if not quiet:
        _show(shift, pictures, database=name)
    return shift.counts, shift.lost


def _through_kafka(coils: int, seed: int, settings: Settings, *, quiet: bool) -> tuple[Counts, int]:
    from flows.demo_kafka import run_kafka_shift  # noqa: PLC0415 - no other command waits for Kafka's client

    logging.getLogger("kafka").addHandler(logging.NullHandler())  # what matters of it comes as an error
    name = _database_name()
    with embedded_postgres(settings.data_dir) as server, progress("shift", total=2 * coils) as step:
        shift = run_kafka_shift(
            coils,
            seed=seed,
            dsn=create_database(server, name),
            settings=settings,
            command=(sys.executable, "-c", "from console.cli import main; main()"),
            on_coils=step.advance,
        )
    if not quiet:
        _show_kafka(shift, database=name)
    return shift.counts, shift.lost


def _database_name() -> str:
    return f"demo_{datetime.now(UTC):%Y%m%d_%H%M%S_%f}"


def _show(shift: Shift, pictures: list[Path], *, database: str) -> None:
    stored = shift.counts
    out.print(verdict_table(shift.in_doubt, "closest to their threshold"))
    _table(
        ("coils", f"{stored.coils}"),
        ("OK / NOK / undecided", f"{stored.ok} / {stored.nok} / {stored.undecided}"),
        ("dead letters", f"{stored.dead_letters}"),
        ("agree with the simulated expert", f"{shift.agreed} of {stored.decided}"),
        ("lost, duplicated", f"{shift.lost}, {stored.duplicated}"),
        ("simulated", f"{stored.coils / shift.simulate_s:,.0f} coils/s"),
        ("read, judged and stored", f"{stored.coils / shift.assess_s:,.0f} coils/s"),
    )
    out.print(f"stored in database {database} of the embedded PostgreSQL")
    for picture in pictures:
        out.print(f"picture {picture}")


def _show_kafka(shift: "KafkaShift", *, database: str) -> None:
    stored = shift.counts
    _table(
        ("coils", f"{stored.coils}"),
        ("OK / NOK / undecided", f"{stored.ok} / {stored.nok} / {stored.undecided}"),
        ("dead letters", f"{stored.dead_letters}"),
        ("announced on the topic of verdicts", f"{shift.announced}"),
        ("agree with the simulated expert", f"{shift.agreed} of {shift.announced}"),
        ("lost, duplicated", f"{shift.lost}, {stored.duplicated}"),
        ("events sent", f"{shift.events:,} in {shift.send_s:.1f} s"),
        ("the last coil was decided after", f"{shift.decide_s:.1f} s"),
    )
    out.print(f"through Kafka at {shift.brokers}; stored in database {database} of the embedded PostgreSQL")


def _table(*rows: tuple[str, str]) -> None:
    table = Table(title="the shift, counted in the database", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("number", justify="right")
    for what, number in rows:
        table.add_row(what, number)
    out.print(table)
