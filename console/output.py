"""Standard output for results, standard error for everything else."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from flows.assess import JudgedCoil
from models.evaluation import METRICS
from schemas.rejects import Reject
from schemas.verdicts import Label

out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)

SHOWN_REJECTS = 20
_STYLE = {Label.OK: "green", Label.NOK: "bold red", Label.UNDECIDED: "yellow"}


def print_json(value: dict[str, Any]) -> None:
    """One object on one line of standard output."""
    sys.stdout.write(orjson.dumps(value).decode() + "\n")


def number(value: float | None) -> str:
    """A metric for people, to three decimals."""
    return "undefined" if value is None else f"{value:.3f}"


def metrics_table(figures: Mapping[str, Any], *, title: str, caption: str | None = None) -> Table:
    """Metrics with their intervals; `figures` as `Evaluation.as_json` gives them."""
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    for name in ("metric", "value", "95% interval"):
        table.add_column(name, justify="left" if name == "metric" else "right")
    for name in METRICS:
        bounds = figures["ci95"][name]
        table.add_row(name, number(figures[name]), "" if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}")
    return table


def verdict_json(coil: JudgedCoil) -> dict[str, Any]:
    """The object that `assess --json` prints for a coil."""
    verdict = coil.verdict
    return {
        "coil_id": verdict.key.coil_id,
        "label": verdict.label.value,
        "p_nok": round(verdict.p_nok, 6),
        "threshold": round(verdict.threshold, 6),
        "observed": round(verdict.observed, 6),
        "members": [{"model": m.model, "version": m.version, "p_nok": round(m.p_nok, 6)} for m in verdict.members],
        "reasons": list(verdict.reasons),
    }


def verdict_table(coils: Sequence[JudgedCoil], title: str) -> Table:
    """Verdicts for people: what was decided, how sure, and why to look again; a reason that all share is said once."""
    shared = set.intersection(*(set(coil.verdict.reasons) for coil in coils)) if len(coils) > 1 else set()
    experts, thresholds = any(coil.truth for coil in coils), len({coil.verdict.threshold for coil in coils}) > 1
    notes = [f"NOK from {coils[0].verdict.threshold:.3f}"] if coils and not thresholds else []
    caption = "; ".join([*notes, *map(_in_words, sorted(shared))])
    table = Table(title=title, title_justify="left", caption=caption or None, caption_justify="left")
    table.add_column("coil", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("p(NOK)", justify="right")
    if thresholds:
        table.add_column("NOK from", justify="right")
    table.add_column("measured", justify="right")
    if experts:
        table.add_column("expert")
    table.add_column("reasons", overflow="fold", ratio=1)
    for coil in coils:
        verdict = coil.verdict
        own = [_in_words(reason) for reason in verdict.reasons if reason not in shared]
        table.add_row(
            Text(verdict.key.coil_id),
            Text(verdict.label.value, style=_STYLE[verdict.label]),
            f"{verdict.p_nok:.3f}",
            *([f"{verdict.threshold:.3f}"] if thresholds else []),
            f"{verdict.observed:.1%}",
            *([coil.truth or ""] if experts else []),
            Text("; ".join(own)),
        )
    return table


def _in_words(reason: str) -> str:
    code, _, detail = reason.partition(": ")
    return f"{code.replace('_', ' ')}: {detail}"


class RejectReport:
    """Rejects on standard error: the first ones in full, the rest counted."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, rejects: Sequence[Reject]) -> None:
        """Print what still fits and count."""
        for reject in rejects:
            self.count += 1
            if self.count <= SHOWN_REJECTS:
                err.print(Text("reject: ", style="yellow") + Text(" ".join(reject.sentence().split())))

    def close(self) -> None:
        """Say how many there were."""
        if self.count:
            hidden = self.count - SHOWN_REJECTS
            err.print(f"{self.count} rejected" + (f", the last {hidden} not shown" if hidden > 0 else ""))


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator["Step"]:
    """A progress bar on standard error, silent where that is no terminal."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        yield Step(bar, description, total)


class Step:
    """One step with a bar."""

    def __init__(self, bar: Progress, description: str, total: int | None) -> None:
        self._bar = bar
        self._task = bar.add_task(description, total=total, rate="")

    def say(self, said: RenderableType) -> None:
        """Print a result while the step goes on: the bar stands aside until more is done."""
        self._bar.stop()
        out.print(said)

    def advance(self, coils: int) -> None:
        """So many more coils are done."""
        self._bar.start()
        self._bar.advance(self._task, coils)
        speed = self._bar.tasks[self._task].speed
        self._bar.update(self._task, rate=f"{speed:,.0f} coils/s" if speed else "")
