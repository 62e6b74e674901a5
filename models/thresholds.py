"""Where to draw the line between OK and NOK: by F1, tolerated false alarms, costs, or a customer's profile."""

from collections.abc import Mapping

import numpy as np

from models.objectives_spec import Threshold
from schemas.coils import BoolArray, FloatArray
from schemas.errors import SourceError, SpecError
from schemas.settings import ToleranceProfile

CONFIDENCE = 0.95  # one-sided, that a bound on false alarms holds on new coils
_RESAMPLES = 200


def chosen_threshold(
    rule: Threshold, p_nok: FloatArray, is_nok: BoolArray, *, profiles: Mapping[str, ToleranceProfile]
) -> float:
    """The threshold that a specification asks for, on validation coils that the model did not learn from.

    A threshold by false alarms must not be rounded down afterwards: its bound would be lost.

    Args:
        rule: key `threshold` of a training specification.
        p_nok: float64 [N] in [0, 1].
        is_nok: bool [N]; both labels, but for `false_alarms` and a profile that has a threshold of its own.
        profiles: tolerance profiles of the settings, by name.

    Raises:
        SpecError: the rule names a profile that the settings do not know.
        SourceError: the coils cannot give what the rule asks for.
    """
    match rule.rule:
        case "f1":
            return f1_threshold(p_nok, is_nok, prevalence=rule.prevalence)
        case "false_alarms":
            return false_alarm_threshold(p_nok, is_nok, most_false_alarms=rule.most_false_alarms)
        case "costs":
            return cost_threshold(p_nok, is_nok, cost_missed=rule.cost_missed, prevalence=rule.prevalence)
        case "profile":
            name = rule.profile or "default"
            if name not in profiles:
                raise SpecError(
                    f"key threshold.profile: {name!r} is not in the settings, known: {', '.join(sorted(profiles))}",
                    remedy="define it under tolerance_profiles, or name another",
                )
            return profile_threshold(profiles[name], p_nok, is_nok)


def f1_threshold(p_nok: FloatArray, is_nok: BoolArray, *, prevalence: float | None = None, seed: int = 0) -> float:
    """The threshold of largest F1, the study's main figure, steadied by a bootstrap.

    F1 over thresholds is flat and jagged at its top, so the median of the best thresholds of 200 resamples is
    taken; each lies halfway between two neighbouring scores. Against recall minus false-alarm rate (Youden 1950)
    it calls fewer good coils NOK, which is what costs on a line where 99% are good.

    Args:
        p_nok: float64 [N] in [0, 1].
        is_nok: bool [N], both labels present.
        prevalence: share of NOK on the line, in (0, 1), to which the labels are reweighted as for `cost_threshold`;
            None: that of the coils.
        seed: of the resamples.

    Raises:
        SourceError: a label is missing.

    Example:
        >>> p_nok, is_nok = np.array([0.1, 0.2, 0.7, 0.9]), np.array([False, False, True, True])
        >>> round(f1_threshold(p_nok, is_nok), 3)
        0.45
    """
    _refuse_one_label(is_nok)
    order = np.argsort(p_nok, kind="stable")
    scores, nok = p_nok[order], is_nok[order]
    size = len(scores)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, size, size=(_RESAMPLES, size)) + np.arange(_RESAMPLES)[:, None] * size
    weights = np.bincount(drawn.reshape(-1), minlength=_RESAMPLES * size).reshape(_RESAMPLES, size)
    called = _from_here_up(weights)  # coils called NOK where the line is just below score i
    caught = _from_here_up(weights * nok)
    share = float(is_nok.mean())
    ok_weight = 1.0 if prevalence is None else share / (1 - share) * (1 - prevalence) / prevalence
    f1 = 2 * caught / np.maximum(caught + ok_weight * (called - caught) + caught[:, :1], 1)
    f1[:, 1:][:, scores[1:] == scores[:-1]] = -1  # no line can be drawn between equal scores
    edges = np.concatenate([[0.0], _between(scores[:-1], scores[1:])])
    return float(np.median(edges[f1.argmax(axis=1)]))


def false_alarm_threshold(p_nok: FloatArray, is_nok: BoolArray, *, most_false_alarms: float) -> float:
    """The lowest threshold whose share of false alarms on new OK coils is within a bound, with 95% confidence.

    Of n OK coils at most k may be called NOK, k the largest with P(Binomial(n, bound) <= k) <= 5%: the order-statistic
    bound of Tong, Feng and Li (2018, the Neyman-Pearson umbrella algorithm, proposition 1; as Wilks' tolerance limits
    of 1941). It needs no assumption on the scores but that new OK coils come as these did, so drift voids it. The share
    on these coils is therefore below the bound itself: 1.3 points below 5% on 600 OK coils.

    Args:
        p_nok: float64 [N] in [0, 1].
        is_nok: bool [N]; NOK coils only say how far down the line may be put.
        most_false_alarms: share of OK coils that may be called NOK, in (0, 1).

    Raises:
        SourceError: there are too few OK coils to promise the bound, or too many have the largest score there is.

    Example:
        >>> ok = np.arange(100) / 100
        >>> round(false_alarm_threshold(ok, np.zeros(100, dtype=bool), most_false_alarms=0.05), 3)
        0.985
    """
    ok = np.sort(p_nok[~is_nok])
    allowed = most_alarms(len(ok), most_false_alarms)
    if allowed is None:
        wanted = int(np.ceil(np.log(1 - CONFIDENCE) / np.log1p(-most_false_alarms)))
        raise SourceError(
            f"{len(ok)} OK coils cannot show that false alarms stay within {most_false_alarms:.2%}",
            remedy=f"give at least {wanted} OK coils for validation, or allow more false alarms",
        )
    at = ok[-1 - allowed]  # the highest OK score that must not be called NOK
    above = p_nok[p_nok > at].min(initial=1.0)
    if at >= above:
        raise SourceError(
            f"more than {most_false_alarms:.2%} of the OK coils have the largest score, {at:g}",
            remedy="allow more false alarms, or train the model on more coils",
        )
    return float(_between(at, above))


