"""The registry of models."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import orjson

from schemas.bundles import BundleManifest
from schemas.errors import StoreError
from store.connection import Connection, store_errors
from store.queries import query

ModelState = Literal["candidate", "shadow", "champion", "retired", "rejected"]


def register_models(
    connection: Connection,
    manifests: Sequence[BundleManifest],
    *,
    registered_at: datetime,
    state: ModelState = "candidate",
) -> int:
    """Register model versions, in one transaction; one that is known already stays as it is, its state too.

    Args:
        connection: on a database of this version.
        manifests: of the bundles' members.
        registered_at: with a time zone.
        state: of those that are new; members that serve without having been promoted here are "champion".

    Returns:
        How many were new.

    Raises:
        StoreError: a known name and version comes with another manifest; none is registered then.
    """
    rows = [
        {"name": m.name, "version": m.version, "kind": m.kind, "scale": m.scale, "manifest": m.model_dump(mode="json")}
        for m in manifests
    ]
    parameters = {"rows": orjson.dumps(rows).decode(), "registered_at": registered_at, "state": state}
    with store_errors(f"register {len(rows)} models"), connection.transaction():
        stored = connection.execute(query("register_models"), parameters).fetchall()
        changed = [f"{row['name']} {row['version']}" for row in stored if row["differs"]]
        if changed:
            raise StoreError(
                f"{', '.join(changed)} is registered with another manifest",
                remedy="a version never changes: give the new bundle a new version",
            )
    return sum(row["is_new"] for row in stored)
