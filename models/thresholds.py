"""Where to draw the line between OK and NOK."""

import numpy as np

from schemas.coils import BoolArray, FloatArray

_RESAMPLES = 200


def f1_threshold(p_nok: FloatArray, is_nok: BoolArray, *, seed: int = 0) -> float:
    """The threshold of largest F1, the study's main figure, steadied by a bootstrap.

    F1 over thresholds is flat and jagged at its top, so the median of the best thresholds of 200 resamples is
    taken; each lies halfway between two neighbouring scores. Against recall minus false-alarm rate (Youden 1950)
    it calls fewer good coils NOK, which is what costs on a line where 99% are good.

    Args:
        p_nok: float64 [N] in [0, 1].
        is_nok: bool [N], both labels present.
        seed: of the resamples.

    Example:
        >>> p_nok, is_nok = np.array([0.1, 0.2, 0.7, 0.9]), np.array([False, False, True, True])
        >>> round(f1_threshold(p_nok, is_nok), 3)
        0.45
    """
    order = np.argsort(p_nok, kind="stable")
    scores, nok = p_nok[order], is_nok[order]
    size = len(scores)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, size, size=(_RESAMPLES, size)) + np.arange(_RESAMPLES)[:, None] * size
    weights = np.bincount(drawn.reshape(-1), minlength=_RESAMPLES * size).reshape(_RESAMPLES, size)
    called = weights[:, ::-1].cumsum(axis=1)[:, ::-1]  # coils called NOK where the line is just below score i
    caught = (weights * nok)[:, ::-1].cumsum(axis=1)[:, ::-1]
    f1 = 2 * caught / np.maximum(called + caught[:, :1], 1)
    f1[:, 1:][:, scores[1:] == scores[:-1]] = -1  # no line can be drawn between equal scores
    edges = np.concatenate([[0.0], (scores[1:] + scores[:-1]) / 2])
    return float(np.median(edges[f1.argmax(axis=1)]))
