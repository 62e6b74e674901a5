"""How well kinds are told: F1 of each, their mean, and whether one model tells them worse than another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.evaluation import RESAMPLES, interval, share
from models.kind_places import Kinds
from schemas.coils import FloatArray, IntArray

_SEED = 0  # of bootstraps


@dataclass(frozen=True, kw_only=True, slots=True)
class KindScores:
    """Of N places; figures of kinds that occur among them, and the mean of their F1, with 95% intervals."""

    n: int
    kinds: tuple[str, ...]
    f1: Mapping[str, float]
    f1_ci95: Mapping[str, tuple[float, float]]
    recall: Mapping[str, float]
    counts: Mapping[str, int]  # places of each kind
    macro_f1: float
    macro_f1_ci95: tuple[float, float]
    accuracy: float
    confusion: IntArray  # [K, K] true kind, said kind

    def as_json(self) -> dict[str, Any]:
        """As a manifest tells it."""
        return {
            "n": self.n,
            "macro_f1": round(self.macro_f1, 4),
            "macro_f1_ci95": [round(bound, 4) for bound in self.macro_f1_ci95],
            "accuracy": round(self.accuracy, 4),
            "f1": {kind: round(value, 4) for kind, value in self.f1.items()},
            "recall": {kind: round(value, 4) for kind, value in self.recall.items()},
            "counts": dict(self.counts),
        }


def kind_scores(true: Kinds, said: Kinds) -> KindScores:
    """Measure what was said of places against what they are.

    Macro F1 is the mean of the F1 of every kind that occurs among the places (Opitz and Burst 2019); its interval is of
    a bootstrap over places, each kind drawn by itself so that none is missing.

    Args:
        true: [N], above 0.
        said: [N].
    """
    kinds = tuple(sorted(set(true.tolist()) | set(said.tolist())))
    occurring = np.array([kind in set(true.tolist()) for kind in kinds])
    confusion = _confusion(true, said, kinds)
    f1 = _f1(confusion[None].astype(np.float64))[0]
    draws = _f1(_draws(confusion))
    whole = confusion.sum(axis=1)
    named = [(place, kind) for place, kind in enumerate(kinds) if occurring[place]]
    return KindScores(
        n=len(true),
        kinds=kinds,
        f1={kind: float(f1[place]) for place, kind in named},
        f1_ci95={kind: _interval(draws[:, place]) for place, kind in named},
        recall={kind: float(confusion[place, place] / whole[place]) for place, kind in named},
        counts={kind: int(whole[place]) for place, kind in named},
        macro_f1=float(f1[occurring].mean()),
        macro_f1_ci95=_interval(draws[:, occurring].mean(axis=1)),
        accuracy=float(np.trace(confusion) / len(true)),
        confusion=confusion,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class MacroDifference:
    """Macro F1 of one model less that of another on the same places, with the 95% interval."""

    value: float
    low: float
    high: float


def macro_difference(true: Kinds, before: Kinds, after: Kinds) -> MacroDifference:
    """How much better the later one tells the kinds that occur among the places, by a paired bootstrap.

    Args:
        true: [N], above 0.
        before: what one model said, [N].
        after: what the other said, [N].
    """
    kinds = tuple(sorted({*true.tolist(), *before.tolist(), *after.tolist()}))
    occurring = np.isin(kinds, true)
    index = {kind: place for place, kind in enumerate(kinds)}
    places = [np.array([index[kind] for kind in said.tolist()]) for said in (true, before, after)]
    rng = np.random.default_rng(_SEED)
    of_kind = [np.flatnonzero(places[0] == place) for place in range(len(kinds)) if occurring[place]]

    def difference(chosen: IntArray) -> float:
        both = [_confusion_of(places[0][chosen], said[chosen], len(kinds)) for said in places[1:]]
        one, other = _f1(np.stack(both).astype(np.float64))[:, occurring].mean(axis=1)
        return float(other - one)

    draws = [
        difference(np.concatenate([rng.choice(some, len(some)) for some in of_kind])) for _ in range(RESAMPLES // 4)
    ]
    low, high = interval(np.array(draws)) or (0.0, 0.0)
    return MacroDifference(value=difference(np.arange(len(true))), low=low, high=high)


def _confusion(true: Kinds, said: Kinds, kinds: Sequence[str]) -> IntArray:
    index = {kind: place for place, kind in enumerate(kinds)}
    rows, columns = (np.array([index[kind] for kind in some.tolist()]) for some in (true, said))
    return _confusion_of(rows, columns, len(kinds))


def _confusion_of(rows: IntArray, columns: IntArray, size: int) -> IntArray:
    counts: IntArray = np.bincount(rows * size + columns, minlength=size * size).reshape(size, size)
    return counts


def _interval(draws: FloatArray) -> tuple[float, float]:
    return interval(draws) or (0.0, 1.0)


def _draws(confusion: IntArray) -> FloatArray:
    """Confusion matrices of resamples, float64 [RESAMPLES, K, K]: as many places of each kind, by what was said."""
    rng = np.random.default_rng(_SEED)
    drawn = np.zeros((RESAMPLES, *confusion.shape))
    for place, row in enumerate(confusion):
        if row.sum():
            drawn[:, place] = rng.multinomial(row.sum(), row / row.sum(), size=RESAMPLES)
    return drawn


def _f1(confusion: FloatArray) -> FloatArray:
    """F1 by kind, [R, K], of confusion matrices [R, K, K]; zero of a kind that is never said nor true."""
    right = np.diagonal(confusion, axis1=1, axis2=2)
    found = share(2 * right, confusion.sum(axis=1) + confusion.sum(axis=2))
    return np.asarray(np.nan_to_num(found))
