"""What the registry holds: ensembles, what serves where, every change, and whether coilflow may change it by itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg.rows import DictRow

from schemas.bundles import EnsembleManifest
from schemas.verdicts import MemberId
from store.connection import Connection, store_errors
from store.models import ModelState
from store.queries import query

EVERY_PLANT = ""  # that has no row of its own

ChangeKind = Literal[
    "registered", "shadowed", "withdrawn", "promoted", "retired", "rejected", "rolled_back", "frozen", "unfrozen"
]  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredEnsemble:
    """One registered ensemble."""

    version: str
    name: str
    plant: str  # that it was made for; empty: any
    manifest: EnsembleManifest
    digest: str  # of the manifest, and so of every file
    limits_version: str
    location: str  # URI, or a path below the data folder
    state: ModelState
    parent: str | None
    snapshot_digest: str | None  # of the coils that its new member learnt from
    members: tuple[MemberId, ...]  # that vote
    registered_at: datetime
    changed_at: datetime

    @classmethod
    def from_row(cls, row: DictRow) -> "StoredEnsemble":
        """Read a row of query `ensembles`."""
        members = tuple(MemberId(**member) for member in row["members"] or ())
        return cls(**{**row, "manifest": EnsembleManifest.model_validate(row["manifest"]), "members": members})


@dataclass(frozen=True, kw_only=True, slots=True)
class ServingRow:
    """What serves one plant, or every plant without a row of its own."""

    plant: str
    champion: str | None  # version; None: as every plant
    shadow: str | None
    changed_at: datetime

    @classmethod
    def from_row(cls, row: DictRow) -> "ServingRow":
        """Read a row of query `serving`."""
        return cls(**row)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelChange:
    """One change, and who made it and why."""

    change_id: int
    at: datetime
    plant: str
    ensemble_version: str | None
    change: ChangeKind
    who: str
    why: str
    before: dict[str, Any]  # champion and shadow of the plant's own row, state of the ensemble

    @classmethod
    def from_row(cls, row: DictRow) -> "ModelChange":
        """Read a row of query `model_changes`."""
        return cls(**row)


@dataclass(frozen=True, kw_only=True, slots=True)
class Automation:
    """Whether coilflow may change by itself what serves, and who said so."""

    frozen: bool
    who: str | None
    why: str | None
    at: datetime | None


def ensembles(connection: Connection) -> tuple[StoredEnsemble, ...]:
    """Every registered ensemble, the first one first; raises StoreError."""
    with store_errors("read the registered ensembles"):
        rows = connection.execute(query("ensembles"), {"version": None}).fetchall()
    return tuple(StoredEnsemble.from_row(row) for row in rows)


def ensemble(connection: Connection, version: str) -> StoredEnsemble | None:
    """The ensemble of that version, or None; raises StoreError."""
    with store_errors(f"read ensemble {version!r}"):
        row = connection.execute(query("ensembles"), {"version": version}).fetchone()
    return None if row is None else StoredEnsemble.from_row(row)


def serving(connection: Connection) -> dict[str, ServingRow]:
    """What serves, by plant; raises StoreError."""
    with store_errors("read what serves"):
        rows = connection.execute(query("serving")).fetchall()
    return {row["plant"]: ServingRow.from_row(row) for row in rows}


def champion_of(rows: Mapping[str, ServingRow], plant: str) -> str | None:
    """Version of what gives a plant's verdicts: its own champion, else that of every plant; None where none does."""
    for one in (plant, EVERY_PLANT):
        if one in rows and rows[one].champion is not None:
            return rows[one].champion
    return None


def model_changes(
    connection: Connection, *, version: str | None = None, plant: str | None = None
) -> tuple[ModelChange, ...]:
    """Changes, the first one first: all, or of one ensemble or one plant; raises StoreError."""
    with store_errors("read the changes of the models"):
        rows = connection.execute(query("model_changes"), {"version": version, "plant": plant}).fetchall()
    return tuple(ModelChange.from_row(row) for row in rows)


def champions_before(connection: Connection, plant: str) -> tuple[str, ...]:
    """Versions that gave a plant's verdicts before the one that does, the latest first; none rolled back there.

    Promotions pile up and a rollback takes away what lies above the one it goes back to, so that going back twice goes
    back two champions.

    Raises:
        StoreError: the database refused.
    """
    pile: list[str] = []
    gone: set[str] = set()
    rejected = {one.version for one in ensembles(connection) if one.state == "rejected"}
    went: str | None = None  # by the change before this one
    for change in model_changes(connection, plant=plant):
        version = change.ensemble_version
        if change.change == "promoted" and version:
            # A rollback notes both what went and what came back in its place.
            if went and change.before.get("champion") == went and version in pile:
                del pile[len(pile) - pile[::-1].index(version) :]
            elif pile[-1:] != [version]:
                pile.append(version)
                gone.discard(version)
        elif change.change == "rolled_back" and version:
            del pile[-1:]
            gone.add(version)
        went = version if change.change == "rolled_back" else None
    return tuple(version for version in dict.fromkeys(pile[:-1][::-1]) if version not in {*gone, *rejected, *pile[-1:]})


def automation(connection: Connection) -> Automation:
    """Whether coilflow may change by itself what serves; raises StoreError."""
    with store_errors("read whether automatic change is frozen"):
        [row] = connection.execute(query("automation")).fetchall()
    return Automation(**row)
