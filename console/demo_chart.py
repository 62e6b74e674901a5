"""The demonstration as one picture: how good the verdicts were, coil by coil, and what happened when."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from models.share_intervals import wilson_interval
from scheduler.demo_figures import Figures, Judged
from schemas.coils import BoolArray, FloatArray, IntArray

_DPI = 130
_WINDOW = 100  # coils that a point of the curve is of
_LEAST = 20  # of them, of a kind, that say something
_SAID = {
    "drifted": "the gauge ages",
    "decided": "the policy acts",
    "shadowed": "shadow",
    "promoted": "promoted",
    "rolled_back": "rolled back",
}


def draw_story(figures: Figures, file: Path) -> None:
    """Draw a demonstration as PNG.

    Above, the share of the last 100 labelled coils on which verdict and operators agree, with its 95% interval; below,
    recall and false alarms over the same coils. What the successor judged is shaded.

    Args:
        figures: labelled coils in order, and what happened when.
        file: the PNG to write.
    """
    judged = figures.judged
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 2]})
    number = judged.number
    right, everything = judged.called_nok == judged.is_nok, np.ones(len(number), dtype=np.bool_)
    share, low, high = _rolling(right, everything)
    above.fill_between(number, low, high, color="#4477aa", alpha=0.18, linewidth=0, label="95% interval")
    above.plot(number, share, color="#4477aa", linewidth=1.8, label=f"agreement, last {_WINDOW} labelled coils")
    for said, colour, kind in (("NOK recall", "#228833", judged.is_nok), ("false alarms", "#cc3311", ~judged.is_nok)):
        line = _rolling(judged.called_nok, kind)[0]
        below.plot(number, line, color=colour)
        below.annotate(
            said, (number[-1], line[-1]), xytext=(6, 0), textcoords="offset points", color=colour, fontsize=8
        )
    events = [(mark.coils, _SAID[mark.what]) for mark in figures.marks]
    for axis in (above, below):
        for coils, _ in events:
            axis.axvline(coils + 0.5, color="#555555", linewidth=0.9, linestyle="--")
        axis.set_ylim(0, 1.02)
        axis.grid(visible=True, alpha=0.25)
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    above.legend(loc="lower left", fontsize=8, ncols=2)
    for coils, said in events:
        above.annotate(said, (coils + 0.5, 1.02), xytext=(2, 3), textcoords="offset points", fontsize=8)
    served = _first_of_successor(judged)
    if served is not None:
        for axis in (above, below):
            axis.axvspan(served - 0.5, float(number[-1]) + 0.5, color="#ccbb44", alpha=0.15, linewidth=0)
        above.text(served + 2, 0.03, "the successor judges", fontsize=8, va="bottom")
    below.set_xlabel("coils judged")
    figure.suptitle("coilflow demo: a line drifts, a successor takes over", x=0.01, ha="left", fontweight="bold")
    figure.savefig(file, dpi=_DPI)


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


def _first_of_successor(judged: Judged) -> int | None:
    changed = [place for place, version in enumerate(judged.version) if version != judged.version[0]]
    return int(judged.number[changed[0]]) if changed else None
