"""Two models on the same coils, each of which stands for as many coils of the line as its weight says.

Where people look at alarms, every false alarm of the model that serves has a label, and those of another model only
where a coil happened to be drawn: counted alike, any other model looks better. With one over the probability of being
asked for as weight (Horvitz and Thompson 1952) both are measured on the line. Of the training side: it needs
scikit-learn, as `models.statistics` does.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from models.evaluation import RESAMPLES, interval
from models.statistics import Outcomes, paired_permutation_test
from schemas.coils import BoolArray, FloatArray

_CELLS_AT_ONCE = 4_000_000  # of resamples held in memory at once


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """N coils that two models judged; arrays [N]."""

    is_nok: BoolArray
    champion_nok: BoolArray  # called NOK by the one that serves
    successor_nok: BoolArray  # by the other
    weight: FloatArray  # coils that each stands for, above 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """What comparing two models gave; figures of coils in weights, None where there is nothing to divide by."""

    coils: int
    nok: int
    drawn: int  # coils that stand for more than themselves
    champion: dict[str, float | None]  # f1, recall, false_alarms, agreement
    successor: dict[str, float | None]
    difference: float  # of F1 of NOK, successor minus champion
    ci95: tuple[float, float] | None
    p_value: float  # two-sided

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def compare(pairs: Pairs, *, seed: int = 0) -> Compared:
    """Compare F1 of NOK, paired: a permutation test and a 95% bootstrap interval over coils (Efron, Tibshirani 1993).

    Args:
        pairs: of at least one coil.
        seed: of swaps and resamples.
    """
    weight, is_nok = pairs.weight, pairs.is_nok

    def weighted_f1(called: Outcomes, nok: BoolArray) -> FloatArray:
        return _f1(called.astype(np.bool_), nok, weight[None, :])

    tested = paired_permutation_test(weighted_f1, pairs.successor_nok, pairs.champion_nok, is_nok, seed=seed)
    return Compared(
        coils=len(is_nok),
        nok=int(is_nok.sum()),
        drawn=int(np.count_nonzero(weight > 1)),
        champion=_figures(pairs.champion_nok, is_nok, weight),
        successor=_figures(pairs.successor_nok, is_nok, weight),
        difference=tested.difference,
        ci95=_interval(pairs, seed),
        p_value=tested.p_value,
    )


def _f1(called: BoolArray, is_nok: BoolArray, weight: FloatArray) -> FloatArray:
    """F1 of NOK, [R], of called coils [R, N] or [1, N] by weights [R, N] or [1, N]; zero where nobody finds any."""
    caught = (weight * (called & is_nok)).sum(axis=1)
    whole = (weight * called).sum(axis=1) + (weight * is_nok).sum(axis=1)
    found: FloatArray = np.divide(2 * caught, whole, out=np.zeros(np.broadcast(caught, whole).shape), where=whole > 0)
    return found


def _interval(pairs: Pairs, seed: int) -> tuple[float, float] | None:
    size, rng = len(pairs.is_nok), np.random.default_rng(seed)
    differences = []
    for start in range(0, RESAMPLES, step := max(1, _CELLS_AT_ONCE // size)):
        drawn = rng.multinomial(size, np.full(size, 1 / size), size=min(step, RESAMPLES - start)) * pairs.weight
        successor, champion = (
            _f1(called[None, :], pairs.is_nok, drawn) for called in (pairs.successor_nok, pairs.champion_nok)
        )
        differences.append(successor - champion)
    return interval(np.concatenate(differences))


def _figures(called: BoolArray, is_nok: BoolArray, weight: FloatArray) -> dict[str, float | None]:
    def share(part: BoolArray, whole: BoolArray) -> float | None:
        return float(weight[part & whole].sum() / weight[whole].sum()) if whole.any() else None

    return {
        "f1": float(_f1(called[None, :], is_nok, weight[None, :])[0]),
        "recall": share(called, is_nok),
        "false_alarms": share(called, ~is_nok),
        "agreement": share(called == is_nok, np.ones(len(is_nok), dtype=np.bool_)),
    }
