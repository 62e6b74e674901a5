"""Plain and weighted scores against the truth, where people look at alarms, doubtful coils and a random draw.

Run as `python -m bench.review_sampling [--runs N] [--coils N ...] [--out FILE.md]`: seeds are fixed. A line makes coils
of which 1% or 3% are NOK; a model of known recall and false alarms judges them; people look at what it calls NOK, at
what it is in doubt of, and at a share of the rest drawn at random. `plain` counts the coils that were looked at alike;
`weighted` lets each stand for as many as its probability of being looked at says, as scores do
(`models.share_intervals.weighted_share`); `ratio` divides the same estimated totals (Hájek 1971), to be compared with.
The share of all coils that are NOK and missed is a total over the known number of coils (Horvitz and Thompson 1952).
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from bench.machine import machine
from bench.report import add_out, print_bars, print_table, report
from models.evaluation import CONFIDENCE
from models.share_intervals import Total, wilson_interval
from processors.model_score import plain_rates, weighted_rates
from schemas.coils import BoolArray, FloatArray
from schemas.scores import Figure, Rates

PREVALENCES = (0.01, 0.03)
RECALL, FALSE_ALARMS = 0.70, 0.05
SHARES = (0.02, 0.05, 0.1)  # of the rest
COILS = (4_500, 54_000)  # a month of a line, and a year
DOUBT = 0.1  # half width of the band of doubt, in standard deviations of the score
_THRESHOLD = NormalDist().inv_cdf(1 - FALSE_ALARMS)  # of a score that is N(0, 1) of OK coils
_NOK_MEAN = _THRESHOLD + NormalDist().inv_cdf(RECALL)

NOISE = 3.5  # standard errors: of some hundred figures none is expected beyond
Figures = dict[str, Figure]


@dataclass(frozen=True, kw_only=True)
class Looked:
    """Coils that somebody looked at in one run; arrays [n]."""

    coils: int  # that the line made
    is_nok: BoolArray
    called_nok: BoolArray
    probability: FloatArray


def truth(nok: float) -> dict[str, float]:
    """Of the line."""
    return {
        "agreement": nok * RECALL + (1 - nok) * (1 - FALSE_ALARMS),
        "recall": RECALL,
        "false_alarms": FALSE_ALARMS,
        "missed": nok * (1 - RECALL),  # of all coils
    }


def line(coils: int, nok: float, share: float, rng: np.random.Generator) -> Looked:
    """One run of the line: what people saw of it.

    Args:
        coils: that the line made.
        nok: share of them.
        share: of those neither called NOK nor doubtful that are drawn.
        rng: the coils and the draw.
    """
    is_nok = rng.random(coils) < nok
    score = rng.normal(size=coils) + np.where(is_nok, _NOK_MEAN, 0.0)
    called_nok = score >= _THRESHOLD
    certain = called_nok | (np.abs(score - _THRESHOLD) < DOUBT)
    probability = np.where(certain, 1.0, share)
    seen = rng.random(coils) < probability
    return Looked(coils=coils, is_nok=is_nok[seen], called_nok=called_nok[seen], probability=probability[seen])


def plain(looked: Looked) -> Figures:
    """As if those that were looked at were all there are."""
    missed, seen = int((looked.is_nok & ~looked.called_nok).sum()), len(looked.is_nok)
    low, high = wilson_interval(missed, seen)
    rates = plain_rates(looked.is_nok, looked.called_nok)
    return _figures(rates) | {"missed": Figure(value=missed / seen, low=low, high=high)}


def weighted(looked: Looked) -> Figures:
    """With what each stands for."""
    weight = 1 / looked.probability[looked.is_nok & ~looked.called_nok]
    largest = float(1 / looked.probability.min())
    missed = Total(value=float(weight.sum()), squares=float((weight**2).sum()), largest=largest)
    low, high = (limit / looked.coils for limit in missed.limits())
    rates = weighted_rates(looked.is_nok, looked.called_nok, looked.probability)
    return _figures(rates) | {"missed": Figure(value=missed.value / looked.coils, low=low, high=high)}


def ratio(looked: Looked) -> Figures:
    """Recall as the ratio of the weighted totals."""
    weight, caught = 1 / looked.probability[looked.is_nok], looked.called_nok[looked.is_nok]
    recall = weighted(looked)["recall"]
    value = float(weight[caught].sum() / weight.sum()) if len(weight) else None
    return {"recall": Figure(value=value, low=recall.low, high=recall.high)}


def _figures(rates: Rates) -> Figures:
    return {"agreement": rates.agreement, "recall": rates.recall, "false_alarms": rates.false_alarms}


@dataclass(frozen=True, kw_only=True)
class Worth:
    """How estimates of one figure lie about its truth."""

    bias: float
    error: float  # standard, of the bias
    spread: float  # standard deviation over runs
    coverage: float  # share of runs whose 95% interval holds the truth
    width: float  # mean of the intervals
    known: float  # share of runs in which there was anything to estimate it from


def worth(figures: list[Figure], truth: float) -> Worth:
    """Summarise one figure over runs."""
    known = [one for one in figures if one.value is not None]
    value, low, high = np.array([(one.value, one.low, one.high) for one in known], dtype=float).T
    return Worth(
        bias=float(value.mean() - truth),
        error=float(value.std() / np.sqrt(len(value))),
        spread=float(value.std()),
        coverage=float(((low <= truth) & (truth <= high)).mean()),
        width=float((high - low).mean()),
        known=len(known) / len(figures),
    )


def rows(runs: int, coils: int, nok: float, share: float) -> Iterator[tuple[str, str, Worth]]:
    """Each figure by each way of scoring, over runs with seeds of their own."""
    seeds = ([coils, round(nok * 1e6), round(share * 1e6), run] for run in range(runs))
    seen = [line(coils, nok, share, np.random.default_rng(seed)) for seed in seeds]
    ways: dict[str, Callable[[Looked], Figures]] = {"plain": plain, "ratio": ratio, "weighted": weighted}
    found = {name: [way(looked) for looked in seen] for name, way in ways.items()}
    for figure, true in truth(nok).items():
        for name, figures in found.items():
            if figure in figures[0]:
                yield figure, name, worth([one[figure] for one in figures], true)


def left_of_recall(coils: int, nok: float, share: float) -> float:
    """Bias that `weighted_share` leaves: coils looked at for certain say too much where no draw finds a missed one."""
    doubtful = NormalDist().cdf(_THRESHOLD - _NOK_MEAN) - NormalDist().cdf(_THRESHOLD - DOUBT - _NOK_MEAN)
    return (RECALL / (RECALL + doubtful) - RECALL) * (1 - nok * share) ** coils


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.review_sampling")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--coils", type=int, nargs="*", default=COILS)
    add_out(parser)
    arguments = parser.parse_args()
    title = "Scores where people look at alarms and a random draw"
    with report("bench.review_sampling", title, arguments.out, on=machine()):
        began_s = time.perf_counter()
        print(f"Recall {RECALL:.0%}, false alarms {FALSE_ALARMS:.0%}; {arguments.runs} runs a row.")
        bars = [bar for nok in PREVALENCES for coils in arguments.coils for bar in _table(arguments.runs, coils, nok)]
        print(f"\n{time.perf_counter() - began_s:.0f} s")
        return print_bars(bars)


def _table(runs: int, coils: int, nok: float) -> list[tuple[str, object, bool]]:
    print()
    titles = (f"{coils:,} coils, {nok:.0%} NOK", "figure", "truth", "score", "bias ± its standard error", "spread")
    cells, off, coverage, leaves = list[tuple[object, ...]](), 0.0, 1.0, list[str]()
    for share in SHARES:
        left = left_of_recall(coils, nok, share)
        leaves.append(f"{left:.3f}")
        for figure, name, found in rows(runs, coils, nok, share):
            true = truth(nok)[figure]
            cells.append(
                (
                    f"{share:.0%} drawn",
                    *(figure, f"{true:.4f}", name, f"{found.bias:+.4f} ± {found.error:.4f}", f"{found.spread:.4f}"),
                    *(f"{found.coverage:.1%}", f"{found.width:.3f}", f"{found.known:.0%}"),
                )
            )
            if name == "weighted":
                off = max(off, abs(found.bias - (left if figure == "recall" else 0.0)) / found.error)
                coverage = min(coverage, found.coverage)
    print_table((*titles, "coverage of 95%", "mean width", "known"), cells)
    least = CONFIDENCE - NOISE * (CONFIDENCE * (1 - CONFIDENCE) / runs) ** 0.5
    what = f"{coils:,} coils, {nok:.0%} NOK, weighted"
    return [
        (f"{what}: no bias but {', '.join(leaves)} of recall", f"{off:.1f} standard errors at most", off <= NOISE),
        (f"{what}: intervals hold the truth in {least:.1%} of runs", f"{coverage:.1%} at least", coverage >= least),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
