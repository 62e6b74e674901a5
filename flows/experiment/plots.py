"""Pictures of an experiment, as SVG that is the same for the same figures."""

import io
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from flows.experiment.judged import Judged
from flows.experiment.spec import FOLDS
from flows.experiment.summary import Summary
from schemas.coils import BoolArray, FloatArray

_CURVE_POINTS = np.linspace(0, 1, 101)
_RESAMPLES = 200
_MOST_CURVES = 8
_WIDTH_IN, _ROW_IN = 7.0, 0.32
_MARKERS = "os^Dv*P"  # seven, beside ten colours: seventy models before two look alike

Curve = Callable[[FloatArray, FloatArray], FloatArray]
"""From false-alarm rates and recalls over falling thresholds to values at `_CURVE_POINTS`."""


def plots(
    summary: Summary, judged: Mapping[str, Mapping[str, Judged]], prevalence: float, seed: int
) -> dict[str, tuple[str, bytes]]:
    """Every picture by file name: its title and SVG.

    Args:
        summary: figures by judging set and subject.
        judged: calls and probabilities, by judging set and subject.
        prevalence: share of NOK on the line, of the precision-recall curves.
        seed: of the bands.
    """
    made: dict[str, tuple[str, bytes]] = {}

    def add(name: str, title: str, canvas: Canvas) -> None:
        made[f"{name}.svg"] = (title, _svg(canvas))

    for judging, by_subject in summary.figures.items():
        if not by_subject:
            continue
        where = "left-out folds" if judging == FOLDS else judging
        shown = _best(summary, judging)
        chosen = {name: judged[judging][name] for name in shown}
        add(f"f1-{judging}", f"F1 of NOK on {where}, 95% intervals", _forest(summary, judging))
        add(
            f"roc-{judging}",
            f"ROC on {where}, mean of runs, 95% bands",
            _curves(chosen, _roc, ("false-alarm rate", "recall"), seed),
        )
        add(
            f"pr-{judging}",
            f"Precision and recall on {where} at {prevalence:.1%} NOK, mean of runs, 95% bands",
            _curves(
                chosen,
                lambda false_alarms, recall: _precision(false_alarms, recall, prevalence),
                ("recall", "precision"),
                seed,
            ),
        )
        add(f"confusion-{judging}", f"Confusion on {where}, mean of runs", _confusions(summary, judging, shown))
        add(f"cost-{judging}", f"Training time against F1 on {where}", _cost(summary, judging))
        if any(curve := _learning(summary, judging)):
            add(f"learning-{judging}", f"Learning curve on {where}", _learning_canvas(curve))
    return made


def names_of(judging: str) -> tuple[str, ...]:
    """File names that the pictures of a judging set may have."""
    return tuple(f"{kind}-{judging}.svg" for kind in ("f1", "roc", "pr", "confusion", "cost", "learning"))


def _best(summary: Summary, judging: str) -> list[str]:
    """The subjects of largest F1, in the order of the specification: more curves than that cannot be told apart."""
    names = list(summary.figures[judging])
    ranked = sorted(names, key=lambda name: -(summary.figures[judging][name].of["f1_nok"].value or 0.0))
    return [name for name in names if name in ranked[:_MOST_CURVES]]


def _forest(summary: Summary, judging: str) -> Canvas:
    by_subject = summary.figures[judging]
    canvas, axes = _canvas(1.0 + _ROW_IN * len(by_subject))
    for row, figures in enumerate(by_subject.values()):
        figure = figures.of["f1_nok"]
        if figure.ci95 is not None and figure.value is not None:
            axes.plot(figure.ci95, [row, row], color="tab:blue", linewidth=2)
            axes.plot([figure.value], [row], "o", color="tab:blue")
    axes.set_yticks(range(len(by_subject)), list(by_subject))
    axes.set_ylim(len(by_subject) - 0.5, -0.5)
    axes.set_xlabel("F1 of NOK")
    axes.grid(visible=True, axis="x", alpha=0.3)
    return canvas


def _curves(chosen: Mapping[str, Judged], curve: Curve, labels: tuple[str, str], seed: int) -> Canvas:
    canvas, axes = _canvas(5.0)
    for name, judged in chosen.items():
        mean = _resampled(judged, curve, np.ones((1, len(judged.is_nok))))[0]
        (line,) = axes.plot(_CURVE_POINTS, mean, label=name)
        draws = _resampled(judged, curve, _weights(judged.is_nok, seed))
        low, high = np.quantile(draws, [0.025, 0.975], axis=0)
        axes.fill_between(_CURVE_POINTS, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8)
    return canvas


def _weights(is_nok: BoolArray, seed: int) -> FloatArray:
    """How often each coil is drawn in each resample, within its label: float64 [B, N]."""
    rng = np.random.default_rng(seed)
    weights = np.empty((_RESAMPLES, len(is_nok)))
    for label in (False, True):
        count = int((is_nok == label).sum())
        weights[:, is_nok == label] = rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)
    return weights


