"""What serves by the registry, for commands that host nothing."""

from schemas.coils import Limits
from schemas.settings import Settings
from store.connection import Connection
from store.registered import EVERY_PLANT, StoredEnsemble, champion_of, ensemble, serving


def champions(connection: Connection) -> dict[str, StoredEnsemble]:
    """The champion of each plant that has one of its own, and under '' that of all others; raises StoreError."""
    rows = serving(connection)
    found = {plant: ensemble(connection, row.champion) for plant, row in rows.items() if row.champion is not None}
    return {plant: one for plant, one in found.items() if one is not None}


def limits_that_serve(connection: Connection, settings: Settings, plant: str | None) -> Limits:
    """The limits of a plant's champion; of the settings' ensemble where the registry is still empty.

    Args:
        connection: on a database of this version.
        settings: the ensemble of a first start.
        plant: None: of the champion of every plant without its own.

    Raises:
        BundleError: nothing is registered, and the settings' ensemble is missing or altered.
        StoreError: the database refused.
    """
    version = champion_of(serving(connection), plant or EVERY_PLANT)
    stored = None if version is None else ensemble(connection, version)
    if stored is not None:
        return stored.manifest.limits
    from flows.serving import serving_ensemble  # noqa: PLC0415 - the registry knows limits without a model

    return serving_ensemble(settings).limits
