"""`coilflow demo`: everything, embedded, on one machine."""

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from console.options import SeedOption
from console.output import RejectReport, err, out, print_json, progress, verdict_table
from flows.observe import log_warnings_to_stderr
from schemas.settings import Settings, load_settings
from store.coils import Counts
from store.databases import create_database
from store.embedded import embedded_postgres
from store.migrations import migrate

if TYPE_CHECKING:
    from flows.demo_kafka import KafkaShift
    from scheduler.demo import Story

_PICTURES = Path("coilflow-demo")
_CHART = _PICTURES / "story.png"
_LEARNS_BY = ("onnx", "scipy", "sklearn", "threadpoolctl")  # libraries of the extra `retrain`
_WIDTH = 10  # of who or what is told of


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shown:
    """What the last line says."""

    counts: Counts
    lost: int
    retrained: tuple[str, ...] = ()
    swaps: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where the coils go."""

    dsn: str
    name: str  # of the database
    on_ready: Callable[[Settings], None]  # told before the first coil by what settings it runs


def demo(
    *,
    coils: Annotated[
        int, typer.Option("--coils", min=1, max=1_000_000, help="How many; with fewer than 800 nothing drifts.")
    ] = 1600,
    seed: SeedOption = 0,
    kafka: Annotated[
        bool, typer.Option("--kafka", help="Through the configured Kafka, or one started here by Java and Maven.")
    ] = False,
    console: Annotated[
        bool, typer.Option("--console", help="Show it in a browser as it goes on, until Ctrl-C or SIGTERM.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Only the line of counts, which is the last in any case.")
    ] = False,
) -> int:
    """A line drifts, its models slip, and a successor is trained, proved and swapped in while coils keep coming."""
    begun = time.perf_counter()
    log_warnings_to_stderr()
    settings = load_settings()
    run = _through_kafka if kafka else _story
    name = f"demo_{datetime.now(UTC):%Y%m%d_%H%M%S_%f}"
    with ExitStack() as stack:
        server = stack.enter_context(embedded_postgres(settings.data_dir))
        dsn = create_database(server, name)
        on_ready = _opens_console(stack, dsn) if console else _without_console
        place = _Place(dsn=dsn, name=name, on_ready=on_ready)
        shown = run(coils, seed, settings, place, quiet=as_json)
        stop = threading.Event()
        if console:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: stop.set())
        stored = shown.counts
        print_json(
            {
                "coils": stored.coils,
                "verdicts": stored.verdicts,
                "open": stored.open,
                "dead_letters": stored.dead_letters,
                "feedback": stored.feedback,
                "retrained": list(shown.retrained),
                "swaps": shown.swaps,
                "lost": shown.lost,
                "duplicated": stored.duplicated,
                "seconds": round(time.perf_counter() - begun, 1),
            }
        )
        if console:
            sys.stdout.flush()
            err.print("the console goes on; Ctrl-C ends it")
            stop.wait()
    return 0 if stored.verdicts else 1


def _without_console(_: Settings) -> None:
    """Nobody looks on."""


def _opens_console(stack: ExitStack, dsn: str) -> Callable[[Settings], None]:
    from console.beside import console_beside  # noqa: PLC0415 - only this way of the command serves

    def open_console(settings: Settings) -> None:
        link = stack.enter_context(console_beside(dsn, settings, "demo"))
        err.print(f"look on, signed in once, within ten minutes: {link}")
        err.print(f"scripts need a key: COILFLOW_DATABASE_DSN='{dsn}' coilflow keys create script --scope read")

    return open_console


def _story(coils: int, seed: int, settings: Settings, place: _Place, *, quiet: bool) -> _Shown:
    from console.demo_chart import draw_story  # noqa: PLC0415 - no other command waits for matplotlib
    from console.pictures import draw_coil  # noqa: PLC0415 - the same
    from scheduler.demo import run_story  # noqa: PLC0415 - no other way of this command needs the scheduler

    missing = [library for library in _LEARNS_BY if find_spec(library) is None]
    report = RejectReport()
    with progress("coils", total=coils) as step:

        def tell(who: str, said: Sequence[str]) -> None:
            if not quiet:
                step.say(_told(who, said))

        story = run_story(
            coils,
            seed=seed,
            dsn=place.dsn,
            settings=settings,
            trains=not missing,
            tell=tell,
            on_coils=step.advance,
            on_rejects=report.add,
            on_ready=place.on_ready,
        )
    report.close()
    _PICTURES.mkdir(exist_ok=True)
    pictures = [_PICTURES / f"coil-{coil.verdict.key.coil_id}.png" for coil in story.in_doubt]
    for coil, picture in zip(story.in_doubt, pictures, strict=True):
        draw_coil(coil, picture, story.limits)
    draw_story(story.figures, _CHART)
    for what in story.missing:
        err.print(Text("not shown: ", style="yellow") + Text(what))
    if not quiet:
        _show(story, [*pictures, _CHART], database=place.name)
    found = story.figures
    return _Shown(counts=found.counts, lost=found.lost, retrained=found.retrained, swaps=found.swaps)


def _told(who: str, said: Sequence[str]) -> Table:
    """One step of the story: who or what, and a sentence a line."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=_WIDTH, style="bold")
    table.add_column(overflow="fold")
    for place, sentence in enumerate(said):
        table.add_row("" if place else who, Text(sentence))
    return table


