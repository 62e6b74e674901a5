"""The registry of models."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import orjson
from psycopg.rows import DictRow

from schemas.bundles import BundleManifest
from schemas.errors import StoreError
from store.connection import Connection, store_errors
from store.queries import query

ModelState = Literal["candidate", "shadow", "champion", "retired", "rejected"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RegisteredModel:
    """A model version of the registry."""

    manifest: BundleManifest
    state: ModelState
    registered_at: datetime
    changed_at: datetime  # of the state

    @classmethod
    def from_row(cls, row: DictRow) -> "RegisteredModel":
        """Read a row of query `list_models`."""
        return cls(
            manifest=BundleManifest.model_validate(row["manifest"]),
            state=row["state"],
            registered_at=row["registered_at"],
            changed_at=row["changed_at"],
        )


def register_models(connection: Connection, manifests: Sequence[BundleManifest], *, registered_at: datetime) -> int:
    """Register model versions as candidates, in one transaction; one that is known already stays as it is.

    Args:
        connection: on a database of this version.
        manifests: of the bundles' members.
        registered_at: with a time zone.

    Returns:
        How many were new.

    Raises:
        StoreError: a known name and version comes with another manifest; none is registered then.
    """
    rows = [
        {"name": m.name, "version": m.version, "kind": m.kind, "scale": m.scale, "manifest": m.model_dump(mode="json")}
        for m in manifests
    ]
    parameters = {"rows": orjson.dumps(rows).decode(), "registered_at": registered_at}
    with store_errors(f"register {len(rows)} models"), connection.transaction():
        stored = connection.execute(query("register_models"), parameters).fetchall()
        changed = [f"{row['name']} {row['version']}" for row in stored if row["differs"]]
        if changed:
            raise StoreError(
                f"{', '.join(changed)} is registered with another manifest",
                remedy="a version never changes: give the new bundle a new version",
            )
    return sum(row["is_new"] for row in stored)


def list_models(connection: Connection) -> tuple[RegisteredModel, ...]:
    """Every registered model version, oldest first.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("list the models"):
        return tuple(RegisteredModel.from_row(row) for row in connection.execute(query("list_models")))
