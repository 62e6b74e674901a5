"""`coilflow experiment`: many models on the same folds, compared by statistics."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from console.extras import refuse_missing
from console.options import JsonOption
from console.output import err, number, out, print_json
from flows.mapping import mapping_of
from flows.serving import serving_ensemble
from schemas.errors import UsageError
from schemas.settings import load_settings


def experiment(
    spec: Annotated[
        Path, typer.Argument(metavar="SPEC.yaml", help="What to compare and on what; see flows/experiment/specs.")
    ],
    *,
    out_folder: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder of experiments, which share coils and runs.")
    ] = Path("runs/experiments"),
    jobs: Annotated[
        int | None, typer.Option("--jobs", metavar="N", min=1, help="Runs at once, in place of the specification's.")
    ] = None,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Train nothing: report on the runs that are done.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Train the runs of an experiment that are not done yet, and report on all of them."""
    refuse_missing("experiments need", ("torch", "sklearn", "scipy", "joblib"), extra="train")
    # torch is an optional extra
    from flows.experiment.coils import Plant  # noqa: PLC0415
    from flows.experiment.report import PAGE, write_report  # noqa: PLC0415
    from flows.experiment.run import prepare, results_of, train_missing  # noqa: PLC0415
    from flows.experiment.spec import read_experiment  # noqa: PLC0415
    from flows.experiment.summary import summarise  # noqa: PLC0415

    settings = load_settings()
    read = read_experiment(spec)
    if jobs is not None:
        read = read.model_copy(update={"parallel": read.parallel.model_copy(update={"jobs": jobs})})
    limits = serving_ensemble(settings).limits
    prepared = prepare(read, out_folder, Plant(limits=limits, name=settings.plant, mapping=mapping_of(settings)))
    todo, planned = len(prepared.missing), len(prepared.runs)
    err.print(f"{read.name}: {planned} runs, {planned - todo} of them done before")
    if not report_only:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=err, disable=not err.is_terminal) as bar:
            task = bar.add_task(read.name, total=planned, completed=planned - todo)
            train_missing(
                prepared, on_done=lambda run: bar.update(task, advance=1, description=f"{read.name}: {run.title}")
            )
    done = results_of(prepared, by_any_code=report_only)
    if not done:
        raise UsageError(f"no run of {read.name} is done in {out_folder}", remedy="run it without --report-only")
    arguments = ["coilflow", "experiment", str(spec), *(["--jobs", str(jobs)] if jobs else [])]
    summary, found = summarise(prepared, done, command=shlex.join(arguments))
    report = write_report(out_folder / read.name, prepared, summary, found)
    if as_json:
        print_json(summary.as_json())
        return 0
    for judging, by_subject in summary.figures.items():
        table = Table(title=f"{read.name} on {judging}", title_justify="left")
        for title in ("model", "F1 of NOK", "95% interval", "ROC-AUC", "alarms a day"):
            table.add_column(title, justify="left" if title == "model" else "right")
        for name, figures in by_subject.items():
            f1, auc, alarms = (figures.of[key] for key in ("f1_nok", "roc_auc", "alarms_a_day"))
            bounds = f"{f1.ci95[0]:.3f} to {f1.ci95[1]:.3f}" if f1.ci95 else ""
            table.add_row(name, number(f1.value), bounds, number(auc.value), number(alarms.value))
        out.print(table)
    left = summary.planned - summary.done
    out.print(
        f"{summary.done} of {summary.planned} runs{f', {left} missing' if left else ''}; {report}, {PAGE} beside it"
    )
    return 0
