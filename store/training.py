"""What a successor is trained and judged on, and what became of every attempt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import orjson
from psycopg.rows import args_row

from schemas.coils import CoilKey, StoredCoil, Truth
from schemas.combine import PlainCombine
from schemas.verdicts import Label
from store.connection import Connection, store_errors
from store.log import stored_coil
from store.queries import query

RetrainingState = Literal[
    "running", "failed", "killed", "lost",
    "waiting", "accepted", "rejected", "shadow", "promoted", "kept", "rolled_back",
]  # fmt: skip
Settled = Literal["failed", "killed", "lost", "waiting", "accepted", "rejected"]
Which = Literal["all", "undisputed", "labelled"]  # coils; undisputed: with a label on which people agree, or none yet


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """Whose coils: those of a plant with a champion of its own, or of every plant without one."""

    plant: str  # empty: every plant without a champion of its own
    others: tuple[str, ...] = ()  # plants with a champion of their own

    def parameters(self) -> dict[str, Any]:
        """As the statements take it."""
        return {"plant": self.plant, "others": list(self.others)}


class DecidedCoil(NamedTuple):
    """A coil that a version decided; a tuple, as there are many."""

    verdict_id: int
    called_nok: bool
    p_nok: float
    is_nok: bool  # false where nobody said
    labelled: bool
    labelled_at_s: float | None  # since 1970; also where people differ, so that there is no label
    asked: bool
    probability: float | None  # with which such a coil is asked for
    undecided: bool
    plant: str
    champion_verdict: Label
    decided_at: datetime


class Vote(NamedTuple):
    """What a member said for a verdict."""

    verdict_id: int
    called_nok: bool
    p_nok: float


class Pair(NamedTuple):
    """A coil that champion and shadow both judged."""

    shadow_nok: bool
    champion_nok: bool
    is_nok: bool  # false where nobody said
    labelled: bool
    disputed: bool  # people differ, so that there is no label
    asked: bool
    probability: float | None


_Row = TypeVar("_Row", DecidedCoil, Vote, Pair)


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledCoil:
    """A coil to learn from."""

    key: CoilKey
    revision: str
    label: Truth
    heard_at: datetime  # when its first word came
    weight: float | None  # coils that it stands for; None: nobody was asked to look at it


class SnapshotCoil(NamedTuple):
    """A coil of a snapshot; a tuple, as there are many."""

    key: CoilKey
    revision: str
    label: Truth
    holdout: bool  # it judges, and is never learnt from


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredSnapshot:
    """Labelled coils as they were when a successor was trained."""

    digest: str
    plant: str
    limits_version: str
    coils: int
    nok: int
    holdout_coils: int
    holdout_nok: int
    holdout_share: float
    location: str
    made_at: datetime
    labels_until: datetime
    held: tuple[SnapshotCoil, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Retraining:
    """An attempt at a successor."""

    retraining_id: int
    plant: str
    members: tuple[str, ...]
    how: str
    parent: str  # version of the champion that it is to succeed
    snapshot: str | None
    candidate: str | None
    state: RetrainingState
    why: str
    judged: dict[str, Any]
    attempt_id: int
    epoch: int
    started_at: datetime
    ended_at: datetime | None
    changed_at: datetime


def spellings(version: str) -> list[str]:
    """An ensemble's version as verdicts may name it: `VERSION+mean` where settings or a skipped member combine so."""
    return [version, *(f"{version}+{how}" for how in get_args(PlainCombine))]


def outcomes_of_ensemble(
    connection: Connection,
    versions: Sequence[str],
    scope: Scope,
    *,
    until: datetime,
    since: datetime | None = None,
    most: int | None = None,
    which: Which = "all",
) -> tuple[DecidedCoil, ...]:
    """Every coil that ensembles decided as champions, each by the verdict that counts, in the order of decision.

    Args:
        connection: on a database of this version.
        versions: of the ensembles.
        scope: whose coils.
        until: decided until then.
        since: decided from then on; None: from the first.
        most: no more than the first so many; None: all.
        which: of them.

    Raises:
        StoreError: the database refused.
    """
    named = [spelling for version in versions for spelling in spellings(version)]
    given = {"since": since, "until": until, "most": most, "which": which}
    parameters = {"versions": named, **given, **scope.parameters()}
    return _many(connection, "outcomes_of_ensemble", DecidedCoil, parameters)


