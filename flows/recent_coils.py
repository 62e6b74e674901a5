"""The latest coils of a plant as the reliability team looks at them: the gauge, and quantities then and now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from flows.bundle_store import local_copy
from flows.drift import watched_quantities
from models.drift import shares_in_bins
from models.reference import read_reference
from processors.gauge_health import GaugeHealth, gauge_health
from processors.stored_coils import coils_from_stored
from schemas.settings import Settings
from store.connection import Connection
from store.drift import LatestCoil, latest_coils
from store.registered import champion_of, serving
from store.registry_steps import known_ensemble


@dataclass(frozen=True, kw_only=True, slots=True)
class Distribution:
    """How a quantity is distributed over the latest coils, beside the reference of what serves them."""

    quantity: str
    ensemble_version: str
    source: str  # of the reference, for people
    cuts: tuple[float, ...]  # ascending, one fewer than bins
    then: tuple[float, ...]  # share of the reference's coils in each bin
    now: tuple[float, ...]
    reference_mean: float
    mean: float
    coils: int  # of now


def gauge_of(coils: Sequence[LatestCoil]) -> GaugeHealth:
    """How the gauge did over stored coils; those that came as a matrix tell nothing of it."""
    return gauge_health(coils_from_stored([coil.stored for coil in coils]))


def distribution_of(
    connection: Connection, settings: Settings, plant: str, quantity: str, *, now: datetime
) -> Distribution | None:
    """A watched quantity over the coils that a drift check looks at; None where there is nothing to compare.

    Args:
        connection: on a database of this version.
        settings: how many coils, and where ensembles are kept.
        plant: whose coils.
        quantity: as drift checks name it.
        now: coils decided later are left aside.

    Raises:
        BundleError: the champion's files are not on this machine and cannot be copied, or damaged.
        StoreError: the database refused.
    """
    version = champion_of(serving(connection), plant)
    if version is None:
        return None
    stored = known_ensemble(connection, version)
    limits = stored.manifest.limits
    reference = read_reference(local_copy(stored, settings), version=version, limits_version=limits.version)
    expected = None if reference is None else reference.quantities.get(quantity)
    if reference is None or expected is None:
        return None
    after = now - timedelta(days=settings.score.window_days)
    coils = latest_coils(connection, plant, after=after, until=now, coils=settings.drift.window_coils)
    values = watched_quantities(coils, limits=limits, version=version, members=stored.members).get(quantity)
    known = np.zeros(0) if values is None else values[~np.isnan(values)]
    if not len(known):
        return None
    return Distribution(
        quantity=quantity,
        ensemble_version=version,
        source=reference.source,
        cuts=expected.cuts,
        then=expected.shares,
        now=tuple(shares_in_bins(expected, known).tolist()),
        reference_mean=expected.mean,
        mean=float(known.mean()),
        coils=len(known),
    )
