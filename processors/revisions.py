"""Whether stored readings are still those that a revision names."""

import hashlib

import numpy as np
import pyarrow as pa

from processors.assemble import gather
from schemas.coils import NO_ORDER, ChunkRows, CoilHeader, CoilKey, FloatArray, Order
from schemas.layout import SENSORS_PER_FACE
from schemas.matrices import TENSOR, tensor_values
from schemas.readings import rows_of

_KEY = CoilKey(plant="", coil_id="")  # a revision does not depend on whose readings they are
UNREADABLE = (pa.ArrowException, StopIteration, OSError, ValueError, KeyError)  # what Arrow raises on damaged bytes


def rows_fit(rows: pa.RecordBatch, revision: str, order: Order | None) -> bool:
    """Whether rows of the gauge hash to a revision, with the ordered band or with none.

    Args:
        rows: of `schemas.readings.READINGS`.
        revision: SHA-256, hex.
        order: as it is known now; a coil that was decided before its start came had none then.
    """
    return any(_revision(rows, band) == revision for band in (order, NO_ORDER) if band is not None)


def matrix_fits(batch: pa.RecordBatch, revision: str) -> bool | None:
    """Whether a matrix, or the grey levels that it was made of, hashes to a revision.

    None where nobody can tell: whoever made the matrix can have named the revision of readings that are not here.
    """
    matrix = tensor_values(batch)[0]
    levels = np.rint((matrix + np.float32(1)) * np.float32(127.5)).clip(0, 255).astype(np.uint8)
    own = {hashlib.sha256(values.tobytes()).hexdigest() for values in (np.ascontiguousarray(matrix), levels)}
    if revision in own:
        return True
    return None if batch.column("revision").to_pylist() == [revision] else False


def sound_rows(readings: bytes) -> pa.RecordBatch | None:
    """Rows of the gauge that damaged bytes cannot have spoilt; None where a matrix came; raises one of UNREADABLE."""
    rows = rows_of(readings)
    return None if rows is None else _sound(rows)


def check_revision(readings: bytes, revision: str, order: Order | None) -> tuple[bool | None, str]:
    """Reckon a revision again from the bytes that the database keeps.

    Args:
        readings: Arrow IPC stream of one coil.
        revision: that they are stored under.
        order: of the coil, as it is known now; None: no band is.

    Returns:
        Whether they fit, None where nobody can tell, and that in a sentence.
    """
    try:
        rows = sound_rows(readings)
        if rows is not None:
            if rows_fit(rows, revision, order):
                return True, "the stored readings hash to the revision"
            return False, "the stored readings, with the band ordered as it is known now, do not hash to the revision"
        fits = _matrix_fits(readings, revision)
    except UNREADABLE:
        return False, "the stored bytes are no readings that can be read"
    return fits, {
        True: "the stored matrix hashes to the revision",
        False: "the stored matrix does not hash to the revision",
        None: "a matrix came with a revision of readings that are not here, so that nobody can tell",
    }[fits]


def _matrix_fits(readings: bytes, revision: str) -> bool | None:
    with pa.ipc.open_stream(readings) as reader:
        batch = _sound(reader.read_next_batch())
    if "matrix" not in batch.schema.names or batch.schema.field("matrix").type != TENSOR or batch.num_rows != 1:
        raise ValueError("there is no matrix of one coil")
    return matrix_fits(batch, revision)


def _sound(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Arrow aborts the process where a batch, or a column in it, claims less than no rows and is looked at."""
    if batch.num_rows < 0:
        raise ValueError(f"a batch of {batch.num_rows} rows")
    batch.validate(full=True)
    return batch


def _revision(rows: pa.RecordBatch, order: Order) -> str | None:
    found = gather(
        ChunkRows(
            coil=np.zeros(rows.num_rows, dtype=np.int64),
            face=rows.column("face").to_numpy().astype(np.int64),
            position=rows.column("position").to_numpy(),
            mean_g_m2=_nine(rows.column("mean_g_m2")),
            std_g_m2=_nine(rows.column("std_g_m2")),
        ),
        CoilHeader(key=_KEY, order=order),
    )
    return None if found is None else found.revisions[0]


def _nine(column: pa.FixedSizeListArray) -> FloatArray:
    values: FloatArray = column.flatten().to_numpy().reshape(-1, SENSORS_PER_FACE)
    return values
