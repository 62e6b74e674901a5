"""Who is asked to look at a coil: certain reasons, and random draws whose probability is known.

A score over the coils that people happened to look at is biased: of those that the models call OK only the doubtful are
seen. A random draw among the others, with a probability that is kept with the verdict, lets a weighted score stand for
all coils (Horvitz & Thompson 1952, JASA 47(260), 663–685).
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import replace

from schemas.coils import CoilKey
from schemas.loop_settings import ReviewSettings
from schemas.verdicts import Label, Reason, Verdict

_RANDOM = "random: drawn with probability "
_RESOLUTION = 2**53  # what a float between 0 and 1 tells apart


def ask_for_review(verdict: Verdict, review: ReviewSettings) -> Verdict:
    """The verdict with the reasons why a person is asked to look at its coil, and with which probability one is.

    Certain (probability 1): NOK, for every alarm is looked at before a coil is held back or shipped; UNDECIDED, for
    whatever reason; and whatever the anomaly detector finds strange. Any other coil is drawn with probability
    `review.share`, which is kept also where it was not drawn. The draw follows from the key, plant, coil and revision
    alone: a coil that comes twice is drawn alike, on any worker.

    Args:
        verdict: as `decide` gave it.
        review: share and key of the draw.
    """
    asked = _certain(verdict)
    if asked:
        return replace(verdict, review=asked, review_probability=1.0)
    drawn = _uniform("review", verdict.key, verdict.revision, review) < review.share
    why = (f"{_RANDOM}{review.share:g}",) if drawn else ()
    return replace(verdict, review=why, review_probability=review.share)


def review_probability(asked: Sequence[str]) -> float:
    """With which probability a coil such as this is asked for, 0..1, told by the reasons that `ask_for_review` gave.

    Args:
        asked: the reasons, at least one.

    Raises:
        ValueError: a reason tells a probability that is no number.
    """
    return next((float(why.removeprefix(_RANDOM)) for why in asked if why.startswith(_RANDOM)), 1.0)


def is_drawn_again(key: CoilKey, revision: str, review: ReviewSettings) -> bool:
    """Whether a coil that one person labelled is shown to a second one, who is not to know of the first.

    The draw is independent of the one of `ask_for_review`, and as repeatable.

    Args:
        key: of the coil.
        revision: that was labelled.
        review: `second_share` and key of the draw.
    """
    return _uniform("second", key, revision, review) < review.second_share


def _certain(verdict: Verdict) -> tuple[str, ...]:
    if verdict.label is Label.NOK:
        return (f"alarm: p_nok {verdict.p_nok:.3f}, NOK from {verdict.threshold:.3f} on",)
    anomalies = tuple(reason for reason in verdict.reasons if _code(reason) == Reason.ANOMALY)
    if verdict.label is Label.OK:
        return anomalies
    others = dict.fromkeys(_code(reason) for reason in verdict.reasons if _code(reason) != Reason.ANOMALY)
    return (*anomalies, f"undecided: {', '.join(others) or 'anomaly'}")


def _code(reason: str) -> str:
    return reason.partition(":")[0]


def _uniform(purpose: str, key: CoilKey, revision: str, review: ReviewSettings) -> float:
    """A number in [0, 1) that nobody can guess without the key: HMAC-SHA-256 of what is drawn."""
    digest = hmac.new(review.draw_key.get_secret_value().encode(), digestmod=hashlib.sha256)
    for part in (purpose, key.plant, key.coil_id, revision):
        text = part.encode("utf-8", "surrogatepass")
        digest.update(len(text).to_bytes(4, "big") + text)
    return (int.from_bytes(digest.digest()[:8], "big") >> 11) / _RESOLUTION
