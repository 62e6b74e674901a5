"""The demonstration as one picture: how good the verdicts were, coil by coil, and what happened when."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.share_intervals import wilson_interval
from scheduler.demo_figures import Figures, Mark
from schemas.coils import BoolArray, FloatArray, IntArray

_DPI = 130
_WINDOW = 100  # coils that a point of a curve is of
_LEAST = 20  # of them, of a kind, that say something
_EXPECTED_SHARE = 0.12  # of the picture's width, that an event's name may take
_ROW_POINTS = 12  # from one row of events' names to the next
_SAID = {
    "drifted": "the gauge ages",
    "decided": "the policy acts",
    "not_proved": "not proved",
    "shadowed": "shadow",
    "promoted": "promoted",
    "rolled_back": "rolled back",
}
_Side = Literal["bottom", "center", "top"]
_AGREEMENT, _RECALL, _FALSE_ALARMS, _SUCCESSOR = "#4477aa", "#228833", "#cc3311", "#ccbb44"


def draw_story(figures: Figures, file: Path) -> None:
    """Draw a demonstration as PNG.

    Args:
        figures: labelled coils in order, and what happened when.
        file: the PNG to write.
    """
    picture(figures).savefig(file, dpi=_DPI)


def picture(figures: Figures) -> Figure:
    """A demonstration as a figure of two axes.

    Above, the share of the last 100 labelled coils on which verdict and operators agree, with its 95% interval; below,
    recall and false alarms over the same coils. What a successor judged is shaded.

    Args:
        figures: labelled coils in order, and what happened when.
    """
    judged, stored = figures.judged, figures.counts
    figure = Figure(figsize=(11, 6.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 2]})
    last = max(stored.verdicts, 1)
    right, everything = judged.called_nok == judged.is_nok, np.ones(len(judged.number), dtype=np.bool_)
    share, low, high = _rolling(right, everything)
    above.fill_between(judged.number, low, high, color=_AGREEMENT, alpha=0.18, linewidth=0)
    _curve(above, judged.number, share, "agreement", _AGREEMENT, "center")
    _curve(below, judged.number, _rolling(judged.called_nok, judged.is_nok)[0], "NOK recall", _RECALL, "bottom")
    _curve(below, judged.number, _rolling(judged.called_nok, ~judged.is_nok)[0], "false alarms", _FALSE_ALARMS, "top")
    for axis in (above, below):
        axis.set_xlim(0, last + 1)
        axis.set_ylim(0, 1.02)
        axis.grid(visible=True, alpha=0.25)
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        for first, end in _by_successors(judged.version):
            axis.axvspan(
                judged.number[first] - 0.5, judged.number[end] + 0.5, color=_SUCCESSOR, alpha=0.15, linewidth=0
            )
        for mark in figures.marks:
            axis.axvline(mark.coils + 0.5, color="#555555", linewidth=0.9, linestyle="--")
    rows = _name_events(above, figures.marks, last)
    swaps = "1 swap" if figures.swaps == 1 else f"{figures.swaps} swaps"
    counted = f"{stored.coils} coils, {swaps}, {figures.lost} lost, {stored.duplicated} duplicated"
    key = f"each point: the last {_WINDOW} labelled coils; blue band: 95% interval"
    successor = "; yellow: a successor judges" if figures.swaps else ""
    above.set_title(f"{counted} ({key}{successor})", fontsize=9, loc="left", pad=8 + _ROW_POINTS * rows)
    above.set_ylabel("verdict is what operators say\n(share of coils)")
    below.set_ylabel("called NOK\n(share of NOK, of OK coils)")
    below.set_xlabel("coils judged, in the order of their verdicts (number)")
    figure.suptitle(f"coilflow demo: {_title(figures)}", x=0.01, ha="left", fontweight="bold")
    return figure


def _title(figures: Figures) -> str:
    if figures.swaps:
        return "a line drifts, a successor takes over"
    return "a line drifts" if figures.marks else "a line as its models know it"


def _curve(axis: Axes, number: IntArray, share: FloatArray, name: str, colour: str, side: _Side) -> None:
    """Draw a curve, with its name beside its end, or on the side of it that is said."""
    axis.plot(number, share, color=colour, linewidth=1.6)
    known = np.flatnonzero(~np.isnan(share))
    if len(known):
        axis.annotate(
            name,
            (1.0, float(share[known[-1]])),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            color=colour,
            fontsize=9,
            va=side,
        )


def _name_events(axis: Axes, marks: Sequence[Mark], last: int) -> int:
    """Write above an axis what happened, where names would meet in one row more; returns how many rows."""
    ends: list[float] = []  # of each row's last name, in coils
    for mark in marks:
        row = next((row for row, end in enumerate(ends) if end <= mark.coils), len(ends))
        ends[row : row + 1] = [mark.coils + _EXPECTED_SHARE * last]
        axis.annotate(
            _SAID[mark.what],
            (mark.coils + 0.5, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(2, 3 + _ROW_POINTS * row),
            textcoords="offset points",
            fontsize=8,
        )
    return len(ends)


def _by_successors(version: Sequence[str]) -> Iterator[tuple[int, int]]:
    """First and last place of each run of coils that another ensemble than the first one judged."""
    later = np.array([False, *(one != version[0] for one in version), False])
    turns = np.flatnonzero(later[1:] != later[:-1])
    yield from ((int(first), int(end) - 1) for first, end in turns.reshape(-1, 2))


def _rolling(right: BoolArray, kind: BoolArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Share that was right of those of a kind among the last coils, with its interval; NaN where they are too few."""
    good, size = (_sums(flags) for flags in (right & kind, kind))
    least = min(_LEAST, max(1, int(kind.sum() * _LEAST / max(len(kind), 1))))
    found = np.full((3, len(kind)), np.nan)
    for place in np.flatnonzero(size >= least):
        found[0, place] = good[place] / size[place]
        found[1:, place] = wilson_interval(float(good[place]), float(size[place]))
    return found[0], found[1], found[2]


def _sums(flags: BoolArray) -> IntArray:
    """How many of the last coils."""
    total = np.concatenate([[0], np.cumsum(flags)])
    ends = np.arange(1, len(flags) + 1)
    return np.asarray(total[ends] - total[np.maximum(ends - _WINDOW, 0)])
