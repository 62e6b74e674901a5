"""What operators said, append-only."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import orjson

from schemas.coils import CoilKey, Truth
from schemas.layout import Face
from store.connection import Connection, store_errors
from store.queries import query


@dataclass(frozen=True, kw_only=True, slots=True)
class Feedback:
    """One thing that an operator said of a coil; `source` and `event_id` are its identity within the plant."""

    key: CoilKey
    source: str
    event_id: str
    label: Truth
    given_at: datetime  # with a time zone
    revision: str | None = None  # that the operator looked at
    defect_kind: str | None = None
    face: Face | None = None
    from_m: float | None = None
    to_m: float | None = None
    note: str | None = None
    operator: str | None = None
    corrects: str | None = None  # id of the earlier event that it corrects


@dataclass(frozen=True, kw_only=True, slots=True)
class LatestFeedback:
    """What was said last of a coil."""

    feedback_id: int
    label: Truth
    note: str | None


def record_feedback(connection: Connection, feedback: Sequence[Feedback]) -> tuple[bool, ...]:
    """Store what operators said, in one statement; the same event a second time changes nothing.

    The coil need not be known. A correction supersedes the event that it names, where that one is stored.

    Args:
        connection: on a database of this version; inside `connection.transaction()` it joins that transaction.
        feedback: in the order in which it was said.

    Returns:
        For each piece whether it is new.

    Raises:
        StoreError: a value cannot be stored or the database refused; nothing of the batch is stored then.
    """
    if not feedback:
        return ()
    with store_errors(f"record {len(feedback)} pieces of feedback"):
        rows = orjson.dumps([_row(one) for one in feedback]).decode()
        new = {row["nth"] for row in connection.execute(query("record_feedback"), {"rows": rows})}
    return tuple(nth in new for nth in range(1, len(feedback) + 1))


def latest_feedback(connection: Connection, key: CoilKey) -> LatestFeedback | None:
    """What was said last of a coil, whoever said it; None where nobody said anything.

    Raises:
        StoreError: the database refused.
    """
    with store_errors(f"read the feedback on coil {key.coil_id!r}"):
        row = connection.execute(query("latest_feedback"), {"plant": key.plant, "coil_id": key.coil_id}).fetchone()
    return None if row is None else LatestFeedback(**row)


def _row(one: Feedback) -> dict[str, Any]:
    values: dict[str, Any] = asdict(one)
    return values | {"plant": one.key.plant, "coil_id": one.key.coil_id, "key": None}
