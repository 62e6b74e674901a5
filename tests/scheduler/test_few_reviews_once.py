"""What a time of few reviews costs the test of a member's recall: as much as few reviews always, and no more."""

import numpy as np

from models.anytime import below
from scheduler.evidence import Outcomes, recall_stream
from schemas.coils import BoolArray

NOK_COILS, RUNS = 3000, 15
FEW, MANY = 0.02, 0.3


def coils_until_found(*, share: float, least: float) -> float:
    """Median of NOK coils until a member with a recall of 0.1 beside an ensemble with 0.8 is found wanting."""
    rng, needed = np.random.default_rng(1), []
    for _ in range(RUNS):
        certain, called = rng.random(NOK_COILS) < 0.8, rng.random(NOK_COILS) < 0.1
        seen: BoolArray = certain | (rng.random(NOK_COILS) < share)
        member = Outcomes(
            called_nok=called[seen],
            is_nok=np.ones(seen.sum(), dtype=np.bool_),
            labelled_at=np.arange(seen.sum(), dtype=np.float64),
            review_probability=np.where(certain[seen], 1.0, share),
            least_probability=least,
        )
        stream = recall_stream(member, "alarms")
        found = below(stream.right, stream.weight, bound=0.5, alpha=0.1, horizon=NOK_COILS)
        assert found is not None
        needed.append(int(np.flatnonzero(seen)[found.at - 1]))
    return float(np.median(needed))


def test_few_reviews_once_slow_the_test_of_a_member_no_more_than_few_always() -> None:
    always_few, once_few = coils_until_found(share=FEW, least=FEW), coils_until_found(share=MANY, least=FEW)
    assert coils_until_found(share=MANY, least=MANY) * 5 < once_few < always_few * 1.1