def latest_outcomes(
    connection: Connection, version: str, scope: Scope, *, until: datetime, most: int, which: Which = "all"
) -> tuple[DecidedCoil, ...]:
    """The last coils that an ensemble decided until a moment, in the order of decision; raises StoreError."""
    given = {"until": until, "most": most, "which": which}
    parameters = {"versions": spellings(version), **given, **scope.parameters()}
    return _many(connection, "latest_outcomes", DecidedCoil, parameters)[::-1]


def judged_by(connection: Connection, scope: Scope, *, since: datetime, until: datetime) -> frozenset[str]:
    """Versions, as verdicts name them, that gave verdicts in that time; raises StoreError."""
    parameters = {"since": since, "until": until, **scope.parameters()}
    with store_errors("read which ensembles gave verdicts"):
        return frozenset(row["ensemble_version"] for row in connection.execute(query("judged_by"), parameters))


def votes_of_member(connection: Connection, model: str, version: str, verdict_ids: Sequence[int]) -> tuple[Vote, ...]:
    """What a member said for verdicts; raises StoreError."""
    parameters = {"model": model, "version": version, "verdict_ids": list(verdict_ids)}
    return _many(connection, "votes_of_member", Vote, parameters)


def ensembles_of_member(connection: Connection, model: str, version: str) -> tuple[str, ...]:
    """Versions of the ensembles in which a member votes; raises StoreError."""
    with store_errors(f"look where {model} {version} votes"):
        rows = connection.execute(query("ensembles_of_member"), {"model": model, "version": version}).fetchall()
    return tuple(row["ensemble_version"] for row in rows)


def labelled_coils(connection: Connection, scope: Scope, *, until: datetime, most: int) -> tuple[LabelledCoil, ...]:
    """Coils to learn from, the newest first: people agree on them, and something of them could be scored.

    Args:
        connection: on a database of this version.
        scope: whose.
        until: words that came until then.
        most: no more.

    Raises:
        StoreError: the database refused.
    """
    parameters = {"until": until, "most": most, **scope.parameters()}
    with store_errors("read the labelled coils"):
        rows = connection.execute(query("labelled_coils"), parameters).fetchall()
    return tuple(
        LabelledCoil(
            key=CoilKey(plant=row["plant"], coil_id=row["coil_id"]),
            revision=row["revision"],
            label=row["label"],
            heard_at=row["heard_at"],
            weight=1 / row["review_probability"] if row["asked"] and row["review_probability"] else None,
        )
        for row in rows
    )


def readings_of_coils(connection: Connection, coils: Sequence[LabelledCoil]) -> dict[CoilKey, StoredCoil]:
    """The readings that the labels are about; raises StoreError."""
    parameters = {
        "plants": [coil.key.plant for coil in coils],
        "coil_ids": [coil.key.coil_id for coil in coils],
        "revisions": [coil.revision for coil in coils],
    }
    with store_errors(f"read the readings of {len(coils)} coils"):
        rows = connection.execute(query("readings_of_coils"), parameters).fetchall()
    found = (stored_coil(row) for row in rows)
    return {coil.key: coil for coil in found}


def shadow_pairs(
    connection: Connection, *, shadow: str, champion: str, scope: Scope, since: datetime, until: datetime
) -> tuple[Pair, ...]:
    """Coils that a champion and its shadow both judged; raises StoreError."""
    parameters = {
        "shadows": spellings(shadow),
        "champions": spellings(champion),
        "since": since,
        "until": until,
        **scope.parameters(),
    }
    return _many(connection, "shadow_pairs", Pair, parameters)


def unanswered(connection: Connection, version: str, scope: Scope, *, since: datetime, until: datetime) -> int:
    """Of the coils that a champion judged at a time, those asked for that nobody spoke of yet; raises StoreError."""
    parameters = {"versions": spellings(version), "since": since, "until": until, **scope.parameters()}
    with store_errors("count what nobody has answered"):
        [row] = connection.execute(query("unanswered"), parameters).fetchall()
    return int(row["unanswered"])


