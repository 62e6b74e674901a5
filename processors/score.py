"""Score a batch of matrices with an ensemble."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from schemas.coils import Limits
from schemas.matrices import keys_of, tensor_values
from schemas.readings import ipc_bytes
from schemas.rejects import Reject
from schemas.verdicts import Scores


class Scorer(Protocol):
    """What `score` needs of an ensemble."""

    @property
    def limits(self) -> Limits:
        """Global limits that its members were trained on."""

    def score(self, batch: pa.RecordBatch) -> Scores:
        """Probability of NOK for each coil of a batch of one scale."""


_ROUNDING = 1e-6  # float32 interpolation may step over the end by a last digit


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """The coils that were scored, their scores, and those that could not be."""

    batch: pa.RecordBatch
    scores: Scores
    rejects: tuple[Reject, ...]


def score(batch: pa.RecordBatch, ensemble: Scorer, *, place: str) -> Scored:
    """Score the coils of a batch of one scale; all by the same ensemble.

    A matrix with a value that is not finite or outside [-1, 1], or one that was normalised against other limits than
    the ensemble's, is rejected.

    Args:
        batch: of `schemas.matrices.MATRIX_BATCH`, one scale.
        ensemble: the models.
        place: where the batch came from, for rejects.
    """
    values = tensor_values(batch)
    low, high = values.min(axis=(1, 2), initial=0.0), values.max(axis=(1, 2), initial=0.0)
    bounded = (low >= -1 - _ROUNDING) & (high <= 1 + _ROUNDING)  # false for NaN
    versions = batch.column("limits_version").to_pylist()
    scales = batch.column("scale").to_pylist()
    own = ensemble.limits.version
    same = np.array([s == "self" or v in (own, None) for s, v in zip(scales, versions, strict=True)], dtype=bool)
    good = bounded & same
    rejects = tuple(
        Reject(
            step="score",
            place=place,
            key=key,
            error="the matrix holds a value that is no number in [-1, 1]"
            if not bounded[i]
            else f"it was normalised with limits {versions[i]}, the ensemble's are {own}",
            remedy="normalise the coil again from its readings" + ("" if not bounded[i] else ", without --limits"),
            original=ipc_bytes(batch.slice(i, 1)),
        )
        for i, key in enumerate(keys_of(batch))
        if not good[i]
    )
    kept = batch if good.all() else batch.filter(pa.array(good))
    return Scored(batch=kept, scores=ensemble.score(kept), rejects=rejects)
