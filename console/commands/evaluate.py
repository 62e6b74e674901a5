"""`coilflow evaluate`: verdicts against labels."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from console.options import JsonOption, SourceArgument
from console.output import RejectReport, metrics_table, out, print_json, progress
from flows.assess import Judged, assess
from flows.error_groups import truth_beside
from flows.evaluate import evaluate_source
from flows.mapping import mapping_of
from flows.served import only
from flows.serving import serving_ensemble
from flows.sources.open import open_source
from models.error_rows import ALL, ErrorRow, Wrong
from models.evaluation import Evaluation
from models.kinds import shipped_kinds
from schemas.errors import UsageError
from schemas.settings import load_settings


def evaluate(
    source: SourceArgument,
    *,
    as_json: JsonOption = False,
    prevalence: Annotated[
        float | None,
        typer.Option(
            metavar="P", help="Share of NOK on the line, 0 to 1: precision and the like as they would be there."
        ),
    ] = None,
) -> int:
    """Measure the verdicts on a labelled SOURCE."""
    if prevalence is not None and not 0 < prevalence < 1:
        raise UsageError(f"--prevalence is {prevalence:g}, expected a share between 0 and 1", remedy="give 0.01 for 1%")
    settings = load_settings()
    opened = open_source(source, plant=settings.plant, mapping=mapping_of(settings))
    ensemble = serving_ensemble(settings)
    report = RejectReport()
    with progress("evaluate") as step:

        def judged() -> Iterator[Judged]:
            for batch in assess(opened, only(ensemble), settings, records=False):
                report.add(batch.rejects)
                step.advance(len(batch.coils))
                yield batch

        result = evaluate_source(
            judged(),
            name=opened.name,
            prevalence=prevalence,
            limits=ensemble.limits,
            kinds=shipped_kinds(),
            truth=truth_beside(source),
        )
    report.close()
    if as_json:
        print_json(result.as_json())
    else:
        out.print(_table(result.evaluation))
        confusion = result.evaluation.confusion
        out.print(
            f"called NOK: {confusion['tp']} rightly, {confusion['fp']} falsely; called OK: {confusion['tn']} rightly, "
            f"{confusion['fn']} falsely; undecided {result.evaluation.undecided}; without a label {result.unlabelled}"
        )
        out.print(_errors_table(result.errors))
    return 0


def _table(evaluation: Evaluation) -> Table:
    where = f" at {evaluation.prevalence:.1%} NOK" if evaluation.prevalence is not None else ""
    title = f"{evaluation.n} labelled coils{where}, positive class NOK"
    return metrics_table(evaluation.as_json(), title=title)


def _errors_table(rows: Sequence[ErrorRow]) -> Table:
    """Where verdicts go wrong; the rate with its 95% interval."""
    table = Table(title="defects missed and false alarms, by what coils have in common", title_justify="left")
    for title in ("by", "", "NOK", "missed", "OK", "false alarms"):
        table.add_column(title, justify="left" if title in ("by", "") else "right", no_wrap=True)
    before = ""
    for row in rows:
        by = row.by if row.by != before else ""
        cells = [cell for one in (row.missed, row.false_alarms) for cell in (str(one.coils), _wrong(one))]
        table.add_row(by, Text(row.value), *cells, style="bold" if row.by == ALL else None)
        before = row.by
    return table


def _wrong(one: Wrong) -> str:
    if one.rate is None or one.ci95 is None:
        return "–"
    low, high = one.ci95
    return f"{one.wrong:g}: {one.rate:.0%} [{low:.0%}, {high:.0%}]"