def record_snapshot(connection: Connection, snapshot: StoredSnapshot) -> None:
    """Keep what a successor is trained on, and its coils; the same again changes nothing. Raises StoreError."""
    parameters = {name: getattr(snapshot, name) for name in StoredSnapshot.__slots__ if name != "held"}
    held = [{**coil.key._asdict(), **coil._asdict(), "key": None} for coil in snapshot.held]
    with store_errors(f"keep the snapshot {snapshot.digest[:12]}"), connection.transaction():
        connection.execute(query("record_snapshot"), parameters)
        rows = orjson.dumps(held).decode()
        connection.execute(query("record_snapshot_coils"), {"digest": snapshot.digest, "rows": rows})


def begin_retraining(
    connection: Connection,
    *,
    plant: str,
    members: Sequence[str],
    how: str,
    parent: str,
    why: str,
    attempt_id: int,
    epoch: int,
    at: datetime,
) -> int:
    """Note that a successor is being trained; store it within `fenced`.

    Returns:
        The retraining's id.

    Raises:
        StoreError: another is under way for the plant, or the database refused.
    """
    parameters = {
        "plant": plant,
        "members": list(members),
        "how": how,
        "parent": parent,
        "why": why,
        "attempt_id": attempt_id,
        "epoch": epoch,
        "at": at,
    }
    with store_errors("begin a retraining"):
        [row] = connection.execute(query("begin_retraining"), parameters).fetchall()
    return int(row["retraining_id"])


def lose_retrainings(connection: Connection, *, attempt_id: int, at: datetime) -> int:
    """Settle what runs of the scheduler left that are over; returns how many, raises StoreError."""
    with store_errors("look for retrainings that were lost"):
        return connection.execute(query("lose_retrainings"), {"attempt_id": attempt_id, "at": at}).rowcount


def end_retraining(
    connection: Connection,
    retraining_id: int,
    state: Settled,
    *,
    why: str,
    at: datetime,
    snapshot: str | None = None,
    candidate: str | None = None,
    judged: Mapping[str, Any] | None = None,
) -> None:
    """Note what came of an attempt; one that has ended stays as it is.

    Args:
        connection: within `fenced`.
        retraining_id: of the attempt.
        state: what came of it.
        why: in a sentence.
        at: the time.
        snapshot: digest of what it was trained on.
        candidate: version of the successor.
        judged: figures on the holdout.

    Raises:
        StoreError: the database refused.
    """
    parameters = {
        "retraining_id": retraining_id,
        "state": state,
        "why": why,
        "at": at,
        "snapshot": snapshot,
        "candidate": candidate,
        "judged": orjson.dumps(dict(judged or {})).decode(),
    }
    with store_errors("note what came of a retraining"):
        connection.execute(query("end_retraining"), parameters)


def set_retraining(
    connection: Connection, retraining_id: int, state: RetrainingState, *, why: str, at: datetime
) -> None:
    """Note how a successor fares; raises StoreError."""
    parameters = {"retraining_id": retraining_id, "state": state, "why": why, "at": at}
    with store_errors("note how a successor fares"):
        connection.execute(query("set_retraining"), parameters)


def retrainings(
    connection: Connection, *, plant: str | None = None, states: Sequence[RetrainingState] | None = None
) -> tuple[Retraining, ...]:
    """Attempts, the newest first: all, of one plant, or in some states; raises StoreError."""
    parameters = {"plant": plant, "states": None if states is None else list(states)}
    with store_errors("read the retrainings"):
        rows = connection.execute(query("retrainings"), parameters).fetchall()
    return tuple(Retraining(**{**row, "members": tuple(row["members"])}) for row in rows)


def last_codes(connection: Connection, job: str, subject: str) -> tuple[bool, tuple[str, ...]] | None:
    """Whether a job acted on a subject last, and the codes of its reasons; None where it never decided on it.

    Raises:
        StoreError: the database refused.
    """
    with store_errors(f"read the last decision of the job {job}"):
        row = connection.execute(query("last_codes"), {"job": job, "subject": subject}).fetchone()
    return None if row is None else (row["act"], tuple(why.partition(":")[0] for why in row["why"]))


def _many(
    connection: Connection, name: str, record: Callable[..., _Row], values: Mapping[str, Any]
) -> tuple[_Row, ...]:
    with store_errors("read what was decided"), connection.cursor(row_factory=args_row(record)) as cursor:
        return tuple(cursor.execute(query(name), values))
