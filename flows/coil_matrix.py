"""The matrix of a decided coil, made again from its readings as it was made for its verdict."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from processors.calibration import calibration_runs
from processors.normalize import normalize
from processors.revisions import check_revision
from processors.stored_coils import coils_from_stored
from processors.stretch import stretch
from schemas.coils import BoolArray, CoilBatch, CoilKey, Float32Array, Limits, StoredCoil
from schemas.layout import MATRIX_SHAPE
from schemas.matrices import tensor_values
from store.connection import Connection
from store.matrices import stored_readings

_MEASURED = 0.5  # of a cell's weight, from which on it counts as measured


@dataclass(frozen=True, kw_only=True, slots=True)
class CoilMatrix:
    """A coil as an ensemble saw it. Arrays are [264, 18], columns 0-8 top, 9-17 bottom."""

    batch: pa.RecordBatch  # of MATRIX_BATCH, one row
    ensemble_version: str  # that judged
    limits: Limits | None  # by which it was normalised; None on scale `self`
    measured: BoolArray  # false where a gauge calibrated itself
    coating_g_m2: Float32Array | None  # as read, before the band was taken off; None on scale `self`

    @property
    def matrix(self) -> Float32Array:
        """As it was scored, in -1..1."""
        values: Float32Array = tensor_values(self.batch)[0]
        return values

    @property
    def spread(self) -> Float32Array:
        """Standard deviation inside each chunk, in the same unit."""
        values: Float32Array = tensor_values(self.batch, "spread")[0]
        return values

    @property
    def band_g_m2(self) -> tuple[float, float] | None:
        """As ordered; None where no band was known."""
        low, high = self.batch.column("zn_min")[0].as_py(), self.batch.column("zn_max")[0].as_py()
        return None if low is None or high is None else (low, high)

    @property
    def length_m(self) -> float | None:
        """Of the strip, where it is known."""
        length_m: float | None = self.batch.column("length_m")[0].as_py()
        return length_m


def coil_matrix(
    connection: Connection, key: CoilKey, *, revision: str | None = None, otherwise: Limits
) -> CoilMatrix | str | None:
    """Normalise the stored readings of a coil with the limits of the ensemble that judged it.

    Args:
        connection: on a database of this version.
        key: of the coil.
        revision: None: that of the verdict that stands.
        otherwise: limits where the ensemble that judged was never registered.

    Returns:
        The matrix, why it cannot be made, or None where there is no such verdict.

    Raises:
        StoreError: the database refused.
    """
    found = stored_readings(connection, key, revision)
    if found is None:
        return None
    coil, limits = found.coil, found.limits or otherwise
    fits, sentence = check_revision(coil.readings, coil.revision, coil.order)
    if fits is False:
        return sentence
    again = _from_rows(coil, limits)
    if again is not None:
        batch, coils = again
        return CoilMatrix(
            batch=batch,
            ensemble_version=found.ensemble_version,
            limits=limits,
            measured=_measured(coils),
            coating_g_m2=stretch(coils.mean_g_m2, None, coils.face_start)[0][0],
        )
    batch = _as_it_came(coil)
    if batch is None:
        return "its readings are a fragment, or no band was known, so that they cannot be normalised"
    own_scale = batch.column("scale")[0].as_py() == "self"
    if not own_scale and batch.column("limits_version")[0].as_py() != limits.version:
        return "it came as a matrix of other limits than those of the ensemble that judged"
    return CoilMatrix(
        batch=batch,
        ensemble_version=found.ensemble_version,
        limits=None if own_scale else limits,
        measured=np.ones(MATRIX_SHAPE, dtype=np.bool_),
        coating_g_m2=None,
    )


def _from_rows(coil: StoredCoil, limits: Limits) -> tuple[pa.RecordBatch, CoilBatch] | None:
    coils = coils_from_stored([replace(coil, rows_per_face=None)])  # of no meaning for the matrix, or for the revision
    batch = normalize(coils, limits).batch
    return (batch, coils) if batch.num_rows else None


def _as_it_came(coil: StoredCoil) -> pa.RecordBatch | None:
    with pa.ipc.open_stream(coil.readings) as reader:
        batch = reader.read_next_batch()
    return batch if "matrix" in batch.schema.names else None


def _measured(coils: CoilBatch) -> BoolArray:
    low = np.array([header.order.zn_min_g_m2 for header in coils.headers]).repeat(2)
    runs = calibration_runs(coils.mean_g_m2, low, coils.face_start)
    share = stretch((~runs).astype(np.float64), None, coils.face_start)[0][0]
    measured: BoolArray = share > 1 - _MEASURED
    return measured
