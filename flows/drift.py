"""Whether the coils of each plant, and what the models say of them, have drifted away from the reference.

Drift is a reason to look and to gather labels. It alone never replaces a model: coils may change and the models still
be right.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from flows.references import member_quantity, quantities_of, take_reference
from models.drift import compare
from models.ensemble import Ensemble
from models.reference import REFERENCE, load_reference
from processors.normalize import normalize
from processors.stored_coils import coils_from_stored
from schemas.coils import CoilKey, FloatArray, Limits
from schemas.errors import SourceError
from schemas.matrices import MATRIX_BATCH, keys_of
from schemas.reference import Reference
from schemas.settings import Settings
from schemas.verdicts import Label, MemberId
from store.connection import Connection
from store.drift import DriftCheck, LatestCoil, latest_coils, plants_with_coils, store_drift_check

LEAST_REFERENCE_COILS = 500  # of which chance is small beside what is to be found


def check_drift(
    connection: Connection, settings: Settings, ensemble: Ensemble, now: datetime, *, plants: Sequence[str] = ()
) -> tuple[DriftCheck, ...]:
    """Compare the latest coils of each plant with the ensemble's reference, and keep what was found.

    What a member said counts where it was this ensemble's version of it that said it.

    Args:
        connection: on a database of this version.
        settings: how many coils, and how far they may drift.
        ensemble: that serves the plants; its folder holds `reference.json`.
        now: coils decided later are left aside, as are those that are older than the score's window.
        plants: that the ensemble serves; none named: all with coils.

    Returns:
        A check for each plant, as stored.

    Raises:
        BundleError: `reference.json` is damaged or of another ensemble.
        StoreError: the database refused.
    """
    reference = load_reference(ensemble)
    after = now - timedelta(days=settings.score.window_days)
    checks = []
    for plant in plants or plants_with_coils(connection, after=after, until=now):
        coils = latest_coils(connection, plant, after=after, until=now, coils=settings.drift.window_coils)
        check = _check(coils, reference, settings, ensemble, plant=plant, now=now)
        store_drift_check(connection, check)
        checks.append(check)
    return tuple(checks)


def reference_from_database(
    connection: Connection,
    ensemble: Ensemble,
    *,
    after: datetime,
    until: datetime,
    coils: int,
    plants: Sequence[str] = (),
) -> Reference:
    """The reference of an ensemble from the coils that came lately, as it scores them: for a successor's folder.

    Args:
        connection: on a database of this version.
        ensemble: that is to serve; it scores the coils anew.
        after: coils decided after it, up to
        until: this moment, are taken.
        coils: at most, of each plant.
        plants: that it is to serve; none named: all with coils.

    Raises:
        SourceError: fewer than 500 such coils can be normalised.
        StoreError: the database refused.
    """
    plants = plants or plants_with_coils(connection, after=after, until=until)
    found = [latest_coils(connection, plant, after=after, until=until, coils=coils) for plant in plants]
    batches = [normalize(coils_from_stored([one.stored for one in each]), ensemble.limits).batch for each in found]
    count = sum(batch.num_rows for batch in batches)
    if count < LEAST_REFERENCE_COILS:
        raise SourceError(
            f"{count} coils were decided from {after:%Y-%m-%d} to {until:%Y-%m-%d}, {LEAST_REFERENCE_COILS} are needed "
            "to tell drift from chance",
            remedy="take a longer time, or wait for more coils",
        )
    batch = pa.Table.from_batches(batches, schema=MATRIX_BATCH).combine_chunks().to_batches()[0]
    source = f"{count} coils of {', '.join(plants)} until {until:%Y-%m-%d}"
    return take_reference(batch, ensemble, source=source)


def _check(
    coils: Sequence[LatestCoil],
    reference: Reference | None,
    settings: Settings,
    ensemble: Ensemble,
    *,
    plant: str,
    now: datetime,
) -> DriftCheck:
    version = ensemble.manifest.version
    if reference is None:
        told = f"whether the coils of {plant} drifted cannot be told: ensemble {version} has no {REFERENCE}"
        return DriftCheck(
            checked_at=now, plant=plant, ensemble_version=version, coils=0, drifted=False, sentence=told, figures={}
        )
    drift = compare(
        reference,
        quantities_of_latest(coils, ensemble),
        plant=plant,
        least_coils=settings.drift.least_coils,
        most_psi=settings.drift.most_psi,
        most_clipped=settings.drift.most_clipped,
    )
    return DriftCheck(
        checked_at=now,
        plant=plant,
        ensemble_version=version,
        coils=drift.coils,
        drifted=drift.drifted,
        sentence=drift.sentence,
        figures={name: asdict(figure) for name, figure in drift.quantities.items()},
    )


def quantities_of_latest(coils: Sequence[LatestCoil], ensemble: Ensemble) -> dict[str, FloatArray]:
    """What is watched of stored coils that can be normalised, float64 [N] by quantity, in their order."""
    return watched_quantities(
        coils,
        limits=ensemble.limits,
        version=ensemble.manifest.version,
        members=[MemberId(model=m.manifest.name, version=m.manifest.version) for m in ensemble.members],
    )


def watched_quantities(
    coils: Sequence[LatestCoil], *, limits: Limits, version: str, members: Collection[MemberId]
) -> dict[str, FloatArray]:
    """The same for an ensemble that need not be loaded: by its limits, its version and the members that vote in it."""
    batch = normalize(coils_from_stored([coil.stored for coil in coils]), limits).batch
    by_key: dict[CoilKey, LatestCoil] = {coil.stored.key: coil for coil in coils}
    kept = [by_key[key] for key in keys_of(batch)]
    ours = {(m.model, m.version) for m in members}
    votes = [{m.model: m.p_nok for m in coil.members if (m.model, m.version) in ours} for coil in kept]
    mine = [coil.ensemble_version.partition("+")[0] == version for coil in kept]
    said = [float(coil.label is Label.UNDECIDED) if own else np.nan for coil, own in zip(kept, mine, strict=True)]
    p_nok = {
        member_quantity(name): np.array([vote.get(name, np.nan) for vote in votes], dtype=np.float64)
        for name, _ in sorted(ours)
    }
    return {**quantities_of(batch), "undecided": np.array(said, dtype=np.float64), **p_nok}
