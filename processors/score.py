"""Score a batch of matrices with an ensemble."""

import re
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pyarrow as pa

from schemas.coils import BoolArray, Float32Array, FloatArray, Limits
from schemas.layout import FACES, SENSORS_PER_FACE
from schemas.matrices import MATRIX_BATCH, keys_of, tensor_column, tensor_values
from schemas.readings import ipc_bytes
from schemas.rejects import Reject
from schemas.verdicts import Scores, names_sensors


class Scorer(Protocol):
    """What `score` needs of an ensemble."""

    @property
    def limits(self) -> Limits:
        """Global limits that its members were trained on."""

    def score(self, batch: pa.RecordBatch) -> Scores:
        """Probability of NOK for each coil of a batch of one scale."""


_SENSOR = re.compile(rf"\b({'|'.join(FACES)}) sensor ([1-{SENSORS_PER_FACE}])\b")
_LEAST_SOUND = 5  # sensors of a face that say what a faulty one would have read
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
    the ensemble's, is rejected. Coils whose reasons name faulty sensors are scored once more without these, in a batch
    of their own.

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
    scores = ensemble.score(kept)
    faulty = _faulty(kept)
    if faulty.any():
        scores = replace(scores, p_nok_without_faults=_p_nok_without(faulty, kept, ensemble))
    return Scored(batch=kept, scores=scores, rejects=rejects)


def _faulty(batch: pa.RecordBatch) -> BoolArray:
    """[B, 2, 9] bool: sensors that the coils' reasons name, where enough others of their face are sound."""
    faulty = np.zeros((batch.num_rows, len(FACES), SENSORS_PER_FACE), dtype=bool)
    for row, reasons in enumerate(batch.column("reasons").to_pylist()):
        for reason in filter(names_sensors, reasons or ()):
            for face, sensor in _SENSOR.findall(reason):
                faulty[row, FACES.index(face), int(sensor) - 1] = True
    sound = SENSORS_PER_FACE - faulty.sum(axis=2, keepdims=True)
    faulty &= (sound >= _LEAST_SOUND).all(axis=1, keepdims=True)
    return faulty


def _p_nok_without(faulty: BoolArray, batch: pa.RecordBatch, ensemble: Scorer) -> FloatArray:
    which = np.flatnonzero(faulty.any(axis=(1, 2)))
    some = batch.take(pa.array(which))
    for name in ("matrix", "spread"):
        at = MATRIX_BATCH.get_field_index(name)
        sound = tensor_column(_between_sound(tensor_values(some, name), faulty[which]))
        some = some.set_column(at, MATRIX_BATCH.field(at), sound)
    p_nok = np.full(batch.num_rows, np.nan)
    p_nok[which] = ensemble.score(some).p_nok
    return p_nok


def _between_sound(values: Float32Array, faulty: BoolArray) -> Float32Array:
    """The same [B, 264, 18] with faulty sensors [B, 2, 9] on the line between the sound ones beside them."""
    sensors = np.arange(SENSORS_PER_FACE)
    mended = values.copy()
    for row, face in np.argwhere(faulty.any(axis=2)).tolist():
        sound = np.flatnonzero(~faulty[row, face])
        weight = np.stack([np.interp(sensors, sound, one) for one in np.eye(len(sound))]).astype(np.float32)
        columns = slice(face * SENSORS_PER_FACE, (face + 1) * SENSORS_PER_FACE)
        mended[row, :, columns] = values[row, :, columns][:, sound] @ weight
    return mended
