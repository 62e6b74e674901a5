"""Shares and their confidence intervals: of coils that count alike, and of coils that stand for several."""

from dataclasses import dataclass
from math import inf, sqrt
from statistics import NormalDist

import numpy as np

from models.chi_square import chi_square_quantile
from models.evaluation import CONFIDENCE
from schemas.coils import FloatArray

_TAIL = (1 - CONFIDENCE) / 2
_Z = NormalDist().inv_cdf(1 - _TAIL)
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(64)
_NEGLIGIBLE = 40.0  # exp(-40) of an integral


@dataclass(frozen=True, kw_only=True, slots=True)
class Total:
    """What the coils of one outcome stand for."""

    value: float  # sum of their weights
    squares: float  # sum of their squared weights
    largest: float  # weight that one more such coil could have; above 0

    def limits(self) -> tuple[float, float]:
        """95% limits of a weighted sum of Poisson counts (Fay and Feuer 1997); Garwood's (1936) where all weigh 1.

        Of what was never seen the upper limit is that of 3.7 coils of the largest weight.
        """
        more, more_squares = self.value + self.largest, self.squares + self.largest**2
        high = _gamma_quantile(more, more_squares, 1 - _TAIL)
        return (_gamma_quantile(self.value, self.squares, _TAIL) if self.value else 0.0), high


def wilson_interval(part: float, whole: float) -> tuple[float, float]:
    """95% interval of a share (Wilson 1927).

    Args:
        part: coils that count, from 0 to `whole`.
        whole: coils, above 0.

    Example:
        >>> low, high = wilson_interval(9, 10)
        >>> round(low, 3), round(high, 3)
        (0.596, 0.982)
    """
    share, shrunk = part / whole, 1 + _Z**2 / whole
    middle = (share + _Z**2 / (2 * whole)) / shrunk
    half = _Z / shrunk * sqrt(share * (1 - share) / whole + _Z**2 / (4 * whole**2))
    return (max(0.0, middle - half) if part else 0.0), (min(1.0, middle + half) if part < whole else 1.0)


def weighted_share(part: FloatArray, rest: FloatArray) -> float:
    """Share of a population, from those of it that were drawn, each for itself and with a known probability.

    The ratio of the two estimated totals (Hájek 1971) is too high in the mean where few were drawn, as 1 / x is convex.
    Of drawn weights w = 1 / probability, the product of all (1 - w u) is an unbiased estimate of (1 - u)^N, where N is
    the size of the population, and A / N is the integral of A (1 - u)^(N - 1) over u from 0 to 1 (negative moments by
    the generating function: Cressie, Davis, Folks and Policello 1981, The American Statistician 35(3), 148-150). So

        the integral over u of the sum over i of `part` of w_i times the product over all j but i of (1 - w_j u)

    is unbiased but for what lies above u = 1 / (largest weight), where a product may be below 0. That is left out, and
    leaves (A / C - A / N) (1 - p)^N where C coils are drawn for certain, all of `part` among them, and the others with
    probability p: nothing, once the draw would find a few of such a population. Where all weigh alike it is the plain
    share.

    Args:
        part: float64 weights of those drawn that count, each at least 1.
        rest: of the others; not both empty.

    Example:
        >>> weighted_share(np.ones(6), np.ones(2))
        0.75
    """
    if not len(part) or not len(rest):
        return float(len(part) > 0)
    whole = np.concatenate([part, rest])
    weights, place = np.unique(whole, return_inverse=True)
    if len(weights) == 1:
        return len(part) / len(whole)
    top = min(1 / weights[-1], _NEGLIGIBLE / whole.sum())
    u = top * (_NODES + 1) / 2
    left = 1 - np.outer(u, weights)
    product = _NODE_WEIGHTS * np.exp(np.log(left) @ np.bincount(place))
    counted, total = (
        product @ (weights * np.bincount(place[:drawn], minlength=len(weights)) / left).sum(axis=1)
        for drawn in (len(part), len(whole))
    )
    return float(counted / total)


def weighted_share_interval(part: Total, rest: Total) -> tuple[float, float]:
    """95% interval of `part / (part + rest)` where coils stand for different numbers of coils.

    From the limits of both by the method of variance estimates recovery for a ratio (Donner and Zou 2012). A variance
    by linearisation would be shorter and wrong: where the few coils that were drawn hold no missed defect, it knows
    nothing of those that were not drawn.

    Args:
        part: coils that count.
        rest: the others; not both empty.
    """
    if not part.value:
        low, high = _ratio_limits(rest, part)
        return low / (1 + low), (high / (1 + high) if high < inf else 1.0)
    low, high = _ratio_limits(part, rest)
    return (1 / (1 + high) if high < inf else 0.0), 1 / (1 + low)


def _ratio_limits(whole: Total, part: Total) -> tuple[float, float]:
    """95% limits of `part / whole`; `whole` is above 0."""
    (part_low, part_high), (low, high) = part.limits(), whole.limits()
    product = part.value * whole.value
    least, most = part_low * (2 * part.value - part_low), part_high * (2 * part.value - part_high)
    under, over = high * (2 * whole.value - high), low * (2 * whole.value - low)
    lower = least / (product + sqrt(max(0.0, product**2 - least * under))) if least > 0 else 0.0
    return lower, (product + sqrt(max(0.0, product**2 - most * over))) / over if over > 0 else inf


def _gamma_quantile(mean: float, variance: float, probability: float) -> float:
    return variance / (2 * mean) * chi_square_quantile(2 * mean**2 / variance, probability)