def _resampled(judged: Judged, curve: Curve, weights: FloatArray) -> FloatArray:
    """The curve under each weighting [B, N] of the coils, mean over models: float64 [B, points]."""
    curves = []
    for row, judges in zip(judged.p_nok, judged.model, strict=True):
        for part in (judges == one for one in np.unique(judges)):  # scores of two models are never ranked together
            p_nok, is_nok = row[part], judged.is_nok[part]
            order = np.argsort(-p_nok, kind="stable")
            last = np.append(np.diff(p_nok[order]) < 0, True)  # coils of equal score are called together
            drawn, nok = weights[:, part][:, order], is_nok[order]
            hits, alarms = (drawn * nok).cumsum(axis=1)[:, last], (drawn * ~nok).cumsum(axis=1)[:, last]
            ends = zip(alarms, hits, strict=True)
            curves.append([curve(fp / max(fp[-1], 1), tp / max(tp[-1], 1)) for fp, tp in ends])
    mean: FloatArray = np.mean(curves, axis=0)
    return mean


def _roc(false_alarms: FloatArray, recall: FloatArray) -> FloatArray:
    return np.asarray(np.interp(_CURVE_POINTS, np.append(0.0, false_alarms), np.append(0.0, recall)))


def _precision(false_alarms: FloatArray, recall: FloatArray, prevalence: float) -> FloatArray:
    """The best precision that reaches each recall: between two thresholds precision is not a straight line."""
    hits, alarms = prevalence * recall, (1 - prevalence) * false_alarms
    precision = hits / np.maximum(hits + alarms, np.finfo(np.float64).tiny)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return np.asarray(best[np.searchsorted(recall, _CURVE_POINTS - 1e-12).clip(max=len(best) - 1)])


def _confusions(summary: Summary, judging: str, shown: Sequence[str]) -> Canvas:
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    canvas = Canvas(figsize=(_WIDTH_IN, 2.0 * rows), layout="constrained")
    grid = canvas.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, name in zip(grid.flat, shown, strict=False):
        cells = summary.figures[judging][name].confusion
        counts = np.array([[cells["tn"], cells["fp"]], [cells["fn"], cells["tp"]]])
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (i, j), count in np.ndenumerate(counts):
            colour = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, f"{count:.1f}".removesuffix(".0"), ha="center", va="center", color=colour, fontsize=8)
        axes.set_xticks([0, 1], ["OK", "NOK"], fontsize=7)
        axes.set_yticks([0, 1], ["OK", "NOK"], fontsize=7)
        axes.set_title(name, fontsize=8)
    canvas.supxlabel("called", fontsize=8)
    canvas.supylabel("expert", fontsize=8)
    return canvas


def _cost(summary: Summary, judging: str) -> Canvas:
    canvas, axes = _canvas(4.5)
    for (name, figures), marker in zip(summary.figures[judging].items(), cycle(_MARKERS), strict=False):
        value, seconds = figures.of["f1_nok"].value, summary.costs[name].training_seconds
        if value is not None:
            axes.plot([max(seconds, 1e-3)], [value], marker, label=name)
    axes.set_xscale("log")
    axes.margins(x=0.15, y=0.08)
    axes.set_xlabel("training, seconds a run")
    axes.set_ylabel("F1 of NOK")
    axes.grid(visible=True, alpha=0.3)
    canvas.legend(loc="outside right upper", fontsize=7)
    return canvas


def _learning(summary: Summary, judging: str) -> dict[str, list[tuple[int, float, tuple[float, float]]]]:
    """By model: labelled coils, F1 and its interval, of those that learnt from several amounts."""
    points: dict[str, list[tuple[int, float, tuple[float, float]]]] = {}
    for name, figures in summary.figures[judging].items():
        figure = figures.of["f1_nok"]
        if figure.value is not None and figure.ci95 is not None:
            place = (summary.costs[name].training_coils, figure.value, figure.ci95)
            points.setdefault(name.split("@", maxsplit=1)[0], []).append(place)
    return {name: sorted(places) for name, places in points.items() if len(places) > 1}


def _learning_canvas(curves: Mapping[str, Sequence[tuple[int, float, tuple[float, float]]]]) -> Canvas:
    canvas, axes = _canvas(4.5)
    for name, places in curves.items():
        sizes, values, bounds = zip(*places, strict=True)
        (line,) = axes.plot(sizes, values, "o-", label=name)
        low, high = zip(*bounds, strict=True)
        axes.fill_between(sizes, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
    axes.set_xscale("log")
    axes.set_xlabel("coils learnt from")
    axes.set_ylabel("F1 of NOK")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8)
    return canvas


def _canvas(height_in: float) -> tuple[Canvas, Axes]:
    canvas = Canvas(figsize=(_WIDTH_IN, height_in), layout="constrained")
    return canvas, canvas.subplots()


def _svg(canvas: Canvas) -> bytes:
    sink = io.BytesIO()
    with rc_context({"svg.hashsalt": "coilflow"}):
        canvas.savefig(sink, format="svg", metadata={"Date": None, "Creator": None})
    return sink.getvalue()
