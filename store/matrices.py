"""What the matrix of a decided coil is made of."""

from dataclasses import dataclass

from schemas.coils import CoilKey, Limits, StoredCoil
from store.connection import Connection, store_errors
from store.log import stored_coil
from store.queries import query


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredReadings:
    """What a verdict was given on."""

    coil: StoredCoil
    ensemble_version: str
    limits: Limits | None  # of that ensemble; None where it was never registered


def stored_readings(connection: Connection, key: CoilKey, revision: str | None = None) -> StoredReadings | None:
    """The readings of a revision, or of the verdict that stands; None where there are none.

    Raises:
        StoreError: the database refused, or the key cannot be a key.
    """
    parameters = {"plant": key.plant, "coil_id": key.coil_id, "revision": revision}
    with store_errors(f"read what coil {key.coil_id!r} was judged on"):
        row = connection.execute(query("stored_readings"), parameters).fetchone()
    if row is None:
        return None
    limits = None if row["limits"] is None else Limits.model_validate(row["limits"])
    return StoredReadings(coil=stored_coil(row), ensemble_version=row["ensemble_version"], limits=limits)
