"""Grey-level coils as a source: Parquet with `coil_id`, `grey` (264 × 18 row-major uint8) and perhaps `label`."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flows.sources.source import MatrixBlock
from schemas.coils import CoilKey
from schemas.errors import SourceError
from schemas.layout import MATRIX_COLUMNS, MATRIX_ROWS, MATRIX_SHAPE
from schemas.matrices import matrix_batch
from schemas.rejects import Reject

_CELLS = MATRIX_ROWS * MATRIX_COLUMNS
_BATCH_COILS = 256


def read_grey(path: Path, *, plant: str) -> Iterator[MatrixBlock]:
    """Stream grey-level coils as matrices of scale `self`: grey 0 is -1, the coil's minimum; 255 is 1, its maximum.

    Args:
        path: the Parquet file.
        plant: plant of the coils, which the file does not name.

    Raises:
        SourceError: it is no Parquet file, or a column is missing.
    """
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"{path.name} is no whole Parquet file", remedy="copy or write it again") from error
    with file:
        missing = [name for name in ("coil_id", "grey") if name not in file.schema_arrow.names]
        if missing:
            raise SourceError(
                f"{path.name}: column {', '.join(missing)} is missing, found {', '.join(file.schema_arrow.names)}",
                remedy="give coil_id, grey (264 × 18 uint8, row-major) and, where known, label",
            )
        row = 0
        for batch in file.iter_batches(batch_size=_BATCH_COILS):
            yield _block(batch, path.name, plant, row)
            row += batch.num_rows


def _block(batch: pa.RecordBatch, name: str, plant: str, first_row: int) -> MatrixBlock:
    ids = batch.column("coil_id").to_pylist()
    labels = batch.column("label").to_pylist() if "label" in batch.schema.names else [None] * len(ids)
    keys, kept, grey, rejects = [], [], [], []
    for i, coil_id in enumerate(ids):
        key = CoilKey(plant=plant, coil_id=str(coil_id))
        fault = _fault(batch.column("grey")[i], labels[i])
        if coil_id is None or fault:
            rejects.append(
                Reject(
                    step="decode",
                    place=f"{name}, row {first_row + i + 1}",
                    key=None if coil_id is None else key,
                    error=fault or "coil_id is empty",
                    remedy="write 4752 grey levels from 0 to 255, and OK, NOK or nothing as label",
                    original=repr(batch.slice(i, 1).to_pylist()).encode(),
                )
            )
            continue
        keys.append(key)
        kept.append(labels[i])
        grey.append(np.array(batch.column("grey")[i].as_py(), dtype=np.uint8))
    levels = np.array(grey, dtype=np.float32).reshape(len(keys), *MATRIX_SHAPE)
    columns = {"label": kept}
    matrix = levels / np.float32(127.5) - np.float32(1)
    return MatrixBlock(
        batch=matrix_batch(
            keys=keys,
            revisions=[hashlib.sha256(g.tobytes()).hexdigest() for g in grey],
            matrix=matrix,
            spread=np.zeros_like(matrix),
            observed=np.ones(len(keys)),
            scale="self",
            columns=columns,
        ),
        rejects=tuple(rejects),
    )


def _fault(grey: pa.Scalar, label: object) -> str | None:
    if label not in ("OK", "NOK", None):
        return f"label is {label!r}"
    values = grey.as_py()
    if values is None or len(values) != _CELLS:
        return f"grey holds {len(values or ())} levels, expected {MATRIX_ROWS} × {MATRIX_COLUMNS}"
    if any(v is None or not 0 <= v <= 255 for v in values):
        return "grey holds a level outside 0..255"
    return None
