"""Plain and weighted scores against the truth, where people look at alarms, doubtful coils and a random draw.

Run as `python -m bench.review_sampling [--runs N]`: seeds are fixed. A line makes coils of which 1% are NOK; a model of
known recall and false alarms judges them; people look at what it calls NOK, at what it is in doubt of, and at a share
of the rest drawn at random. `plain` counts the coils that were looked at alike; `weighted` lets each stand for as many
as its probability of being looked at says. The share of coils that are NOK and missed is a total over the known number
of coils, so its weighted estimate is unbiased (Horvitz and Thompson 1952); rates are ratios of two such totals, whose
bias vanishes with the number of missed coils that were drawn (Hájek 1971).
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from bench.machine import machine
from models.share_intervals import Total, wilson_interval
from processors.model_score import plain_rates, weighted_rates
from schemas.coils import BoolArray, FloatArray
from schemas.scores import Figure, Rates

PREVALENCE = 0.01
RECALL, FALSE_ALARMS = 0.70, 0.05
SHARES = (0.005, 0.02, 0.05)  # of the rest
COILS = (5_000, 60_000)  # a month of a line, and a year
DOUBT = 0.1  # half width of the band of doubt, in standard deviations of the score
_THRESHOLD = NormalDist().inv_cdf(1 - FALSE_ALARMS)  # of a score that is N(0, 1) of OK coils
_NOK_MEAN = _THRESHOLD + NormalDist().inv_cdf(RECALL)

TRUTH = {
    "agreement": PREVALENCE * RECALL + (1 - PREVALENCE) * (1 - FALSE_ALARMS),
    "recall": RECALL,
    "false_alarms": FALSE_ALARMS,
    "missed": PREVALENCE * (1 - RECALL),  # of all coils
}
Figures = dict[str, Figure]


@dataclass(frozen=True, kw_only=True)
class Looked:
    """Coils that somebody looked at in one run; arrays [n]."""

    coils: int  # that the line made
    is_nok: BoolArray
    called_nok: BoolArray
    probability: FloatArray


def line(coils: int, share: float, rng: np.random.Generator) -> Looked:
    """One run of the line: what people saw of it.

    Args:
        coils: that the line made.
        share: of those neither called NOK nor doubtful that are drawn.
        rng: the coils and the draw.
    """
    is_nok = rng.random(coils) < PREVALENCE
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


def _figures(rates: Rates) -> Figures:
    return {"agreement": rates.agreement, "recall": rates.recall, "false_alarms": rates.false_alarms}


@dataclass(frozen=True, kw_only=True)
class Worth:
    """How estimates of one figure lie about its truth."""

    bias: float
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
        spread=float(value.std()),
        coverage=float(((low <= truth) & (truth <= high)).mean()),
        width=float((high - low).mean()),
        known=len(known) / len(figures),
    )


def rows(runs: int, coils: int, share: float) -> Iterator[tuple[str, str, Worth]]:
    """Each figure by each way of scoring, over runs with seeds of their own."""
    seen = [line(coils, share, np.random.default_rng([coils, round(share * 1e6), run])) for run in range(runs)]
    ways: dict[str, Callable[[Looked], Figures]] = {"plain": plain, "weighted": weighted}
    for name, way in ways.items():
        found = [way(looked) for looked in seen]
        for figure, truth in TRUTH.items():
            yield figure, name, worth([one[figure] for one in found], truth)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--coils", type=int, nargs="*", default=COILS)
    arguments = parser.parse_args()
    print(machine())
    print(f"{PREVALENCE:.0%} NOK, recall {RECALL:.0%}, false alarms {FALSE_ALARMS:.0%}; {arguments.runs} runs a row")
    began_s = time.perf_counter()
    for coils in arguments.coils:
        print(f"\n| {coils:,} coils | figure | truth | score | bias | spread | coverage of 95% | mean width | known |")
        print("|---|---|---|---|---|---|---|---|---|")
        for share in SHARES:
            by_figure = sorted(rows(arguments.runs, coils, share), key=lambda row: list(TRUTH).index(row[0]))
            for figure, name, found in by_figure:
                print(
                    f"| {share:.1%} drawn | {figure} | {TRUTH[figure]:.4f} | {name} | {found.bias:+.4f} | "
                    f"{found.spread:.4f} | {found.coverage:.1%} | {found.width:.3f} | {found.known:.0%} |"
                )
    print(f"\n{time.perf_counter() - began_s:.0f} s")


if __name__ == "__main__":
    main()
