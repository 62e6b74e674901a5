"""The latest coils beside those before them, quantity by quantity, as a page for people: by Evidently, an extra."""

from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from flows.drift import quantities_of_latest
from models.ensemble import Ensemble
from schemas.coils import FloatArray
from schemas.errors import SourceError, UsageError
from schemas.settings import Settings
from store.connection import Connection
from store.drift import latest_coils

_BEFORE = 4  # times as many coils as are looked at, as the page has to hold them


def refuse_without_evidently() -> None:
    """Raise UsageError where Evidently is not installed."""
    if find_spec("evidently") is None:
        raise UsageError(
            "a drift report needs evidently, which is not installed",
            remedy="pip install 'coilflow[drift]' into an environment of its own: it needs pandas below 3",
        )


def write_drift_report(
    connection: Connection, settings: Settings, ensemble: Ensemble, now: datetime, *, plant: str, out: Path
) -> None:
    """Write an HTML page that compares the latest coils of a plant with those that ran before them.

    The check itself compares with the ensemble's reference, which holds shares and no coils; a page needs coils.

    Args:
        connection: on a database of this version.
        settings: how many coils are the latest, and from which index on a quantity has drifted.
        ensemble: that serves the plant.
        now: coils decided later are left aside, as are those that are older than the score's window.
        plant: whose coils.
        out: the page, written over.

    Raises:
        UsageError: Evidently is not installed.
        SourceError: there are too few coils before the latest ones.
        StoreError: the database refused.
    """
    refuse_without_evidently()
    window, least = settings.drift.window_coils, settings.drift.least_coils
    after = now - timedelta(days=settings.score.window_days)
    coils = latest_coils(connection, plant, after=after, until=now, coils=(1 + _BEFORE) * window)
    before, latest = coils[:-window], coils[-window:]
    if len(before) < least:
        raise SourceError(
            f"{len(before)} coils of {plant} ran before the latest {len(latest)}, {least} are needed to compare with",
            remedy="wait for more coils, or lower drift.window_coils",
        )
    _write(quantities_of_latest(before, ensemble), quantities_of_latest(latest, ensemble), settings, out)


def _write(before: dict[str, FloatArray], latest: dict[str, FloatArray], settings: Settings, out: Path) -> None:
    import pandas as pd  # noqa: PLC0415 - an optional extra, and slow to load
    from evidently import DataDefinition, Dataset, Report  # noqa: PLC0415
    from evidently.presets import DataDriftPreset  # noqa: PLC0415

    least = settings.drift.least_coils
    told = [name for name in before if min(_known(before[name]), _known(latest[name])) >= least]

    columns = DataDefinition(numerical_columns=told)
    old, new = (
        Dataset.from_pandas(pd.DataFrame({name: values[name] for name in told}), data_definition=columns)
        for values in (before, latest)
    )
    # By itself the page calls coils drifted only where half of all columns are; with us any one is drift.
    any_one = 0.5 / max(1, len(told))
    report = Report([DataDriftPreset(num_method="psi", num_threshold=settings.drift.most_psi, drift_share=any_one)])
    with np.errstate(divide="ignore", invalid="ignore"):  # a column that never changes correlates with nothing
        report.run(new, old).save_html(str(out))


def _known(values: FloatArray) -> int:
    return int(np.count_nonzero(~np.isnan(values)))
