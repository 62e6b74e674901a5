"""What has changed since a place in the stream of changes, exactly once each, whatever order transactions commit in.

Why a place is no number. A row's number is given when it is inserted, and rows are seen once their transaction commits:
a transaction that took 7 may commit after one that took 8. Who reads `number > last` and got 8 never gets 7. No wait
bounds that, for a transaction may take as long as it likes.

So each row of `coilflow.changes` names its transaction, and a place is a PostgreSQL snapshot: `xmin:xmax:running`. It
sees a transaction whose id is below xmax and not among those running. A transaction once seen by a snapshot is seen by
every later one (it ended before), and its rows are there for whoever reads later. So "seen by B and not by A" is a set
that never changes (until it is pruned), whenever it is read; the sets of A to B and of B to C have nothing in common,
and together are that of A to C. Read one after the other they tell each row once, and none is lost.

Within the set from A to B rows come in the order (transaction, number), so a place within it is A, B and the last row.
Only top-level transactions have ids in either, so savepoints make no difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict

from schemas.events import CoilVerdict, CoilWarning, verdict_data
from store.connection import Connection, store_errors
from store.queries import query
from store.verdicts import StoredVerdict

Kind = Literal["verdict", "model_change", "early_warning"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """Which transactions had ended at a moment."""

    xmin: int
    xmax: int
    running: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.xmin}:{self.xmax}:{','.join(map(str, self.running))}"

    def sees(self, txid: int) -> bool:
        """Whether a transaction had ended."""
        return txid < self.xmin or (txid < self.xmax and txid not in self.running)

    def is_as_late_as(self, other: "Snapshot") -> bool:
        """Whether it sees all that the other sees."""
        return self.xmax >= other.xmax and not any(other.sees(txid) for txid in self.running)

    @classmethod
    def read(cls, text: str) -> "Snapshot":
        """Read what PostgreSQL or `str` wrote; raises ValueError where it is no snapshot."""
        low, high, running = text.split(":")
        found = cls(xmin=_txid(low), xmax=_txid(high), running=tuple(map(_txid, running.split(","))) if running else ())
        inside = all(found.xmin <= txid < found.xmax for txid in found.running)
        if not found.xmin <= found.xmax or not inside or tuple(sorted(set(found.running))) != found.running:
            raise ValueError("no snapshot")
        return found


class Row(NamedTuple):
    """Which row of a set."""

    txid: int
    change_no: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """A place in the stream: all that `seen` sees, and of what `until` sees beside it the rows up to `row`."""

    seen: Snapshot
    until: Snapshot | None = None  # None: the place is at `seen`
    row: Row | None = None

    def __str__(self) -> str:
        if self.until is None or self.row is None:
            return str(self.seen)
        return f"{self.seen}~{self.until}~{self.row.txid}.{self.row.change_no}"

    @property
    def latest(self) -> Snapshot:
        """The later of its snapshots."""
        return self.until or self.seen

    @classmethod
    def read(cls, text: str) -> "Position":
        """Read what `str` wrote; raises ValueError where it is no place."""
        parts = text.split("~")
        if len(parts) == 1:
            return cls(seen=Snapshot.read(text))
        seen, until, row = parts
        txid, number = row.split(".")
        found = cls(seen=Snapshot.read(seen), until=Snapshot.read(until), row=Row(_txid(txid), _txid(number)))
        if not found.latest.is_as_late_as(found.seen):
            raise ValueError("no place")
        return found


class ModelChange(BaseModel):
    """What serves, or may serve, has changed, or a worker answered such a change."""

    model_config = ConfigDict(frozen=True)

    plant: str | None  # None: every plant
    ensemble_version: str | None  # None where automatic change was frozen or let go on
    ensemble: str | None  # its name
    change: Literal[
        "registered", "shadowed", "withdrawn", "promoted", "retired", "rejected", "rolled_back",
        "frozen", "unfrozen", "swapped", "refused",
    ]  # fmt: skip
    worker: str | None  # that swapped or refused
    who: str | None  # a person's name, or the job that decided
    why: str
    at: AwareDatetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One event of the stream."""

    kind: Kind
    row: Row
    data: CoilVerdict | ModelChange | CoilWarning


