"""What the page shows of coils beside what REST tells: all verdicts on one, its neighbours, the counts of a shift."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import DictRow

from schemas.coils import CoilKey
from schemas.verdicts import Label, MemberVote, Role
from store.connection import Connection, store_errors
from store.queries import query


@dataclass(frozen=True, kw_only=True, slots=True)
class PastVerdict:
    """A verdict on a coil, whether it stands or not."""

    revision: str
    role: Role
    label: Label
    p_nok: float | None
    threshold: float
    ensemble_version: str
    observed: float
    reasons: tuple[str, ...]
    review: tuple[str, ...]
    supersedes: str | None
    decided_at: datetime
    stands: bool
    members: tuple[MemberVote, ...]

    @classmethod
    def from_row(cls, row: DictRow) -> "PastVerdict":
        """Read a row of query `verdicts_on_coil`."""
        lists = {"reasons": tuple(row["reasons"]), "review": tuple(row["review"])}
        members = tuple(MemberVote(**member) for member in row["members"])
        return cls(**{**row, **lists, "label": Label(row["label"]), "members": members})


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """The coils decided just before and just after one."""

    older: CoilKey | None
    newer: CoilKey | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ShiftCounts:
    """Verdicts that stand, of the hours up to the newest."""

    until: datetime
    ok: int
    nok: int
    undecided: int
    last_hour: int  # of all labels


def verdicts_on(connection: Connection, key: CoilKey) -> tuple[PastVerdict, ...]:
    """Every verdict on a coil, the newest first; raises StoreError where the database refuses."""
    with store_errors(f"read the verdicts on coil {key.coil_id!r}"):
        return tuple(map(PastVerdict.from_row, connection.execute(query("verdicts_on_coil"), key._asdict())))


def coils_beside(connection: Connection, key: CoilKey) -> Beside:
    """The neighbours of a coil in the order of decision; raises StoreError where the database refuses."""
    with store_errors(f"read what came before and after coil {key.coil_id!r}"):
        rows = connection.execute(query("coils_beside"), key._asdict()).fetchall()
    found = {row["side"]: CoilKey(plant=row["plant"], coil_id=row["coil_id"]) for row in rows}
    return Beside(older=found.get("older"), newer=found.get("newer"))


def shift_counts(connection: Connection, *, hours: int, plant: str | None = None) -> ShiftCounts | None:
    """Counts of the hours up to the newest verdict, None before the first one.

    Args:
        connection: on a database of this version.
        hours: length of a shift.
        plant: only of this one.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("count the coils of the shift"):
        parameters = {"hours": hours, "plant": plant}
        row = connection.execute(query("shift_counts"), parameters, prepare=False).fetchone()
    return None if row is None else ShiftCounts(**row)


def plants(connection: Connection) -> tuple[str, ...]:
    """Every plant of which a coil was seen; raises StoreError where the database refuses."""
    with store_errors("read which plants there are"):
        return tuple(row["plant"] for row in connection.execute(query("plants")))
