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
from store.requests import request_pending

_SCORED_WITHIN_S = 10.0  # words that come within it share one run of the job `score`


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
    settles: bool = False  # what other voices said before no longer counts against it


@dataclass(frozen=True, kw_only=True, slots=True)
class LatestFeedback:
    """What was said last of a coil."""

    feedback_id: int
    label: Truth
    note: str | None


def record_feedback(
    connection: Connection, feedback: Sequence[Feedback], *, received_at: datetime | None = None
) -> tuple[bool, ...]:
    """Store what operators said; the same event a second time changes nothing.

    Where a scheduler ever ran, the job `score` is asked for, so that the scores follow within seconds.

    The coil need not be known. A correction supersedes the event that it names, also where that one comes later.

    Args:
        connection: on a database of this version; inside `connection.transaction()` it joins that transaction.
        feedback: in the order in which it was said.
        received_at: when it came, with a time zone; None: now, by the database's clock.

    Returns:
        For each piece whether it is new.

    Raises:
        StoreError: a value cannot be stored or the database refused; nothing of the batch is stored then.
    """
    if not feedback:
        return ()
    with store_errors(f"record {len(feedback)} pieces of feedback"):
        rows = orjson.dumps([_row(one) for one in feedback]).decode()
        parameters = {"rows": rows, "received_at": received_at}
        new = {row["nth"] for row in connection.execute(query("record_feedback"), parameters)}
    if new:
        request_pending(
            connection, "score", who="feedback", why="people said more", now=received_at, wait_s=_SCORED_WITHIN_S
        )
    return tuple(nth in new for nth in range(1, len(feedback) + 1))


def latest_feedback(
    connection: Connection, key: CoilKey, *, source: str | None = None, most: int = 1
) -> tuple[LatestFeedback, ...]:
    """What was said last of a coil, newest first, by a source or whoever said it.

    Raises:
        StoreError: the database refused.
    """
    parameters = {"plant": key.plant, "coil_id": key.coil_id, "source": source, "most": most}
    with store_errors(f"read the feedback on coil {key.coil_id!r}"):
        return tuple(LatestFeedback(**row) for row in connection.execute(query("latest_feedback"), parameters))


def _row(one: Feedback) -> dict[str, Any]:
    values: dict[str, Any] = asdict(one)
    return values | {"plant": one.key.plant, "coil_id": one.key.coil_id, "key": None}