def current_snapshot(connection: Connection) -> Snapshot:
    """The moment; raises StoreError where the database refuses."""
    with store_errors("read the database's moment"):
        [row] = connection.execute(query("current_snapshot")).fetchall()
    return Snapshot.read(row["snapshot"])


def changes_between(
    connection: Connection, seen: Snapshot, until: Snapshot, *, after: Row | None = None, most: int
) -> tuple[tuple[Change, ...], Row | None]:
    """What `until` sees and `seen` does not, in the order of their rows, piece by piece.

    Args:
        connection: on a database of this version.
        seen: the earlier snapshot.
        until: the later one, taken before this is asked.
        after: of these the rows after that one.
        most: rows of a piece.

    Returns:
        The changes, less those of what was deleted since; and after which row the next piece begins, None where that
        was the last.

    Raises:
        StoreError: the database refused.
    """
    parameters = {
        "seen": str(seen),
        "until": str(until),
        "after_txid": None if after is None else str(after.txid),
        "after_no": after and after.change_no,
        "most": most,
    }
    with store_errors("read what has changed"):
        rows = connection.execute(query("changes_between"), parameters, prepare=False).fetchall()
        by_kind = {kind: [row["ref"] for row in rows if row["kind"] == kind] for kind in _READ}
        told = {kind: _told(connection, kind, refs) for kind, refs in by_kind.items() if refs}
    changes = tuple(
        Change(
            kind="model_change" if row["kind"] == "swap_answer" else row["kind"],
            row=Row(row["txid"], row["change_no"]),
            data=told[row["kind"]][row["ref"]],
        )
        for row in rows
        if row["ref"] in told[row["kind"]]
    )
    return changes, Row(rows[-1]["txid"], rows[-1]["change_no"]) if len(rows) == most else None


def is_complete_from(connection: Connection, place: Position) -> bool:
    """Whether all that has changed since a place can still be told; it may be of another server, or too long ago.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("look how far back changes are kept"):
        [row] = connection.execute(query("changes_forgotten")).fetchall()
    return row["txid"] < place.seen.xmin and current_snapshot(connection).is_as_late_as(place.latest)


def prune_changes(connection: Connection, *, before: datetime, rows: int) -> int:
    """Forget so many changes of before then at most; how many that were. Raises StoreError."""
    with store_errors("forget old changes"):
        [row] = connection.execute(query("prune_changes"), {"before": before, "rows": rows}).fetchall()
    return int(row["rows"])


def forget_foreign_changes(connection: Connection) -> int:
    """Forget what was noted under transactions that this server has yet to come to: it was restored from a dump.

    Returns:
        How much that was.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("forget changes of another server"):
        [row] = connection.execute(query("forget_foreign_changes")).fetchall()
    return int(row["rows"])


_READ = {  # statement and its key
    "verdict": ("changed_verdicts", "verdict_id"),
    "model_change": ("changed_models", "change_id"),
    "swap_answer": ("answered_swaps", "answer_id"),
    "early_warning": ("given_warnings", "warning_id"),
}


def _told(
    connection: Connection, kind: str, refs: Sequence[int]
) -> Mapping[int, CoilVerdict | ModelChange | CoilWarning]:
    statement, key = _READ[kind]
    rows = connection.execute(query(statement), {"refs": list(refs)}).fetchall()
    return {row.pop(key): _data(kind, row) for row in rows}


def _data(kind: str, row: dict[str, Any]) -> CoilVerdict | ModelChange | CoilWarning:
    if kind == "verdict":
        stored = StoredVerdict.from_row(row)
        return verdict_data(stored.verdict, decided_at=stored.decided_at)
    return CoilWarning.model_validate(row["data"]) if kind == "early_warning" else ModelChange.model_validate(row)


def _txid(text: str) -> int:
    """Digits alone: `int` takes blanks, signs and underscores too."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(2**63))):
        raise ValueError("no number of a transaction")
    return int(text)
