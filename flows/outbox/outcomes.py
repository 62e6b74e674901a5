"""What becomes of a row at its destination, and the function that a destination is to the relay."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from store.outbox import OutboxRow


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a destination did with one row."""

    kind: Literal["sent", "failed", "refused"]  # acknowledged; not now, nobody's fault; never, as this row is
    reason: str = ""  # empty where it was sent


SENT = Outcome(kind="sent")
# Sends rows, no two of the same unit, waits for the acknowledgements and gives one outcome a row; raises nothing.
Publish = Callable[[Sequence[OutboxRow]], Sequence[Outcome]]


def failed(reason: str) -> Outcome:
    """The destination could not take it now: the row is sent again when it can."""
    return Outcome(kind="failed", reason=reason)


def refused(reason: str) -> Outcome:
    """The destination will not take this row: after some attempts it is set aside."""
    return Outcome(kind="refused", reason=reason)
