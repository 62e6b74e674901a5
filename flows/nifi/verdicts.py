"""Verdicts with what they were given on as rows of `schemas.nifi_batches.VERDICTS`, and back."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson
import pyarrow as pa
from pydantic import ValidationError

from schemas.coils import CoilKey, Order
from schemas.errors import SourceError
from schemas.nifi_batches import VERDICTS
from schemas.verdicts import Label, MemberVote, Verdict
from store.verdicts import Decided

_ROLES = ("champion", "shadow")
_TRUTHS = ("OK", "NOK", None)
_TEXTS = ("reasons", "review")


def verdict_rows(decided: Sequence[Decided], inbox_ids: Sequence[int | None]) -> pa.RecordBatch:
    """Rows of VERDICTS.

    Args:
        decided: verdicts with what the database keeps of their coils.
        inbox_ids: last event of the inbox that each coil was made of, None: it came whole; in the same order.
    """
    columns: dict[str, list[Any]] = {
        "plant": [one.verdict.key.plant for one in decided],
        "coil_id": [one.verdict.key.coil_id for one in decided],
        "revision": [one.verdict.revision for one in decided],
        "role": [one.role for one in decided],
        "verdict": [_verdict_json(one.verdict) for one in decided],
        "label": [one.truth for one in decided],
        "readings": [one.readings for one in decided],
        "order": [None if one.order is None else one.order.model_dump_json().encode() for one in decided],
        "started_at": [one.started_at for one in decided],
        "rows_per_face": [one.rows_per_face for one in decided],
        "inbox_id": list(inbox_ids),
    }
    arrays = [pa.array(columns[field.name], type=field.type) for field in VERDICTS]
    return pa.RecordBatch.from_arrays(arrays, schema=VERDICTS)


def decided_from_rows(rows: pa.RecordBatch) -> tuple[tuple[Decided, int | None], ...]:
    """What `verdict_rows` was given: each with its last event of the inbox.

    Raises:
        SourceError: the rows are damaged.
    """
    try:
        return tuple((_decided(row), row["inbox_id"]) for row in rows.to_pylist())
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise SourceError(
            f"the verdicts' rows are damaged: {' '.join(str(error).split())}", remedy="send them again from the source"
        ) from error


def _verdict_json(verdict: Verdict) -> bytes:
    """Without key and revision, which have columns; a probability that is NaN, as of a fragment, becomes null."""
    told = asdict(verdict)
    del told["key"], told["revision"]
    return orjson.dumps(told)


def _decided(row: dict[str, Any]) -> Decided:
    if row["role"] not in _ROLES or row["label"] not in _TRUTHS:
        raise ValueError(f"role {row['role']!r} or label {row['label']!r} is none of ours")
    told = orjson.loads(row["verdict"])
    given = {
        **told,
        "key": CoilKey(plant=row["plant"], coil_id=row["coil_id"]),
        "revision": row["revision"],
        "label": Label(told["label"]),
        "p_nok": math.nan if told["p_nok"] is None else told["p_nok"],
        "members": tuple(MemberVote(**vote) for vote in told["members"]),
        **{name: tuple(told[name]) for name in _TEXTS},
    }
    return Decided(
        verdict=Verdict(**given),
        readings=row["readings"],
        order=None if row["order"] is None else Order.model_validate_json(row["order"]),
        started_at=row["started_at"],
        truth=row["label"],
        rows_per_face=row["rows_per_face"],
        role=row["role"],
    )