def most_alarms(ok_coils: int, most_false_alarms: float) -> int | None:
    """How many of n OK coils may be called NOK, so that a bound holds with 95% confidence; None: the coils are too few.

    The largest k with P(Binomial(n, bound) <= k) <= 5%, from the logarithms of the binomial probabilities.
    """
    k = np.arange(ok_coils)
    log_choose = np.concatenate([[0.0], np.cumsum(np.log((ok_coils - k) / (k + 1)))])[:-1]
    log_share = log_choose + k * np.log(most_false_alarms) + (ok_coils - k) * np.log1p(-most_false_alarms)
    within = int(np.count_nonzero(np.cumsum(np.exp(log_share)) <= 1 - CONFIDENCE))
    return within - 1 if within else None


def cost_threshold(
    p_nok: FloatArray, is_nok: BoolArray, *, cost_missed: float, prevalence: float | None, seed: int = 0
) -> float:
    """The threshold of least expected cost a coil at the line's share of NOK, steadied by a bootstrap.

    Cost is `prevalence × cost_missed × share missed + (1 - prevalence) × share of false alarms`: the labels are
    reweighted by Bayes' rule (Elkan 2001), since coils to learn from are seldom in the line's proportions. As for F1,
    the median over 200 resamples is taken, here drawn within each label.

    Args:
        p_nok: float64 [N] in [0, 1].
        is_nok: bool [N], both labels present.
        cost_missed: of a NOK coil called OK, over that of a false alarm.
        prevalence: share of NOK on the line, in (0, 1); None: that of the coils.
        seed: of the resamples.

    Returns:
        In [0, 1]; above all scores where a missed coil costs too little for any to be called NOK.

    Raises:
        SourceError: a label is missing.
    """
    _refuse_one_label(is_nok)
    prevalence = float(is_nok.mean()) if prevalence is None else prevalence
    order = np.argsort(p_nok, kind="stable")
    scores, nok = p_nok[order], is_nok[order]
    rng = np.random.default_rng(seed)
    caught, alarms = (_share_called(rng, which) for which in (nok, ~nok))
    costs = prevalence * cost_missed * (1 - caught) + (1 - prevalence) * alarms
    edges = np.concatenate([[0.0], _between(scores[:-1], scores[1:]), _between(scores[-1:], np.ones(1))])
    costs[:, 1:-1][:, scores[1:] == scores[:-1]] = np.inf  # no line can be drawn between equal scores
    if scores[-1] >= 1:
        costs[:, -1] = np.inf  # nor above the largest there is
    lowest, highest = costs.argmin(axis=1), len(edges) - 1 - costs[:, ::-1].argmin(axis=1)  # coils not drawn cost alike
    return float(np.median((edges[lowest] + edges[highest]) / 2))


def profile_threshold(profile: ToleranceProfile, p_nok: FloatArray, is_nok: BoolArray) -> float:
    """The threshold that a customer's tolerance profile implies: its own, or that of largest F1 if it names none.

    Raises:
        SourceError: it names none, and a label is missing.
    """
    return f1_threshold(p_nok, is_nok) if profile.threshold is None else profile.threshold


def _refuse_one_label(is_nok: BoolArray) -> None:
    if is_nok.all() or not is_nok.any():
        missing = "OK" if is_nok.any() else "NOK"
        raise SourceError(
            f"no validation coil is {missing}, so no threshold can be set between OK and NOK",
            remedy=f"give {missing} coils, set threshold.rule: false_alarms, which needs OK coils alone, or a profile "
            "that has a threshold",
        )


def _share_called(rng: np.random.Generator, which: BoolArray) -> FloatArray:
    """Share of some coils called NOK, [resamples, N + 1], where the line is just below score i or above all."""
    places = np.flatnonzero(which)
    weights = np.zeros((_RESAMPLES, len(which) + 1))
    weights[:, places] = rng.multinomial(len(places), np.full(len(places), 1 / len(places)), size=_RESAMPLES)
    return _from_here_up(weights) / len(places)


def _from_here_up(weights: np.ndarray) -> np.ndarray:
    return weights[:, ::-1].cumsum(axis=1)[:, ::-1]


def _between(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Halfway between two scores; the higher one where rounding would give the lower."""
    middle = (low + high) / 2
    return np.where(middle > low, middle, high)
