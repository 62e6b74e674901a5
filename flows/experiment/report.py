"""The report of an experiment: Markdown with its plots beside it, and one HTML file that holds all."""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from markdown_it import MarkdownIt

from flows.experiment.compare import Figure, Figures, finished_places
from flows.experiment.errors import error_cells
from flows.experiment.judged import Judged, Subject
from flows.experiment.plots import names_of, plots
from flows.experiment.run import Prepared
from flows.experiment.spec import FOLDS, ExperimentSpec
from flows.experiment.summary import Summary

MARKDOWN, PAGE, FIGURES, PLOTS = "report.md", "report.html", "report.json", "plots"
_MOST_MISSING = 20
_TITLES = {
    "f1_nok": "F1 NOK",
    "precision_nok": "precision NOK",
    "recall_nok": "recall NOK",
    "f1_ok": "F1 OK",
    "precision_ok": "precision OK",
    "recall_ok": "recall OK",
    "macro_f1": "macro F1",
    "accuracy": "accuracy",
    "roc_auc": "ROC-AUC",
    "mcc": "MCC",
    "calibration_error": "calibration error",
}
_MAIN = ("f1_nok", "roc_auc", "mcc", "calibration_error")
_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>$title</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 13px; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #d5dae0; padding: 0.25rem 0.6rem; text-align: left; }
td { font-variant-numeric: tabular-nums; }
img { max-width: 100%; }
</style></head><body>
$body
</body></html>
""")


def write_report(folder: Path, prepared: Prepared, summary: Summary, found: Mapping[str, Subject]) -> Path:
    """Write `report.md`, `report.html`, `report.json` and `plots/`; returns the path of the Markdown.

    Args:
        folder: of the reports of this experiment; files of an earlier report are replaced.
        prepared: the experiment.
        summary: its figures.
        found: its models and ensembles, for the curves.
    """
    judged: dict[str, dict[str, Judged]] = {}
    for judging, by_subject in summary.figures.items():
        rows = {
            name: found[name].on(judging, finished_places(prepared.spec, found[name], judging)) for name in by_subject
        }
        judged[judging] = {name: one for name, one in rows.items() if one is not None}
    pictures = plots(summary, judged, prepared.spec.prevalence, prepared.spec.seed)
    text = markdown(prepared, summary, {name: title for name, (title, _) in pictures.items()})
    (folder / PLOTS).mkdir(parents=True, exist_ok=True)
    for old in (folder / PLOTS).glob("*.svg"):
        old.unlink()
    for name, (_, svg) in pictures.items():
        (folder / PLOTS / name).write_bytes(svg)
    (folder / MARKDOWN).write_text(text, encoding="utf-8")
    (folder / PAGE).write_text(page(summary.name, text, {n: svg for n, (_, svg) in pictures.items()}), encoding="utf-8")
    (folder / FIGURES).write_text(json.dumps(summary.as_json(), indent=1) + "\n", encoding="utf-8")
    return folder / MARKDOWN


def page(title: str, text: str, pictures: Mapping[str, bytes]) -> str:
    """One HTML page of the Markdown, its pictures inside."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    for name, svg in pictures.items():
        body = body.replace(
            f'src="{PLOTS}/{name}"', f'src="data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"'
        )
    return _PAGE.substitute(title=html.escape(title), body=body)


