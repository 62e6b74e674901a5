"""Scores and drift checks as tables and JSON objects."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from console.model_tables import time_of
from schemas.scores import UNKNOWN, Figure, Rates, Score
from store.drift import DriftCheck
from store.scores import ModelScore

_RATES = {"agreement": "agreement", "recall": "NOK recall", "false_alarms": "false alarms", "precision": "precision"}


def score_row(one: ModelScore) -> dict[str, Any]:
    """What `models scores --json` prints of a score."""
    score, weighted = one.score, one.score.weighted
    return {
        "kind": one.subject.kind,
        "model": one.subject.model or None,
        "version": one.subject.version,
        "role": one.subject.role,
        "slice_kind": one.slice.kind,
        "slice": one.slice.value or None,
        "computed_at": one.computed_at,
        "window_from": one.window_from,
        "assessed": one.assessed.coils,
        "evaluated": score.evaluated,
        **{name: int(count) for name, count in score.cells._asdict().items()},
        "plain": {
            **asdict(score.rates),
            "calibration_error": asdict(score.calibration_error),
            "undecided": asdict(score.undecided),
        },
        "weighted": None
        if weighted is None
        else {
            **asdict(weighted.rates),
            "calibration_error": asdict(weighted.calibration_error),
            "coils": weighted.coils,
            "stand_for": weighted.stand_for,
            "represented": weighted.represented,
            "strata": [asdict(stratum) for stratum in weighted.strata],
        },
    }


def scores_table(found: Sequence[ModelScore]) -> Table:
    """Plain and weighted figures side by side, with 95% intervals."""
    table = Table(title="scores, % [95% interval]", title_justify="left")
    for name in ("version", "figure", "labelled coils", "all of the line"):
        table.add_column(name, overflow="fold", no_wrap=name not in ("version", "figure"))
    for one in found:
        said = _said_of(one)
        figures = _figures(one.score)
        for row, (name, plain, weighted) in enumerate(figures):
            left = said[row] if row < len(said) else ""
            table.add_row(Text(left), name, _interval(plain), _interval(weighted), end_section=row == len(figures) - 1)
    return table


def drift_row(check: DriftCheck) -> dict[str, Any]:
    """What `models drift --json` prints of a check."""
    figures = {name: {**figure, "drifted": _drifted(figure)} for name, figure in check.figures.items()}
    return {**asdict(check), "figures": figures}


def drift_table(check: DriftCheck) -> Table:
    """The figures of a check beside their reference, those that drifted most first."""
    title = f"{check.plant}, {time_of(check.checked_at)}, ensemble {check.ensemble_version}"
    table = Table(title=title, title_justify="left")
    for name in ("figure", "PSI", "drifted above", "mean", "reference", "coils", ""):
        table.add_column(name, justify="left" if name == "figure" else "right", overflow="fold")
    for name, one in sorted(check.figures.items(), key=lambda item: item[1]["at_least"] - item[1]["psi"]):
        cells = (f"{one['psi']:.2f}", f"{one['at_least']:.2f}", f"{one['mean']:.3g}", f"{one['reference_mean']:.3g}")
        table.add_row(Text(name), *cells, f"{one['coils']:g}", "drifted" if _drifted(one) else "")
    return table


def _said_of(one: ModelScore) -> list[str]:
    """Whose score it is, of which coils, and when: a line each."""
    subject, part = one.subject, one.slice
    said = [
        f"{subject.model} {subject.version}".strip(),
        f"{subject.kind}, {subject.role}",
        f"{part.kind} {part.value}" if part.value else "",
        f"{one.score.evaluated} labelled" + ("" if part.value else f" of {one.assessed.coils}"),
        f"until {time_of(one.computed_at)}",
    ]
    return [line for line in said if line]


def _figures(score: Score) -> list[tuple[str, Figure, Figure]]:
    weighted = score.weighted
    rates = Rates(**dict.fromkeys(_RATES, UNKNOWN)) if weighted is None else weighted.rates
    return [
        *((shown, getattr(score.rates, name), getattr(rates, name)) for name, shown in _RATES.items()),
        ("calibration error", score.calibration_error, UNKNOWN if weighted is None else weighted.calibration_error),
        ("undecided", score.undecided, UNKNOWN),
    ]


def _interval(figure: Figure) -> str:
    if figure.value is None or figure.low is None or figure.high is None:
        return ""
    return f"{100 * figure.value:.1f} [{100 * figure.low:.1f}, {100 * figure.high:.1f}]"


def _drifted(figure: Mapping[str, float]) -> bool:
    return bool(figure["psi"] > figure["at_least"])
