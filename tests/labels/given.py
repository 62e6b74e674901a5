"""What people say of coils, in tests."""

from datetime import datetime, timedelta
from itertools import count

from schemas.coils import Truth
from store.feedback import Feedback
from tests.store.given import NOON, key_of

_IDS = count(1)


def minutes(number: float) -> datetime:
    """So long after noon."""
    return NOON + timedelta(minutes=number)


def word(
    label: Truth,
    *,
    by: str | None = "anna",
    at: float = 0,
    coil: str = "7",
    event_id: str | None = None,
    source: str = "/mes",
    corrects: str | None = None,
    settles: bool = False,
    revision: str | None = None,
    kind: str | None = None,
) -> Feedback:
    """What `by` says of a coil, `at` minutes after noon."""
    return Feedback(
        key=key_of(coil),
        source=source,
        event_id=event_id or f"w{next(_IDS)}",
        label=label,
        given_at=minutes(at),
        operator=by,
        corrects=corrects,
        settles=settles,
        revision=revision,
        defect_kind=kind,
    )
