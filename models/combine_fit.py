"""Weights, coefficients and members of an ensemble, chosen on validation coils that no member learnt from.

Of the training side: it needs scipy. The two labels count the same, as in the loss that members are calibrated by.
"""

from collections.abc import Mapping

import numpy as np
from scipy.optimize import minimize

from models.combine import SMALLEST_P, Rule, log_odds
from schemas.coils import BoolArray, FloatArray
from schemas.errors import SourceError

_SHRINKAGE = 1e-3  # of stacking's coefficients towards an equal share each
_TOLERANCE = 1e-9
_NEAR = 1e-4  # in log loss: a search that gave up so near the lowest has found it


def fit_weighted(member_p_nok: FloatArray, is_nok: BoolArray) -> Rule:
    """Weights, none negative and 1 in all, of least log loss: a convex problem, by SLSQP (Kraft 1988).

    Args:
        member_p_nok: float64 [N, M] in [0, 1], on validation coils.
        is_nok: bool [N], both labels present.

    Raises:
        SourceError: no weights were found.
    """
    members = member_p_nok.shape[1]
    right = np.where(is_nok[:, None], member_p_nok, 1 - member_p_nok).clip(SMALLEST_P, 1)
    share = _equal_labels(is_nok)

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        p_right = right @ weights
        return float(-share @ np.log(p_right)), -(share / p_right) @ right

    found = minimize(
        loss,
        np.full(members, 1 / members),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": _TOLERANCE, "maxiter": 500},
    )
    slope = loss(found.x)[1]
    # Loss is convex, so no weights are better than these by more than the slope towards the best member promises.
    if not found.success and not float(found.x @ slope - slope.min()) <= _NEAR:
        raise _not_found("weights", found.message)
    weights = np.where(found.x > 1e-6, found.x, 0)
    return Rule(how="weighted", weights=tuple(float(w) for w in weights / weights.sum()))


def fit_stacking(member_p_nok: FloatArray, is_nok: BoolArray) -> Rule:
    """A logistic regression on the members' log-odds (Wolpert 1992) with no negative coefficient (Breiman 1996).

    Without that, members that are much alike get large coefficients of opposite sign, and one that rises can make a
    coil less NOK. Coefficients are shrunk a little towards an equal share each, so that labels that are told apart
    without a fault leave them finite.

    Args:
        member_p_nok: float64 [N, M] in [0, 1], on validation coils.
        is_nok: bool [N], both labels present.

    Raises:
        SourceError: no coefficients were found.
    """
    members = member_p_nok.shape[1]
    odds, sign, share = log_odds(member_p_nok), np.where(is_nok, 1.0, -1.0), _equal_labels(is_nok)

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        off = parameters[:-1] - 1 / members
        right = sign * (odds @ parameters[:-1] + parameters[-1])
        slope = -share * sign * np.exp(-np.logaddexp(0, right))
        value = share @ np.logaddexp(0, -right) + _SHRINKAGE / 2 * (off @ off)
        return float(value), np.append(slope @ odds + _SHRINKAGE * off, slope.sum())

    found = minimize(
        loss,
        np.append(np.full(members, 1 / members), 0.0),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * members + [(None, None)],
        options={"ftol": 1e-14, "gtol": 1e-8, "maxiter": 2000},
    )
    slope = loss(found.x)[1]
    slope[:-1] = np.where((found.x[:-1] > 0) | (slope[:-1] < 0), slope[:-1], 0.0)  # a coefficient of 0 cannot fall
    if not found.success and not float(np.abs(slope).max()) <= _NEAR:  # its line search ends at the last digits too
        raise _not_found("coefficients", found.message)
    *weights, intercept = (float(value) for value in found.x)
    return Rule(how="stacking", weights=tuple(weights), intercept=intercept)


def choose_top_k(p_nok: Mapping[str, FloatArray], is_nok: BoolArray, k: int) -> tuple[str, ...]:
    """The k members whose mean serves best, added one by one as each lowers the log loss most (Caruana et al. 2004).

    To be called with validation coils only: members chosen on the coils that judge look better than they are.

    Args:
        p_nok: by member, float64 [N] in [0, 1].
        is_nok: bool [N], both labels present.
        k: members wanted, at most as many as there are.

    Returns:
        In the order of choice; the first is the best alone. Equally good ones by the order they were given in.
    """
    if not 1 <= k <= len(p_nok):
        raise ValueError(f"{k} members are wanted of {len(p_nok)}")
    share = _equal_labels(is_nok)
    chosen: list[str] = []
    total = np.zeros(len(is_nok))
    for count in range(1, k + 1):
        losses = {
            name: _log_loss((total + member) / count, is_nok, share)
            for name, member in p_nok.items()
            if name not in chosen
        }
        best = min(losses, key=lambda name: losses[name])
        chosen.append(best)
        total = total + p_nok[best]
    return tuple(chosen)


def _not_found(what: str, why: str) -> SourceError:
    return SourceError(
        f"no {what} of the members were found on these validation coils ({why})", remedy="combine them by mean"
    )


def _equal_labels(is_nok: BoolArray) -> FloatArray:
    """Weight of each coil, 1 in all, each label half of it."""
    share: FloatArray = np.where(is_nok, 0.5 / is_nok.sum(), 0.5 / (~is_nok).sum())
    return share


def _log_loss(p_nok: FloatArray, is_nok: BoolArray, share: FloatArray) -> float:
    return float(-share @ np.log(np.where(is_nok, p_nok, 1 - p_nok).clip(SMALLEST_P, 1)))
