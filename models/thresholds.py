"""Where to draw the line between OK and NOK."""

import numpy as np

from schemas.coils import BoolArray, FloatArray


def youden_threshold(p_nok: FloatArray, is_nok: BoolArray) -> float:
    """The threshold of largest recall minus false-alarm rate (Youden 1950), which no prevalence shifts.

    Halfway between the two neighbouring scores; of equally good ones the one nearest to 0.5.

    Args:
        p_nok: float64 [N] in [0, 1].
        is_nok: bool [N], both labels present.

    Example:
        >>> youden_threshold(np.array([0.1, 0.2, 0.7, 0.9]), np.array([False, False, True, True])).__round__(3)
        0.45
    """
    scores, place = np.unique(p_nok, return_inverse=True)
    nok = np.bincount(place, weights=is_nok, minlength=len(scores)) / is_nok.sum()
    ok = np.bincount(place, weights=~is_nok, minlength=len(scores)) / (~is_nok).sum()
    advantage = np.concatenate([[0.0], np.cumsum(ok - nok)])  # of calling NOK everything from score i on
    edges = np.concatenate([[0.0], (scores[1:] + scores[:-1]) / 2, [1.0]])
    best = edges[advantage >= advantage.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - 0.5))])
