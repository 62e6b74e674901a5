"""What jobs decided, to act or not, and why; append-only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from store.connection import Connection, store_errors
from store.queries import query


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredDecision:
    """What a job decided."""

    decision_id: int
    at: datetime
    job: str
    subject: str
    act: bool
    why: tuple[str, ...]
    evidence: dict[str, Any]


def record_decision(
    connection: Connection,
    job: str,
    *,
    at: datetime,
    subject: str,
    act: bool,
    why: Sequence[str],
    evidence: Mapping[str, Any],
) -> None:
    """Keep what a job decided, to act or not; store it within `fenced` or `committing`.

    Args:
        connection: within the job's transaction.
        job: its name.
        at: the time.
        subject: what it is about, e.g. a plant or an ensemble; "": all.
        act: whether something follows from it.
        why: reasons, at least one, as `code: detail`.
        evidence: figures it rests on, as JSON.

    Raises:
        StoreError: the database refused.
    """
    parameters = {
        "job": job,
        "at": at,
        "subject": subject,
        "act": act,
        "why": list(why),
        "evidence": orjson.dumps(dict(evidence), option=orjson.OPT_SERIALIZE_NUMPY).decode(),
    }
    with store_errors(f"keep a decision of the job {job}"):
        connection.execute(query("record_decision"), parameters)


def last_decisions(
    connection: Connection, job: str, *, most: int, before_id: int | None = None
) -> tuple[StoredDecision, ...]:
    """The newest decisions of a job, newest first; those before one only, where it is given. Raises StoreError."""
    with store_errors(f"read the decisions of the job {job}"):
        rows = connection.execute(
            query("last_decisions"), {"job": job, "before_id": before_id, "most": most}
        ).fetchall()
    return tuple(StoredDecision(**{**row, "why": tuple(row["why"])}) for row in rows)
