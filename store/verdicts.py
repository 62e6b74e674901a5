"""Verdicts: stored once, announced once, read back."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson
from psycopg.rows import DictRow

from schemas.coils import CoilKey, Order, Truth
from schemas.errors import StoreError
from schemas.events import CoilVerdictEvent, verdict_data
from schemas.rejects import LogPlace
from schemas.verdicts import Label, MemberVote, Role, Verdict
from store.connection import Connection, finite_or_none, store_errors, utf8_fault
from store.outbox_keys import coil_outbox_key, outbox_key, slot_of
from store.queries import query

CHAMPION: Role = "champion"
_EVENTS = uuid.UUID("5a0c1f0e-5c0e-5f6b-9d0a-6d5e0c011f10")  # namespace of our event ids


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """A decided coil on its way into the database."""

    verdict: Verdict
    readings: bytes  # Arrow IPC stream of this coil
    order: Order | None  # None where the source gives grey levels alone
    started_at: datetime | None
    truth: Truth | None
    rows_per_face: int | None = None  # as coil.ended promised, 0 where it promised none; None: no such event
    log: LogPlace | None = None  # the last message of the coil; None where it did not come from Kafka
    role: Role = CHAMPION  # a shadow's verdict is stored, and neither counted nor announced


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """What became of a batch: `new + repeated` is its size."""

    new: int
    repeated: int  # the verdict stood already; nothing was changed or announced
    announced: int  # outbox rows

    @classmethod
    def from_row(cls, row: DictRow) -> "Recorded":
        """Read the row of query `record_verdicts`."""
        return cls(new=row["new"], repeated=row["repeated"], announced=row["announced"])


def record_verdicts(
    connection: Connection, decided: Sequence[Decided], *, decided_at: datetime, destinations: Sequence[str]
) -> Recorded:
    """Store a batch of verdicts with their coils, readings, members' votes and outbox rows, in one statement.

    A verdict is stored once for a plant, coil, revision and role: a repeat changes nothing and announces nothing.
    A new revision of a coil supersedes the verdict that stands, unless it names another; the event says which. A coil
    that goes back to a revision it had before is a repeat: the later revision goes on standing. Dead letters of a coil
    that gets a new verdict are resolved.

    Args:
        connection: on a database of this version; inside `connection.transaction()` it joins that transaction.
        decided: verdicts with the coils they were given on; a coil may come in several revisions.
        decided_at: when they were decided, with a time zone.
        destinations: where each is announced, e.g. "kafka:coil.verdicts"; empty in observe mode.

    Raises:
        StoreError: a value cannot be stored or the database refused; nothing of the batch is stored then.
    """
    if not decided:
        return Recorded(new=0, repeated=0, announced=0)
    parameters = verdict_parameters(decided, decided_at=decided_at, destinations=destinations)
    with store_errors(f"record {len(decided)} verdicts"):
        [stored] = connection.execute(query("record_verdicts"), parameters).fetchall()
    return Recorded.from_row(stored)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredVerdict:
    """A verdict as the database holds it."""

    verdict: Verdict
    role: Role
    decided_at: datetime

    @classmethod
    def from_row(cls, row: DictRow) -> "StoredVerdict":
        """Read a row of query `verdict_of`."""
        verdict = Verdict(
            key=CoilKey(plant=row["plant"], coil_id=row["coil_id"]),
            revision=row["revision"],
            label=Label(row["label"]),
            p_nok=float("nan") if row["p_nok"] is None else row["p_nok"],
            threshold=row["threshold"],
            ensemble_version=row["ensemble_version"],
            members=tuple(MemberVote(**member) for member in row["members"]),
            observed=row["observed"],
            reasons=tuple(row["reasons"]),
            supersedes=row["supersedes"],
            review=tuple(row["review"]),
            review_probability=row["review_probability"],
        )
        return cls(verdict=verdict, role=row["role"], decided_at=row["decided_at"])


def verdict_of(connection: Connection, key: CoilKey) -> StoredVerdict | None:
    """The verdict that stands for a coil, or None; a superseded one is passed over.

    Raises:
        StoreError: the database refused, or the key cannot be a key.
    """
    with store_errors(f"read the verdict on coil {key.coil_id!r}"):
        row = connection.execute(query("verdict_of"), {"plant": key.plant, "coil_id": key.coil_id}).fetchone()
    return None if row is None else StoredVerdict.from_row(row)


def standing_verdicts(connection: Connection, keys: Sequence[CoilKey]) -> dict[CoilKey, StoredVerdict]:
    """The verdicts that stand for these coils; a coil without one is left out.

    Raises:
        StoreError: the database refused.
    """
    if not keys:
        return {}
    parameters = {"plants": [key.plant for key in keys], "coil_ids": [key.coil_id for key in keys]}
    with store_errors(f"read the verdicts on {len(keys)} coils"):
        rows = connection.execute(query("verdicts_of_coils"), parameters).fetchall()
    found = (StoredVerdict.from_row(row) for row in rows)
    return {one.verdict.key: one for one in found}


def event_id(verdict: Verdict) -> uuid.UUID:
    """Id of a verdict's event: the same for the same plant, coil, revision and role."""
    return uuid.uuid5(_EVENTS, outbox_key(verdict.key.plant, verdict.key.coil_id, verdict.revision, CHAMPION))


