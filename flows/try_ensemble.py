"""What an ensemble does and takes: its canaries, and its processor time a coil beside that of another."""

import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from models.ensemble import Ensemble, load_ensemble
from schemas.coils import CoilKey
from schemas.combine import PlainCombine
from schemas.layout import MATRIX_SHAPE
from schemas.matrices import Scale, matrix_batch

_TIMED_COILS = 4
_ROUNDS = 4  # the fastest counts: what else runs only slows, by its use of caches too


def try_ensemble(folder: Path, against: Path | None, *, threads: int, how: PlainCombine | None) -> dict[str, float]:
    """Load an ensemble, score its canaries, and time it, in turn with the one that it would replace.

    Canaries are scored with the threads that it would serve with, and both are timed with one: the processor time of
    several counts what they do to share the work, and not how long they wait for each other.

    Returns:
        `off`, the largest |Δp| of the canaries; `ms` and, where `against` is given, `champion_ms`, of processor time a
        coil.

    Raises:
        BundleError: a file is altered, the graph is none, or the canaries are off.
    """
    found = {"off": max(load_ensemble(folder, threads=threads, how=how).verify().values())}
    timed = {"ms": load_ensemble(folder, threads=1, how=how)}
    if against is not None:
        timed["champion_ms"] = load_ensemble(against, threads=1, how=how)
    fastest = dict.fromkeys(timed, float("inf"))
    for _ in range(_ROUNDS):
        for name, ensemble in timed.items():
            fastest[name] = min(fastest[name], _milliseconds(ensemble))
    return {**found, **fastest}


def _milliseconds(ensemble: Ensemble) -> float:
    """Milliseconds of processor time a coil of one batch: on a busy machine either would wait, and by chance."""
    batch = timed_batch("limits" if "limits" in ensemble.manifest.thresholds else "self", ensemble.limits.version)
    begun = time.process_time()
    ensemble.score(batch)
    return 1000 * (time.process_time() - begun) / _TIMED_COILS


def timed_batch(scale: Scale, limits_version: str) -> pa.RecordBatch:
    """Coils that are as much work as any: what a matrix holds does not change it."""
    matrix = np.random.default_rng(0).uniform(-1, 1, (_TIMED_COILS, *MATRIX_SHAPE)).astype(np.float32)
    return matrix_batch(
        keys=[CoilKey(plant="trial", coil_id=str(number)) for number in range(_TIMED_COILS)],
        revisions=[f"{number:064x}" for number in range(_TIMED_COILS)],
        matrix=matrix,
        spread=np.zeros_like(matrix),
        observed=np.ones(_TIMED_COILS),
        scale=scale,
        columns={"limits_version": [limits_version if scale == "limits" else None] * _TIMED_COILS},
    )