def _through_kafka(coils: int, seed: int, settings: Settings, place: _Place, *, quiet: bool) -> _Shown:
    from flows.demo_kafka import run_kafka_shift  # noqa: PLC0415 - no other command waits for Kafka's client

    logging.getLogger("kafka").addHandler(logging.NullHandler())  # what matters of it comes as an error
    migrate(place.dsn)
    place.on_ready(settings)
    with progress("shift", total=2 * coils) as step:
        shift = run_kafka_shift(
            coils,
            seed=seed,
            dsn=place.dsn,
            settings=settings,
            command=(sys.executable, "-c", "from console.cli import main; main()"),
            on_coils=step.advance,
        )
    if not quiet:
        _show_kafka(shift, database=place.name)
    return _Shown(counts=shift.counts, lost=shift.lost)


def _show(story: "Story", pictures: list[Path], *, database: str) -> None:
    found = story.figures
    stored = found.counts
    out.print(verdict_table(story.in_doubt, "closest to their threshold"))
    out.print(_periods(story))
    _table(
        "the coils, counted in the database",
        ("coils", f"{stored.coils}"),
        ("OK / NOK / undecided", f"{stored.ok} / {stored.nok} / {stored.undecided}"),
        ("dead letters", f"{stored.dead_letters}"),
        ("words of operators", f"{stored.feedback}"),
        ("members trained anew, swaps", f"{len(found.retrained)}, {found.swaps}"),
        ("lost, duplicated", f"{found.lost}, {stored.duplicated}"),
        ("simulated", f"{stored.coils / story.simulate_s:,.0f} coils/s"),
        ("read, judged and stored", f"{stored.coils / story.assess_s:,.0f} coils/s"),
    )
    out.print(f"stored in database {database} of the embedded PostgreSQL")
    for picture in pictures:
        out.print(f"picture {picture}")


def _periods(story: "Story") -> Table:
    from scheduler.demo_figures import said  # noqa: PLC0415 - no other way of this command needs the scheduler

    table = Table(title="verdicts against the operators' labels, 95% intervals", title_justify="left")
    table.add_column("judged by")
    for name in ("coils", "agreement", "NOK recall", "false alarms"):
        table.add_column(name, justify="right")
    for name, part in story.figures.periods:
        figures = (part.agreement(), part.recall(), part.false_alarms())
        table.add_row(name, f"{len(part.number)}", *map(said, figures))
    return table


def _show_kafka(shift: "KafkaShift", *, database: str) -> None:
    stored = shift.counts
    _table(
        "the shift, counted in the database",
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


def _table(title: str, *rows: tuple[str, str]) -> None:
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("number", justify="right")
    for what, number in rows:
        table.add_row(what, number)
    out.print(table)
