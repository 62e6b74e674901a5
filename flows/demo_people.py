"""The people of the demonstration: two operators, who see what the simulated expert sees, and the head of their shift.

Each coil is looked at by the operator on duty. Where it is a close call the other one looks too, with an eye of their
own: the same badness under noise drawn anew. Both may say what they like, and some coils are so disputed.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from plant.line import SimulatedBlock
from plant.settings import ExpertSettings
from schemas.coils import CoilKey, Truth
from store.feedback import Feedback

OPERATORS = ("mia", "jo")
HEAD = "ada"
_EARLY, _LATE = 6, 18  # o'clock: when the day's operator is on duty
_CLOSE = 0.3  # of log badness over the bar: the other operator looks too
_LOOKED = timedelta(minutes=20)  # after the coil
_SOURCE = "/operators/desk"


def words(block: SimulatedBlock, expert: ExpertSettings, *, seed: int, slip: bool) -> tuple[Feedback, ...]:
    """What the operators say of a block's coils, in the order in which they say it.

    Args:
        block: as it ran.
        expert: the noise of a judgement.
        seed: of the second operator's eye.
        slip: the first coil that is NOK was entered as OK first, and corrected five minutes later.
    """
    said: list[Feedback] = []
    for header, ended_at, truth in zip(block.headers, block.ended_at, block.truth, strict=True):
        seen = truth.judgement
        first, other = OPERATORS if _EARLY <= ended_at.hour < _LATE else OPERATORS[::-1]
        word = _word(header.key, seen.label, first, ended_at + _LOOKED)
        if slip and word.label == "NOK":
            wrong = replace(word, event_id=f"{word.event_id}-slip", label="OK")
            said.append(wrong)
            word = replace(word, corrects=wrong.event_id, given_at=word.given_at + timedelta(minutes=5))
            slip = False
        said.append(word)
        if abs(math.log(max(seen.badness, 1e-9) / seen.threshold)) < _CLOSE:
            rng = np.random.default_rng([seed, int(header.key.coil_id)])
            again = seen.badness * float(rng.lognormal(0.0, expert.judgement_noise)) >= seen.threshold
            said.append(_word(header.key, "NOK" if again else "OK", other, ended_at + 2 * _LOOKED))
    return tuple(said)


def settling(disputed: Sequence[CoilKey], block: SimulatedBlock) -> Feedback | None:
    """The head of the shift looks at the first disputed coil of a block, and what she says settles it."""
    for header, ended_at in zip(block.headers, block.ended_at, strict=True):
        if header.key in disputed and header.label is not None:
            return replace(_word(header.key, header.label, HEAD, ended_at + 3 * _LOOKED), settles=True)
    return None


def _word(key: CoilKey, label: Truth, operator: str, given_at: datetime) -> Feedback:
    return Feedback(
        key=key,
        source=_SOURCE,
        event_id=f"{key.coil_id}-{operator}",
        label=label,
        given_at=given_at,
        operator=operator,
    )
