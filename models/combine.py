"""From the members' probabilities to the ensemble's: numpy only, since it serves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from schemas.coils import FloatArray
from schemas.combine import Combine

SMALLEST_P = 1e-6  # probabilities are kept this far from 0 and 1 where log-odds are taken


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """How M members are combined; what `how` does not need is left aside."""

    how: Combine
    weights: tuple[float, ...] = ()  # [M], of `weighted` and `stacking`
    intercept: float = 0.0  # of `stacking`, in log-odds
    thresholds: tuple[float, ...] = ()  # [M], of `union`


MEAN = Rule(how="mean")


def combine(member_p_nok: FloatArray, rule: Rule) -> FloatArray:
    """Combine members' probabilities [B, M] into one [B] in [0, 1]; a member that rises never lowers it.

    `mean` is the study's ensemble. `confidence_sum` is the pilot's code (FACTS section 4): every member has
    a label and a confidence `|p_ok - p_nok|`, per label the confidences are summed, NOK where its sum is
    larger. It is returned as NOK's share of both sums, a tie just under 0.5, so that 0.5 is the pilot's
    decision. (As `p_ok = 1 - p_nok`, NOK's sum is larger exactly where the mean is over 0.5.)

    `weighted` is the mean by weights that sum to 1. `stacking` is a logistic regression on the members'
    log-odds (Wolpert 1992). `union` calls NOK what any member calls NOK: each member's probability is
    stretched so that its own threshold comes to lie at 0.5, and the largest is taken; at a threshold of 0.5
    the decision is the union's, at others it is a stricter or a laxer one.

    Args:
        member_p_nok: float64 [B, M] in [0, 1].
        rule: with the parameters that its `how` needs, one a member.

    Example:
        >>> p_nok = np.array([[0.9, 0.4]])
        >>> combine(p_nok, Rule(how="confidence_sum")).round(3).tolist()
        [0.8]
        >>> combine(p_nok, Rule(how="union", thresholds=(0.95, 0.3))).round(3).tolist()
        [0.571]
    """
    match rule.how:
        case "mean":
            combined: FloatArray = member_p_nok.mean(axis=1)
        case "confidence_sum":
            combined = _confidence_sum(member_p_nok)
        case "weighted":
            combined = (member_p_nok @ np.array(rule.weights)).clip(0, 1)  # rounding may step over 1
        case "stacking":
            odds = log_odds(member_p_nok) @ np.array(rule.weights) + rule.intercept
            combined = np.exp(-np.logaddexp(0, -odds))
        case "union":
            combined = _stretched(member_p_nok, np.array(rule.thresholds)).max(axis=1)
    return combined


def among(rule: Rule, taken: Sequence[int]) -> Rule:
    """The rule where only some members can take a batch, such as those of scale `self`.

    Weights are shared out again among those that are left. Stacking's coefficients were fitted to all members
    together and mean nothing for a part of them, so those that are left are averaged; so are members whose weights
    are all zero.

    Args:
        rule: of all members.
        taken: places of the members that are left, in order, at least one.
    """
    if list(taken) == list(range(len(rule.weights or rule.thresholds or taken))):
        return rule
    match rule.how:
        case "weighted":
            rest = np.array([rule.weights[i] for i in taken])
            return Rule(how="weighted", weights=tuple(rest / rest.sum())) if rest.sum() > 0 else MEAN
        case "union":
            return Rule(how="union", thresholds=tuple(rule.thresholds[i] for i in taken))
        case "stacking":
            return MEAN
        case _:
            return rule


def log_odds(p_nok: FloatArray) -> FloatArray:
    """Log-odds of probabilities, kept finite."""
    kept = np.clip(p_nok, SMALLEST_P, 1 - SMALLEST_P)
    odds: FloatArray = np.log(kept / (1 - kept))
    return odds


def _confidence_sum(member_p_nok: FloatArray) -> FloatArray:
    signed = 2 * member_p_nok - 1
    nok = np.where(signed > 0, signed, 0).sum(axis=1)
    ok = np.where(signed < 0, -signed, 0).sum(axis=1)
    undecided = np.full(len(signed), np.nextafter(0.5, 0))
    share: FloatArray = np.divide(nok, nok + ok, out=undecided, where=nok != ok)
    return share


def _stretched(p_nok: FloatArray, thresholds: FloatArray) -> FloatArray:
    """Piecewise linear in each column: 0, its threshold and 1 come to lie at 0, 0.5 and 1 (a threshold of 1: at 0.5).

    Below its threshold a probability stays below 0.5, whatever the rounding: p < t gives p / t < 1.
    """
    below = np.minimum(p_nok, thresholds) / np.where(thresholds > 0, thresholds, 1)
    above = (p_nok - thresholds) / np.where(thresholds < 1, 1 - thresholds, 1)
    return np.where(p_nok < thresholds, below / 2, 0.5 + above / 2)
