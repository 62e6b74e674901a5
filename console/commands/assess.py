"""`coilflow assess`: one verdict a coil."""

from collections import Counter
from contextlib import ExitStack
from typing import Annotated

import typer

from console.options import EMBEDDED, JsonOption, SourceArgument
from console.output import RejectReport, out, print_json, progress, verdict_json, verdict_table
from flows.assess import JudgedCoil
from flows.assess import assess as assess_source
from flows.mapping import mapping_of
from flows.observe import log_to_stderr
from flows.record import record
from flows.served import Ensembles, only
from flows.serving import Serving, serving_ensemble
from flows.sources.open import open_source
from schemas.settings import Settings, load_settings
from schemas.verdicts import Label
from store.connection import connect

_SHOWN = 40  # a longer table is of no use to a reader


def assess(
    source: SourceArgument,
    *,
    as_json: JsonOption = False,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="[DSN]",
            help="Also write readings and verdicts to PostgreSQL: the DSN given here, else the one in the settings, "
            "else the embedded one.",
        ),
    ] = None,
) -> int:
    """Judge every coil of SOURCE: OK, NOK or UNDECIDED."""
    settings = load_settings()
    log_to_stderr()
    opened = open_source(source, plant=settings.plant, mapping=mapping_of(settings))
    labels: Counter[Label] = Counter()
    first: dict[bool, list[JudgedCoil]] = {True: [], False: []}  # OK, not OK
    report = RejectReport()
    with ExitStack() as stack:
        dsn = _dsn(stack, store, settings) if store else None
        ensembles = only(serving_ensemble(settings)) if dsn is None else _registered(dsn, settings)
        connection = stack.enter_context(connect(dsn)) if dsn is not None else None
        step = stack.enter_context(progress("assess"))
        for judged in assess_source(opened, ensembles, settings, records=connection is not None):
            if connection is not None:
                record(connection, judged, settings)
            report.add(judged.rejects)
            for coil in judged.coils:
                labels[coil.verdict.label] += 1
                if as_json:
                    print_json(verdict_json(coil))
                elif len(some := first[coil.verdict.label is Label.OK]) < _SHOWN:
                    some.append(coil.alone())
            step.advance(len(judged.coils))
    total = sum(labels.values())
    if not as_json and total:
        shown = [*first[False], *first[True]][:_SHOWN]
        left_out = f", {len(shown)} shown, those that are not OK first" if len(shown) < total else ""
        out.print(verdict_table(shown, f"{total} verdicts{left_out}"))
        out.print("  ".join(f"{label.value} {labels[label]}" for label in Label))
    report.close()
    return 0 if total else 1


def _registered(dsn: str, settings: Settings) -> Ensembles:
    """What the registry of the database says at the start; a run keeps to it."""
    serving = Serving(dsn, settings, kind="local")
    try:
        serving.load()
        return serving.current()
    finally:
        serving.stop()


def _dsn(stack: ExitStack, store: str, settings: Settings) -> str:
    """The database that `--store` names, at the version of this code."""
    from store.embedded import embedded_postgres  # noqa: PLC0415 - a judgement without a database starts faster
    from store.migrations import migrate  # noqa: PLC0415

    dsn = store if store != EMBEDDED else settings.database_dsn
    if dsn is None:
        dsn = stack.enter_context(embedded_postgres(settings.data_dir))
    migrate(dsn)
    return dsn
