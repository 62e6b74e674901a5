"""How good a model was on coils that people looked at: plain scores, and weighted ones beside them.

The positive class is NOK. Plain scores are of the coils that somebody judged, whoever asked for it; where mostly
alarms are looked at, they say little of the line. Weighted scores are of all coils of the line: each coil that was
asked for stands for as many as its probability of being asked says (Horvitz and Thompson 1952), each rate is a share
of the line's coils estimated without the bias that a ratio of two such totals has
(`models.share_intervals.weighted_share`), and where not every question was answered, those who answered stand for the
others of their stratum (Särndal, Swensson and Wretman 1992, chapter 15).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from models.evaluation import RESAMPLES, interval
from models.share_intervals import Total, weighted_share, weighted_share_interval, wilson_interval
from schemas.coils import BoolArray, FloatArray, IntArray
from schemas.scores import ALL, UNKNOWN, Cells, Figure, Rates, Score, Slice, SliceKind, Stratum, Weighted

TextArray = npt.NDArray[np.str_]
_BINS = 10
_TP, _FP, _FN, _TN = range(4)
_OUTCOMES = ((True, True), (False, True), (True, False), (False, False))  # NOK, called NOK


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedCoils:
    """N coils that somebody judged or was asked to, as one model saw them; arrays [N]."""

    answered: BoolArray  # somebody judged it, and nobody disputes that
    is_nok: BoolArray  # what they said; false where not answered
    called_nok: BoolArray  # by the model; an undecided coil by its probability
    p_nok: FloatArray  # in [0, 1]
    undecided: BoolArray
    asked: BoolArray  # somebody was asked to look at it
    probability: FloatArray  # with which such a coil is asked for, in (0, 1]; NaN where it was not kept
    strata: TextArray  # within which all are alike likely to be answered

    def take(self, which: BoolArray | IntArray) -> "JudgedCoils":
        """The coils marked, bool [N], or at these places, int64."""
        return JudgedCoils(**{name: getattr(self, name)[which] for name in JudgedCoils.__slots__})


def plain_rates(is_nok: BoolArray, called_nok: BoolArray) -> Rates:
    """Rates of coils that count alike, with Wilson's intervals (1927).

    Args:
        is_nok: bool [N], what people said.
        called_nok: bool [N], by the model.
    """
    return weighted_rates(is_nok, called_nok, np.ones(len(is_nok)))


def weighted_rates(is_nok: BoolArray, called_nok: BoolArray, probability: FloatArray) -> Rates:
    """Rates of the population that coils were drawn from, each with its own probability.

    Where all coils of a rate weigh the same, its interval is Wilson's.

    Args:
        is_nok: bool [N] of coils that were drawn.
        called_nok: bool [N].
        probability: float64 [N] of being drawn, times the share of answers where some are missing, in (0, 1].
    """
    weight = 1 / probability
    any_largest = float(weight.max(initial=1.0))
    largest = {called: float(weight[called_nok == called].max(initial=0.0)) or any_largest for called in (True, False)}
    values, squares = cells_of(is_nok, called_nok, weight), cells_of(is_nok, called_nok, weight**2)

    def total(cells: Sequence[int]) -> Total:
        return Total(
            value=sum(values[i] for i in cells),
            squares=sum(squares[i] for i in cells),
            largest=max(largest[_OUTCOMES[i][1]] for i in cells),
        )

    def figure(part: Sequence[int], rest: Sequence[int]) -> Figure:
        weights = (np.concatenate([weight[which[i]] for i in cells]) for cells in (part, rest))
        return _figure(total(part), total(rest), *weights)

    which = [(is_nok == nok) & (called_nok == called) for nok, called in _OUTCOMES]
    return Rates(
        agreement=figure((_TP, _TN), (_FP, _FN)),
        recall=figure((_TP,), (_FN,)),
        false_alarms=figure((_FP,), (_TN,)),
        precision=figure((_TP,), (_FP,)),
    )


def cells_of(is_nok: BoolArray, called_nok: BoolArray, weight: FloatArray) -> Cells:
    """Totals by outcome (Horvitz and Thompson 1952, where the weight is one over the probability)."""
    return Cells(*(float(weight[(is_nok == nok) & (called_nok == called)].sum()) for nok, called in _OUTCOMES))


def score(coils: JudgedCoils, *, seed: int = 0) -> Score:
    """Score one model on coils that somebody judged or was asked to.

    Args:
        coils: of one model.
        seed: of the bootstrap of the calibration error.
    """
    judged = coils.take(coils.answered)
    alike = np.ones(len(judged.is_nok))
    return Score(
        cells=cells_of(judged.is_nok, judged.called_nok, alike),
        rates=plain_rates(judged.is_nok, judged.called_nok),
        calibration_error=calibration_error(judged.p_nok, judged.is_nok, alike, seed=seed),
        undecided=_share(int(judged.undecided.sum()), len(alike)),
        weighted=_weighted(coils, seed=seed),
    )


def response(coils: JudgedCoils) -> tuple[Stratum, ...]:
    """How many of the coils that were asked for were answered, by stratum."""
    known = _drawn(coils)
    names = sorted(set(coils.strata[known].tolist()))
    within = {name: known & (coils.strata == name) for name in names}
    return tuple(
        Stratum(name=name, asked=int(w.sum()), answered=int((w & coils.answered).sum())) for name, w in within.items()
    )


def _weighted(coils: JudgedCoils, *, seed: int) -> Weighted | None:
    """As if drawn with the probability of being asked for times the stratum's share of answers."""
    chance = coils.probability.copy()
    strata = response(coils)
    for stratum in strata:
        chance[coils.strata == stratum.name] *= stratum.answered / stratum.asked
    asked = _drawn(coils)
    used = asked & coils.answered
    if not used.any():
        return None
    taken, likely = coils.take(used), chance[used]
    line = float((1 / coils.probability[asked]).sum())
    heard = float((1 / coils.probability[asked & (chance > 0)]).sum())
    return Weighted(
        coils=len(likely),
        stand_for=line,
        represented=heard / line,
        strata=strata,
        rates=weighted_rates(taken.is_nok, taken.called_nok, likely),
        calibration_error=calibration_error(taken.p_nok, taken.is_nok, 1 / likely, seed=seed),
    )


