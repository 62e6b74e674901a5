"""What drift is reckoned from, and what was found."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from psycopg.rows import DictRow

from schemas.coils import CoilKey, Order, StoredCoil
from schemas.verdicts import Label, MemberVote
from store.connection import Connection, store_errors
from store.queries import query


@dataclass(frozen=True, kw_only=True, slots=True)
class LatestCoil:
    """A decided coil with the verdict that stands."""

    stored: StoredCoil
    label: Label
    ensemble_version: str
    members: tuple[MemberVote, ...]

    @classmethod
    def from_row(cls, row: DictRow) -> "LatestCoil":
        """Read a row of query `latest_coils`."""
        low, high = row["zn_min_g_m2"], row["zn_max_g_m2"]
        known = low is not None and high is not None
        order = Order(zn_min_g_m2=low, zn_max_g_m2=high, length_m=row["length_m"]) if known else None
        return cls(
            stored=StoredCoil(
                key=CoilKey(plant=row["plant"], coil_id=row["coil_id"]),
                order=order,
                started_at=row["started_at"],
                rows_per_face=row["rows_per_face"],
                revision=row["revision"],
                readings=row["readings"],
            ),
            label=Label(row["label"]),
            ensemble_version=row["ensemble_version"],
            members=tuple(MemberVote(**member) for member in row["members"]),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class DriftCheck:
    """Whether the latest coils of a plant looked like those that its ensemble was made for."""

    checked_at: datetime
    plant: str
    ensemble_version: str
    coils: int
    drifted: bool
    sentence: str
    figures: Mapping[str, Mapping[str, float]]  # by quantity: psi, at_least, mean, reference_mean, coils

    @classmethod
    def from_row(cls, row: DictRow) -> "DriftCheck":
        """Read a row of query `latest_drift_checks`."""
        return cls(**row)


def plants_with_coils(connection: Connection, *, after: datetime, until: datetime) -> tuple[str, ...]:
    """Plants whose coils were decided in a window; raises StoreError where the database refuses."""
    with store_errors("list the plants"):
        return tuple(
            row["plant"] for row in connection.execute(query("drifting_plants"), {"after": after, "until": until})
        )


def latest_coils(
    connection: Connection, plant: str, *, after: datetime, until: datetime, coils: int
) -> tuple[LatestCoil, ...]:
    """The newest coils of a plant that were decided in a window, oldest first.

    Args:
        connection: on a database of this version.
        plant: whose coils.
        after: the window begins.
        until: it ends.
        coils: at most.

    Raises:
        StoreError: the database refused.
    """
    values: dict[str, Any] = {"plant": plant, "after": after, "until": until, "coils": coils}
    with store_errors(f"read the latest coils of {plant!r}"):
        return tuple(LatestCoil.from_row(row) for row in connection.execute(query("latest_coils"), values))


def store_drift_check(connection: Connection, check: DriftCheck) -> None:
    """Add a check to the history; raises StoreError where the database refuses."""
    figures = orjson.dumps({name: dict(figure) for name, figure in check.figures.items()}).decode()
    values = {
        "checked_at": check.checked_at,
        "plant": check.plant,
        "ensemble_version": check.ensemble_version,
        "coils": check.coils,
        "drifted": check.drifted,
        "sentence": check.sentence,
        "figures": figures,
    }
    with store_errors(f"store the drift check of {check.plant!r}"):
        connection.execute(query("store_drift_check"), values)


def latest_drift_checks(connection: Connection) -> tuple[DriftCheck, ...]:
    """The newest check of each plant; raises StoreError where the database refuses."""
    with store_errors("read the drift checks"):
        return tuple(DriftCheck.from_row(row) for row in connection.execute(query("latest_drift_checks")))


def prune_drift_checks(connection: Connection, *, before: datetime, rows: int) -> int:
    """Delete a piece of the checks without drift that others had replaced before then; returns how many.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("delete old drift checks"):
        return connection.execute(query("prune_drift_checks"), {"before": before, "rows": rows}).rowcount