def markdown(prepared: Prepared, summary: Summary, pictures: Mapping[str, str]) -> str:
    """The report as Markdown; `pictures` are the titles of the plots by file name."""
    spec = prepared.spec
    parts = [f"# Experiment {summary.name}", summary.description, _status(summary), "## How it was run"]
    parts.append(_table(("what", ""), [(key, value) for key, value in summary.about.items()]))
    for judging, by_subject in summary.figures.items():
        parts.append("## On the left-out folds" if judging == FOLDS else f"## On {judging}")
        if not by_subject:
            parts.append(_unjudged(spec) if judging == FOLDS else "No model is finished here.")
            continue
        parts += [
            _explained(judging, next(iter(by_subject.values()))),
            _quality(by_subject),
            "Per class and as a whole:",
            _table(
                ("model", *(_TITLES[name] for name in _TITLES if name not in _MAIN)),
                [
                    (name, *(_shown(figures.of[m]) for m in _TITLES if m not in _MAIN))
                    for name, figures in by_subject.items()
                ],
            ),
            f"On a line with {spec.prevalence:.1%} NOK and {spec.coils_a_day:g} coils a day, and the confusion counts "
            "(mean of runs):",
            _on_the_line(by_subject),
        ]
        parts += [f"![{title}]({PLOTS}/{name})" for name, title in pictures.items() if name in names_of(judging)]
        parts += _wrong(summary, judging)
    parts += ["## Tests", _tests(summary, spec), "## Cost", _costs(summary), "## Runs", _runs(summary)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _unjudged(spec: ExperimentSpec) -> str:
    if spec.train_folds is None or spec.train_folds == spec.folds:
        return "No model is finished here."
    return (
        f"{spec.train_folds} of {spec.folds} folds trained, so not every coil has a model that judges it: see the "
        "gold sets."
    )


def _status(summary: Summary) -> str:
    left = summary.planned - summary.done
    text = f"{summary.done} of {summary.planned} runs are done"
    text += "." if not left else f", **{left} are missing**: what follows is of those that are done."
    if left:
        more = f" and {left - _MOST_MISSING} more" if left > _MOST_MISSING else ""
        text += f" Missing: {', '.join(summary.missing[:_MOST_MISSING])}{more}."
    if summary.unfinished:
        text += f" Not all runs: {', '.join(summary.unfinished)}."
    for name, why in summary.impossible.items():
        text += f" The ensemble {name} is not possible: {why}."
    if summary.other_code:
        text += f" {summary.other_code} runs were trained by other code than this report's."
    return text


def _explained(judging: str, figures: Figures) -> str:
    of = "repeats, each coil judged by the model that did not learn from it" if judging == FOLDS else "runs"
    return (
        f"{figures.coils} coils, {figures.nok} NOK. Mean over {figures.runs} {of}; 95% intervals by bootstrap over "
        "coils in brackets; ± is the standard deviation over runs. Each run's threshold was set on validation coils. "
        "The calibration error is of probabilities moved from equal labels, to which models are calibrated, to the "
        "share of NOK here."
    )


def _quality(by_subject: Mapping[str, Figures]) -> str:
    def cell(figure: Figure) -> str:
        return _shown(figure) + (f" ± {figure.spread:.3f}" if figure.spread is not None else "")

    rows = [(name, str(f.runs), *(cell(f.of[metric]) for metric in _MAIN)) for name, f in by_subject.items()]
    return _table(("model", "runs", *(_TITLES[name] for name in _MAIN)), rows)


def _wrong(summary: Summary, judging: str) -> list[str]:
    by_subject = summary.figures[judging]
    best = max(by_subject, key=lambda name: by_subject[name].of["f1_nok"].value or 0.0)
    said = (
        f"Where {best} goes wrong, which has the best F1 here (all models: `{FIGURES}`, key `errors`): of coils that "
        "have something in common, NOK ones that were missed and OK ones that were called NOK, mean of runs, with 95% "
        "intervals. `looks like` is what the kind model says of the place where a coil deviates most."
    )
    titles = ("by", "", "NOK", "missed", "OK", "false alarms")
    return [said, _table(titles, error_cells(summary.errors[judging][best]))]


def _on_the_line(by_subject: Mapping[str, Figures]) -> str:
    rows = []
    for name, figures in by_subject.items():
        counts = [f"{figures.confusion[cell]:.1f}".removesuffix(".0") for cell in ("tp", "fn", "fp", "tn")]
        rows.append((name, _shown(figures.of["alarms_a_day"], 2), _shown(figures.of["precision_on_line"]), *counts))
    titles = ("model", "alarms a day", "precision there", "NOK found", "NOK missed", "false alarms", "OK passed")
    return _table(titles, rows)


def _tests(summary: Summary, spec: ExperimentSpec) -> str:
    if not summary.tests:
        return "No pair has runs to be compared by."
    rows = [
        (
            f"{one.a} − {one.b}",
            "folds" if one.judging == FOLDS else one.judging,
            _TITLES[one.metric],
            one.test,
            f"{one.difference:+.3f}",
            _p(one.p_value),
            _p(one.p_holm),
        )
        for one in summary.tests
    ]
    said = (
        "Paired and two-sided. The t-test is corrected for overlapping training sets (Nadeau and Bengio 2003); the "
        "permutation test swaps both models' calls coil by coil, 10,000 times, and for ROC-AUC their ranks, 2,000 "
        "times (Venkatraman and Begg 1996). The last column is corrected for the number of pairs (Holm 1979)."
    )
    if (spec.train_folds or spec.folds) * spec.repeats == 1:
        said += (
            " **One fold and one seed were trained: p-values tell these trained models apart on more coils like these, "
            "not the methods on other training coils.**"
        )
    return f"{said}\n\n" + _table(("pair", "set", "figure", "test", "difference", "p", "p, corrected"), rows)


def _costs(summary: Summary) -> str:
    if not summary.costs:
        return "Nothing was trained yet."
    rows = [
        (
            name,
            f"{cost.training_seconds:,.1f}",
            f"{cost.epochs:g}",
            f"{cost.training_coils:,}",
            f"{cost.inference_ms:.3f}",
            f"{cost.model_mb:.1f}",
        )
        for name, cost in summary.costs.items()
    ]
    said = (
        "Medians over runs. Inference is by ONNX Runtime in batches of 16, measured beside the other runs; an ensemble "
        "costs the sum of the members it took, and the training of all that it could choose from."
    )
    titles = ("model", "training, s a run", "epochs", "coils learnt from", "inference, ms a coil", "size, MB")
    return f"{said}\n\n" + _table(titles, rows)


def _runs(summary: Summary) -> str:
    rows = [
        (
            str(run["title"]),
            f"`{run['id']}`",
            str(run["seed"]),
            f"{run['training_seconds']:,.1f}",
            str(run["epochs"]),
            f"{run['threshold']:.4f}",
        )
        for run in summary.runs
    ]
    return _table(("run", "id", "seed", "training, s", "epochs", "threshold"), rows) if rows else "None is done."


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(titles), line(["---"] * len(titles)), *map(line, rows)])


def _shown(figure: Figure, digits: int = 3) -> str:
    if figure.value is None:
        return "undefined"
    bounds = f" [{figure.ci95[0]:.{digits}f}, {figure.ci95[1]:.{digits}f}]" if figure.ci95 else ""
    return f"{figure.value:.{digits}f}{bounds}"


def _p(value: float | None) -> str:
    if value is None:
        return "undefined"
    return f"{value:.4f}" if value >= 0.0001 else "< 0.0001"