def _drawn(coils: JudgedCoils) -> BoolArray:
    drawn: BoolArray = coils.asked & (coils.probability > 0)  # NaN is not above 0
    return drawn


def calibration_error(p_nok: FloatArray, is_nok: BoolArray, weight: FloatArray, *, seed: int = 0) -> Figure:
    """Mean distance between `p_nok` and the share of NOK coils, in ten bins of equal mass (Nixon et al. 2019).

    The error is never negative, so it is above zero for calibrated models too and a resample's lies higher still: the
    interval is the basic one (Davison and Hinkley 1997, 5.2), of a bootstrap that draws each bin's gap by its standard
    error, so that ten thousand coils take no longer than a hundred.

    Args:
        p_nok: float64 [N] in [0, 1].
        is_nok: bool [N].
        weight: float64 [N] above 0, coils that each stands for.
        seed: of the bootstrap.
    """
    if not len(p_nok):
        return UNKNOWN
    inner = np.unique(np.quantile(p_nok, np.arange(1, _BINS) / _BINS))
    place, count = np.searchsorted(inner, p_nok, side="right"), len(inner) + 1
    gap, whole = weight * (p_nok - is_nok), weight.sum()
    gaps, mass = (np.bincount(place, part, minlength=count) for part in (gap, weight))
    mean = np.divide(gaps, mass, out=np.zeros(count), where=mass > 0)
    spread = np.sqrt(np.bincount(place, (gap - weight * mean[place]) ** 2, minlength=count))
    error = float(np.abs(gaps).sum() / whole)
    drawn = gaps + spread * _draws(seed, count)
    low, high = interval(np.abs(drawn).sum(axis=1) / whole) or (error, error)
    return Figure(value=error, low=max(0.0, 2 * error - high), high=max(0.0, 2 * error - low))


@cache
def _draws(seed: int, bins: int) -> FloatArray:
    """Standard normal draws [RESAMPLES, bins]: the same for hundreds of scores, whose half they would cost."""
    draws = np.random.default_rng(seed).standard_normal((RESAMPLES, bins))
    draws.flags.writeable = False
    return draws


def slices(groups: Mapping[SliceKind, TextArray], size: int) -> dict[Slice, BoolArray]:
    """Which of `size` coils each slice holds, bool [N]: all, and each value of each group.

    Args:
        groups: values [N] by group; a coil without a value, "", is in none of the group.
        size: coils, N.
    """
    of_group = {
        Slice(kind=group, value=value): values == value
        for group, values in groups.items()
        for value in sorted(set(values.tolist()) - {""})
    }
    return {ALL: np.ones(size, dtype=bool), **of_group}


def _figure(part: Total, rest: Total, part_weights: FloatArray, rest_weights: FloatArray) -> Figure:
    whole = part.value + rest.value
    if not whole:
        return UNKNOWN
    alike = all(
        np.isclose(t.squares, t.value * t.largest) and np.isclose(t.largest, part.largest) for t in (part, rest)
    )
    if alike:
        low, high = wilson_interval(part.value / part.largest, whole / part.largest)
        return Figure(value=part.value / whole, low=low, high=high)
    value = weighted_share(part_weights, rest_weights)
    low, high = weighted_share_interval(part, rest)
    return Figure(value=value, low=min(low, value), high=max(high, value))


def _share(part: int, whole: int) -> Figure:
    if not whole:
        return UNKNOWN
    low, high = wilson_interval(part, whole)
    return Figure(value=part / whole, low=low, high=high)
