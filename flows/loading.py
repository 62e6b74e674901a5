"""A registered ensemble on its way into memory: nothing of it is loaded here before it proved itself elsewhere."""

import threading
from collections.abc import Callable, Iterator

import pyarrow as pa

from flows.bundle_store import local_copy
from flows.change_models import folder_to_beat
from flows.trial import try_out
from flows.try_ensemble import timed_batch
from models.ensemble import Ensemble, load_ensemble
from schemas.coils import Limits
from schemas.errors import BundleError
from schemas.settings import Settings
from store.registered import StoredEnsemble

_WARMING_COILS = 3
_BREATH_S = 0.02


def load_registered(
    stored: StoredEnsemble,
    settings: Settings,
    *,
    champion: StoredEnsemble | None,
    limits: Limits | None,
    proven: bool,
    stop: threading.Event,
    beat: Callable[[], None],
) -> Ensemble:
    """Copy an ensemble here and check its digests, try it in a process of its own, load it, and warm it.

    The trial scores every canary coil. What is loaded then is what was tried, by its digests, on the same machine: here
    some coils go through every member, so that the first ones that count meet a warm model.

    Args:
        stored: the ensemble.
        settings: data folder, threads, how members are combined, `promotion.slowest`.
        champion: that it is timed against; None where there is none.
        limits: that it must have; None where nothing serves yet.
        proven: a worker serves it already, and no trial is needed.
        stop: set where this process is to end.
        beat: called every few seconds of the trial.

    Raises:
        BundleError: it is damaged, off on its canaries, crashes, is too slow or has other limits.
        TrialStoppedError: `stop` was set.
    """
    if limits is not None and limits.version != stored.limits_version:
        raise BundleError(
            f"ensemble {stored.version} has the limits {stored.limits_version}, what serves has {limits.version}",
            remedy="train a successor with the champion's limits",
        )
    folder = local_copy(stored, settings)
    if not proven:
        try_out(folder, folder_to_beat(champion, settings), settings, stop, beat)
    loaded = load_ensemble(folder, threads=settings.threads, how=settings.combine)
    for coil in _warming(loaded):
        loaded.score(coil)
        stop.wait(_BREATH_S)
    return loaded


def _warming(ensemble: Ensemble) -> Iterator[pa.RecordBatch]:
    """One coil after the other: what serves now is not to wait for a whole batch of what comes next."""
    for scale in ensemble.manifest.thresholds:
        batch = timed_batch(scale, ensemble.limits.version)
        yield from (batch.slice(coil, 1) for coil in range(_WARMING_COILS))
