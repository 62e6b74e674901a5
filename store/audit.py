"""What an auditor asks of the database: the lineage of verdicts, and the life of a model."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, get_args

from psycopg.rows import DictRow
from pydantic import BaseModel

from schemas.audit import (
    Ancestor,
    Announcement,
    Change,
    CoilLabel,
    Decision,
    Lineage,
    Order,
    Readings,
    Snapshot,
    Word,
)
from schemas.audit_model import Answer, AuditedMember, DriftThen, JudgedCoils, Retraining, ScoreThen
from schemas.coils import CoilKey
from schemas.combine import PlainCombine
from schemas.verdicts import MemberId
from store.connection import Connection, store_errors
from store.outbox_keys import coil_outbox_key
from store.queries import query

_Part = TypeVar("_Part", bound=BaseModel)
_LISTS = ("members", "ensembles", "feedback", "second_reviews", "scores", "decisions", "retrainings", "changes")
_READINGS = ("readings", "stored_at", "kafka_topic", "kafka_partition", "last_offset", "zn_min_g_m2", "zn_max_g_m2")

Check = Callable[[bytes, DictRow], Mapping[str, Any]]  # what the bytes of a row say: digest, found, faces


@contextmanager
def one_moment(connection: Connection) -> Iterator[None]:
    """Let all that is read within the block be of one moment, and nothing be changed.

    Args:
        connection: on a database of this version, outside of a transaction.

    Raises:
        StoreError: the database refused.
    """
    with connection.transaction():
        with store_errors("read at one moment"):
            connection.execute(query("one_moment"))
        yield


def lineage(connection: Connection, verdict_ids: Sequence[int], check: Check) -> tuple[Lineage, ...]:
    """All that verdicts rest on, and all that followed from what people said of their coils, by one query.

    Args:
        connection: on a database of this version.
        verdict_ids: those that are not there are left out.
        check: reckons the revision again from the bytes that are stored; the row names it, and the band.

    Raises:
        StoreError: the database refused.
    """
    parameters = {"verdict_ids": list(verdict_ids), "ways": list(get_args(PlainCombine))}
    with store_errors(f"trace {len(verdict_ids)} verdicts"):
        rows = connection.execute(query("lineage"), parameters).fetchall()
    return tuple(_lineage(row, check) for row in rows)


def verdicts_of_coil(connection: Connection, key: CoilKey) -> tuple[int, ...]:
    """Ids of every verdict on a coil, of shadows too, the first one first; raises StoreError."""
    with store_errors(f"read the verdicts on coil {key.coil_id!r}"):
        rows = connection.execute(query("verdicts_of_coil"), key._asdict()).fetchall()
    return tuple(row["verdict_id"] for row in rows)


def plants_of_coil(connection: Connection, coil_id: str) -> tuple[str, ...]:
    """Plants in which anything is known of a coil of that id; raises StoreError."""
    with store_errors(f"look coil {coil_id!r} up"):
        rows = connection.execute(query("plants_of_coil"), {"coil_id": coil_id}).fetchall()
    return tuple(row["plant"] for row in rows if row["plant"] is not None)


def coil_facts(connection: Connection, key: CoilKey) -> Order | None:
    """The coil and its order, None where only words or single messages name it; raises StoreError."""
    found = _many(connection, "audited_coil", Order, key._asdict())
    return found[0] if found else None


def feedback_on(connection: Connection, key: CoilKey) -> tuple[Word, ...]:
    """Every word on a coil in the order in which they were said; raises StoreError."""
    return _many(connection, "audited_feedback", Word, key._asdict())


def label_on(connection: Connection, key: CoilKey) -> CoilLabel | None:
    """What the words on a coil come to; raises StoreError."""
    with store_errors(f"read the label of coil {key.coil_id!r}"):
        row = connection.execute(query("label_of"), key._asdict()).fetchone()
    wanted = CoilLabel.model_fields
    return None if row is None else CoilLabel.model_validate({n: v for n, v in row.items() if n in wanted})


def announcements_of(connection: Connection, key: CoilKey) -> tuple[Announcement, ...]:
    """Events of a coil in the outbox, the first one first; raises StoreError."""
    return _many(connection, "announcements_of_coil", Announcement, {"key": coil_outbox_key(key)})


def models_of_version(connection: Connection, version: str) -> tuple[MemberId, ...]:
    """Registered models of that version, or that NAME@VERSION; raises StoreError."""
    with store_errors(f"look model {version!r} up"):
        rows = connection.execute(query("models_of_version"), {"version": version}).fetchall()
    return tuple(MemberId(model=row["name"], version=row["version"]) for row in rows)


def audited_members(connection: Connection, members: Sequence[MemberId]) -> tuple[AuditedMember, ...]:
    """Registered model versions with their manifests; raises StoreError."""
    names, versions = [one.model for one in members], [one.version for one in members]
    return _many(connection, "audited_members", AuditedMember, {"models": names, "versions": versions})


def guards_of(connection: Connection, version: str) -> tuple[MemberId, ...]:
    """The models of an ensemble that do not vote; raises StoreError."""
    with store_errors(f"read the guard of ensemble {version!r}"):
        rows = connection.execute(query("guards_of_ensemble"), {"version": version}).fetchall()
    return tuple(MemberId(**row) for row in rows)


def ancestors(connection: Connection, version: str) -> tuple[Ancestor, ...]:
    """An ensemble and those that it descends from, the nearest first; raises StoreError."""
    return _many(connection, "ancestors_of_ensemble", Ancestor, {"version": version})


def snapshots(connection: Connection, digests: Sequence[str]) -> tuple[Snapshot, ...]:
    """What successors were trained on, those that are kept; raises StoreError."""
    return _many(connection, "snapshots", Snapshot, {"digests": list(digests)})


def changes_of(connection: Connection, ensembles: Sequence[str]) -> tuple[Change, ...]:
    """Changes of ensembles, the first one first; raises StoreError."""
    return _many(connection, "changes_of_ensembles", Change, {"versions": list(ensembles)})


def decisions_on(connection: Connection, subjects: Sequence[str]) -> tuple[Decision, ...]:
    """Decisions whose subject is, for whatever plant, one of those, e.g. "ensemble 1a2b"; raises StoreError."""
    return _many(connection, "decisions_on_models", Decision, {"subjects": list(subjects)})


def retrainings_of(connection: Connection, ensembles: Sequence[str]) -> tuple[Retraining, ...]:
    """Attempts to succeed ensembles, and those of which they came; raises StoreError."""
    return _many(connection, "retrainings_of_ensembles", Retraining, {"versions": list(ensembles)})


def judged_by(
    connection: Connection, ensembles: Sequence[str], member: MemberId | None = None
) -> tuple[JudgedCoils, ...]:
    """Verdicts of ensembles, as they may be spelled, or of a member wherever it judged; raises StoreError."""
    if member is not None:
        parameters = {"model": member.model, "version": member.version}
        return _many(connection, "judged_by_member", JudgedCoils, parameters)
    return _many(connection, "judged_by_ensembles", JudgedCoils, {"versions": list(ensembles)})


def answers_on(connection: Connection, ensembles: Sequence[str]) -> tuple[Answer, ...]:
    """What workers answered on ensembles, and where they run; raises StoreError."""
    return _many(connection, "answers_with_hosts", Answer, {"versions": list(ensembles)})


def scores_of(connection: Connection, versions: Sequence[str], model: str = "") -> tuple[ScoreThen, ...]:
    """Scores of an ensemble, or of a member by its name: the last of each day, and the newest of each slice.

    Raises:
        StoreError: the database refused.
    """
    kind = "member" if model else "ensemble"
    return _many(connection, "scores_of_model", ScoreThen, {"kind": kind, "model": model, "versions": list(versions)})


def drift_of(connection: Connection, ensembles: Sequence[str]) -> tuple[DriftThen, ...]:
    """Drift checks of ensembles: the last of each day, and all that found drift; raises StoreError."""
    return _many(connection, "drift_of_ensembles", DriftThen, {"versions": list(ensembles)})


def server_version(connection: Connection) -> str:
    """Version of PostgreSQL; raises StoreError."""
    with store_errors("ask for the version of PostgreSQL"):
        [row] = connection.execute(query("server_version")).fetchall()
    return str(row["version"])


def _lineage(row: DictRow, check: Check) -> Lineage:
    stored = bytes(row["readings"])
    readings = Readings.model_validate(
        {
            **{name: row[name] for name in ("revision", "stored_at", "kafka_topic", "kafka_partition", "last_offset")},
            "bytes": len(stored),
            "sha256": hashlib.sha256(stored).hexdigest(),
            **check(stored, row),
        }
    )
    plain = {name: value for name, value in row.items() if name not in _READINGS}
    lists = {name: [_without_nulls(part) for part in row[name] or ()] for name in _LISTS}
    return Lineage.model_validate({**plain, **lists, "readings": readings})


def _without_nulls(part: Mapping[str, Any]) -> dict[str, Any]:
    """Without lists of nothing, which SQL gives as null."""
    return {name: value for name, value in part.items() if not (value is None and name == "parents")}


def _many(connection: Connection, name: str, part: type[_Part], parameters: Mapping[str, Any]) -> tuple[_Part, ...]:
    with store_errors("read what an audit asks for"):
        rows = connection.execute(query(name), parameters).fetchall()
    return tuple(
        part.model_validate({**row, "ensembles": row["ensembles"] or ()} if "ensembles" in row else row) for row in rows
    )