def verdict_parameters(
    decided: Sequence[Decided], *, decided_at: datetime, destinations: Sequence[str]
) -> dict[str, Any]:
    """What `record_verdicts` and `commit_log` take of a batch of verdicts.

    Raises:
        StoreError: a value cannot be stored.
    """
    rows = [_row(one, decided_at=decided_at, announce=bool(destinations) and one.role == CHAMPION) for one in decided]
    return {
        "rows": _json(rows),
        "readings": [one.readings for one in decided],
        "decided_at": _aware(decided_at),
        "destinations": list(dict.fromkeys(destinations)),
    }


def _row(one: Decided, *, decided_at: datetime, announce: bool) -> dict[str, Any]:
    verdict = one.verdict
    _refuse_unfit(verdict)
    key = coil_outbox_key(verdict.key)
    return {
        "plant": verdict.key.plant,
        "coil_id": verdict.key.coil_id,
        "revision": verdict.revision,
        **(one.order.model_dump() if one.order else {}),
        "started_at": _aware(one.started_at),
        "truth": one.truth,
        "rows_per_face": one.rows_per_face,
        **(
            {"kafka_topic": one.log.topic, "kafka_partition": one.log.partition, "last_offset": one.log.offset}
            if one.log
            else {}
        ),
        "role": one.role,
        "label": verdict.label.value,
        "p_nok": finite_or_none(verdict.p_nok),
        "threshold": verdict.threshold,
        "ensemble_version": verdict.ensemble_version,
        "observed": verdict.observed,
        "reasons": verdict.reasons,
        "review": verdict.review,
        "review_probability": verdict.review_probability,
        "supersedes": verdict.supersedes,
        "members": [{"model": m.model, "version": m.version, "p_nok": m.p_nok} for m in verdict.members],
        "event_id": str(event_id(verdict)),
        "key": key,
        "slot": slot_of(key),
        "payload": verdict_event(verdict, decided_at) if announce else None,
    }


def verdict_event(verdict: Verdict, decided_at: datetime) -> dict[str, Any]:
    """The `coil.verdict` event that announces a verdict of a champion, as JSON.

    Args:
        verdict: with the revision that it supersedes, where it supersedes one.
        decided_at: when it was decided, with a time zone.
    """
    event = CoilVerdictEvent(
        specversion="1.0",
        type="coil.verdict",
        id=str(event_id(verdict)),
        source=f"/plants/{quote(verdict.key.plant, safe='')}",
        subject=verdict.key.coil_id,
        time=decided_at,
        data=verdict_data(verdict, decided_at=decided_at),
    )
    return event.model_dump(mode="json", exclude_none=True)


def _refuse_unfit(verdict: Verdict) -> None:
    for name, text in (("plant", verdict.key.plant), ("coil id", verdict.key.coil_id)):
        fault = "is empty" if not text else utf8_fault(text)
        if fault:
            raise StoreError(
                f"the {name} {text!r} {fault} and cannot be stored",
                remedy=f"correct the {name} at the source, then run it again",
            )


def _aware(time: datetime | None) -> datetime | None:
    """A source without a time zone is taken as UTC, whatever the server's zone."""
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def _json(rows: list[dict[str, Any]]) -> str:
    try:
        return orjson.dumps(rows).decode()
    except orjson.JSONEncodeError as error:
        raise StoreError(
            f"a verdict cannot be written as JSON: {error}",
            remedy="correct the coil's texts at the source, which must be valid Unicode, then run it again",
        ) from error
