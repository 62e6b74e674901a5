"""Quantiles of the chi-square distribution without scipy, which the serving side does without."""

from statistics import NormalDist


def chi_square_quantile(degrees: float, probability: float) -> float:
    """The value that a chi-square variable falls below with a probability (Wilson and Hilferty 1931).

    From two degrees of freedom on within 3% between the 97.5th percentile and the 99.9th, above the true value farther
    out, and below it in the lower tail: whoever builds an interval or an alarm on it is on the safe side.

    Args:
        degrees: of freedom, above 0; need not be whole.
        probability: in (0, 1).

    Example:
        >>> round(chi_square_quantile(9, 0.95), 1)
        16.9
    """
    scaled = 2 / (9 * degrees)
    root = 1 - scaled + NormalDist().inv_cdf(probability) * scaled**0.5
    return float(degrees * max(root, 0.0) ** 3)
