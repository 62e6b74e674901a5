"""`coilflow evaluate`: verdicts against labels."""

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.table import Table

from console.options import JsonOption, SourceArgument
from console.output import RejectReport, metrics_table, out, print_json, progress
from flows.assess import Judged, assess
from flows.evaluate import evaluate_source
from flows.mapping import mapping_of
from flows.served import only
from flows.serving import serving_ensemble
from flows.sources.open import open_source
from models.evaluation import Evaluation
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

        result = evaluate_source(judged(), name=opened.name, prevalence=prevalence)
    report.close()
    if as_json:
        print_json(result.evaluation.as_json())
    else:
        out.print(_table(result.evaluation))
        confusion = result.evaluation.confusion
        out.print(
            f"called NOK: {confusion['tp']} rightly, {confusion['fp']} falsely; called OK: {confusion['tn']} rightly, "
            f"{confusion['fn']} falsely; undecided {result.evaluation.undecided}; without a label {result.unlabelled}"
        )
    return 0


def _table(evaluation: Evaluation) -> Table:
    where = f" at {evaluation.prevalence:.1%} NOK" if evaluation.prevalence is not None else ""
    title = f"{evaluation.n} labelled coils{where}, positive class NOK"
    return metrics_table(evaluation.as_json(), title=title)
