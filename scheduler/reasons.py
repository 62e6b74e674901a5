"""Why something becomes of a successor or of what serves: `code: detail`, for programs and for people.

docs/retraining.md says of every code what it means and what is to be done.
"""

from typing import Literal, NewType

Code = Literal[
    # of training
    "training_failed", "training_killed", "superseded",
    # of the holdout
    "better", "not_better", "may_be_chance", "few_nok", "no_draws", "holdout_empty",
    # of the shadow
    "place_taken", "few_coils", "no_worse", "worse_in_shadow", "not_better_yet", "many_alarms", "refused",
    "refused_yet", "approval",
    # of the watch
    "watched", "labels_to_come", "worse_than_before", "refused_by_all", "back_to", "cannot_roll_back",
    # of any step
    "trial", "unreachable", "registry", "stale", "by_hand",
    # of what serves, by its score
    "slipped", "out_of_bounds", "stands",
]  # fmt: skip

Reason = NewType("Reason", str)  # made by `reason` alone, so that there is no code beside those


def reason(code: Code, detail: str) -> Reason:
    """A reason as it is kept.

    >>> reason("few_coils", "20 of 50 coils judged in shadow")
    'few_coils: 20 of 50 coils judged in shadow'
    """
    return Reason(f"{code}: {detail}")
