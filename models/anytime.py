"""Whether the mean of a stream of outcomes is below a bound, asked after every outcome without paying for asking often.

A better starts with one and stakes a share of it on "the next outcome is not right", at odds that are fair where the
mean is at the bound. While no mean is below the bound, what he has (the *evidence*) is a supermartingale, so it ever
reaches 1 / alpha with a chance of at most alpha (Ville 1939; Robbins 1970; as bets: Waudby-Smith and Ramdas 2024).
That needs no independent outcomes: it is enough that each, given those before it, is right with at least that chance.

The money is split among shares to stake, since how far below the bound the mean lies is not known, and among the
moments to begin, since a model may slip after hundreds of good coils: half begins at once, the rest evenly over the
horizon (a sum over beginnings, as in the e-detectors of Shin, Ramdas and Rinaldo 2024, weighted to sum to one). After
a horizon all begins anew: alpha is the chance of a false finding within each horizon.
"""

from dataclasses import dataclass

import numpy as np

from schemas.coils import BoolArray, FloatArray, IntArray

STAKES = np.array([0.05, 0.1, 0.2, 0.4])  # shares of the most that can be staked
AT_ONCE = 0.5  # of the money begins with the first outcome
EVERY = 25  # outcomes from one later beginning to the next
_STEP = 25  # thousandths from one bound to the next in a first search for a limit
_ENOUGH = 1e100  # more evidence is not kept: an unbroken row of wrong outcomes would overflow


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """Where betting stands: `capital` [..., stakes] of what has begun, after `seen` outcomes of this horizon."""

    capital: FloatArray
    seen: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Established:
    """That a mean is below its bound: known after `at` outcomes, by those from index `since` on."""

    at: int
    since: int


def begin() -> Process:
    """The process before any outcome."""
    return Process(capital=np.zeros(len(STAKES)))


def advance(
    process: Process, right: BoolArray, weight: FloatArray, *, bound: float | FloatArray, horizon: int
) -> tuple[Process, FloatArray]:
    """Bet on further outcomes; the evidence is the same whether they come one by one or all at once.

    Args:
        process: where betting stands.
        right: bool [..., N], the outcomes in order.
        weight: float64, broadcast to `right`: how many such outcomes one stands for, of those not right 1 over the
            chance with which such an outcome is seen at all (Waudby-Smith et al. 2024, off-policy inference). In
            [0, 1] for those that are right, at least 0 for the others; 0 leaves an outcome out.
        bound: the mean's, in (0, 1); an array [...] of several is taken against the leading axes of `right`.
        horizon: outcomes after which all begins anew.

    Returns:
        Where betting stands now, and the evidence [..., N] after each outcome: at 1 / alpha or above, the mean is
        below the bound. It never falls where an outcome turns from right to wrong, or where the bound rises.

    Raises:
        ValueError: a bound or a weight is outside its range.
    """
    limit, weights = np.asarray(bound, dtype=np.float64), np.broadcast_to(weight, right.shape)
    if not np.all((limit > 0) & (limit < 1)):
        raise ValueError(f"bound is {bound}, expected above 0 and below 1")
    if not (np.all(weights >= 0) and np.all(weights[right] <= 1)):
        raise ValueError("a weight is outside its range: at least 0, and at most 1 for outcomes that are right")
    begins = _begins(horizon)
    unbegun = 1 - np.cumsum(begins)
    shape = np.broadcast_shapes(limit.shape, right.shape[:-1])
    capital = np.broadcast_to(process.capital, (*shape, len(STAKES)))
    evidence = np.empty((*shape, right.shape[-1]))
    gain = weights * np.where(right, -1.0, 1.0)
    odds = limit / (1 - limit)
    seen = process.seen
    for i in range(right.shape[-1]):
        if seen == horizon:
            capital, seen = np.zeros_like(capital), 0
        payoff = gain[..., i] * np.where(right[..., i], 1.0, odds)
        capital = np.minimum((capital + begins[seen] / len(STAKES)) * (1 + payoff[..., None] * STAKES), _ENOUGH)
        evidence[..., i] = capital.sum(axis=-1) + unbegun[seen]
        seen += 1
    return Process(capital=capital, seen=seen), evidence


def latest_begin(size: int, horizon: int) -> int:
    """Where the horizon before the present one began: of `size` outcomes, those before say nothing any more.

    Args:
        size: outcomes in all.
        horizon: outcomes after which all begins anew.
    """
    return max(0, (size - 1) // horizon - 1) * horizon


def below(right: BoolArray, weight: FloatArray, *, bound: float, alpha: float, horizon: int) -> Established | None:
    """Whether and when the latest `horizon` outcomes have established that the mean is below the bound.

    Args:
        right: bool [N], all outcomes in order.
        weight: float64 [N], as in `advance`.
        bound: of the mean, in (0, 1).
        alpha: chance of a finding within a horizon while the mean is not below the bound, in (0, 1).
        horizon: outcomes.
    """
    start = latest_begin(len(right), horizon)
    recent, weights = right[start:], weight[start:]
    _, evidence = advance(begin(), recent, weights, bound=bound, horizon=horizon)
    first = max(0, len(recent) - horizon)
    crossed = np.flatnonzero(evidence[first:] >= 1 / alpha)
    if not len(crossed):
        return None
    at = first + int(crossed[0])
    block = at // horizon * horizon
    payoff = weights[block : at + 1] * np.where(recent[block : at + 1], -1.0, bound / (1 - bound))
    won = np.cumsum(np.log1p(payoff[::-1, None] * STAKES), axis=0)[::-1]
    with np.errstate(divide="ignore"):  # where nothing begins
        share = np.log(_begins(horizon)[: len(won)]) + np.logaddexp.reduce(won, axis=1)
    return Established(at=start + at + 1, since=start + block + int(np.argmax(share)))


def upper_limit(right: BoolArray, weight: FloatArray, *, alpha: float, horizon: int) -> float:
    """Upper confidence limit of the mean that holds at all times of a horizon: the least bound it is below.

    Of a mean that changes, it is the limit of its lowest value over the latest `horizon` outcomes. Rounded up to a
    thousandth; 1 where nothing is known.

    Args:
        right: bool [N], all outcomes in order.
        weight: float64 [N], as in `advance`.
        alpha: chance that the limit is ever wrong within a horizon.
        horizon: outcomes.
    """
    start = latest_begin(len(right), horizon)
    coarse = _least(right[start:], weight[start:], np.arange(_STEP, 1000, _STEP), alpha=alpha, horizon=horizon)
    fine = np.arange(coarse - _STEP + 1, min(coarse, 999) + 1)
    return _least(right[start:], weight[start:], fine, alpha=alpha, horizon=horizon) / 1000


def _least(right: BoolArray, weight: FloatArray, thousandths: IntArray, *, alpha: float, horizon: int) -> int:
    """The least of rising bounds that the mean is below, 1000 where it is below none; evidence rises with the bound."""
    _, evidence = advance(begin(), right, weight, bound=thousandths / 1000, horizon=horizon)
    known = (evidence[:, -horizon:] >= 1 / alpha).any(axis=-1)
    return int(thousandths[known.argmax()]) if known.any() else 1000


def _begins(horizon: int) -> FloatArray:
    """What begins before each outcome of a horizon, summing to one: [horizon]."""
    if horizon < 1:
        raise ValueError(f"horizon is {horizon}, expected at least 1")
    begins = np.zeros(horizon)
    begins[EVERY::EVERY] = 1
    later = begins.sum()
    begins *= (1 - AT_ONCE) / max(later, 1)
    begins[0] = AT_ONCE if later else 1.0
    return begins
