"""Grey-level coils as a source: Parquet with `coil_id`, `grey` (264 × 18 row-major uint8) and perhaps `label`."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flows.sources.source import MatrixBlock
from processors.headers import unfit_text
from schemas.coils import CoilKey
from schemas.errors import SourceError
from schemas.layout import MATRIX_COLUMNS, MATRIX_ROWS, MATRIX_SHAPE
from schemas.matrices import empty_batch, matrix_batch
from schemas.readings import ipc_bytes
from schemas.rejects import Reject

_CELLS = MATRIX_ROWS * MATRIX_COLUMNS
_BATCH_COILS = 256
_MAX_ORIGINAL_BYTES = 16 * 1024 * 1024  # of a damaged row group that a reject keeps


def read_grey(path: Path, *, plant: str) -> Iterator[MatrixBlock]:
    """Stream grey-level coils as matrices of scale `self`: grey 0 is -1, the coil's minimum; 255 is 1, its maximum.

    Args:
        path: the Parquet file.
        plant: plant of the coils, which the file does not name.

    Raises:
        SourceError: it is no Parquet file, or a column is missing.
    """
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"{path.name} is no whole Parquet file", remedy="copy or write it again") from error
    with file:
        _check_columns(file.schema_arrow, path.name)
        row = 0
        for group in range(file.num_row_groups):
            start = row
            try:
                for batch in file.iter_batches(batch_size=_BATCH_COILS, row_groups=[group], columns=_present(file)):
                    yield _block(batch, path.name, plant, row)
                    row += batch.num_rows
            except (pa.ArrowInvalid, OSError) as error:
                yield MatrixBlock(batch=empty_batch(), rejects=(_damaged(file, path, group, row, error),))
            row = start + file.metadata.row_group(group).num_rows


def labelled_grey(path: Path) -> list[pa.RecordBatch]:
    """Grey-level coils of a plant that all have a label, to judge models by, as `read_grey` gives them.

    Raises:
        SourceError: a coil cannot be read or has no label, or there is none.
    """
    blocks = list(read_grey(path, plant="real"))
    unfit = sum(len(block.rejects) + block.batch.column("label").null_count for block in blocks)
    if unfit or not any(block.batch.num_rows for block in blocks):
        raise SourceError(
            f"{path.name}: {unfit} coils cannot be read or have no label, and models are judged by labelled ones",
            remedy="label all of them OK or NOK, and leave out what `coilflow assess` rejects",
        )
    return [block.batch for block in blocks]


def _present(file: pq.ParquetFile) -> list[str]:
    return [name for name in ("coil_id", "grey", "label") if name in file.schema_arrow.names]


def _check_columns(schema: pa.Schema, name: str) -> None:
    remedy = "give coil_id, grey (264 × 18 uint8, row-major) and, where known, label"
    missing = [column for column in ("coil_id", "grey") if column not in schema.names]
    if missing:
        raise SourceError(
            f"{name}: column {', '.join(missing)} is missing, found {', '.join(schema.names)}", remedy=remedy
        )
    grey = schema.field("grey").type
    is_list = pa.types.is_list(grey) or pa.types.is_large_list(grey) or pa.types.is_fixed_size_list(grey)
    if not is_list or not pa.types.is_integer(grey.value_type):
        raise SourceError(f"{name}: column grey is {grey}, expected a list of uint8", remedy=remedy)


def _damaged(file: pq.ParquetFile, path: Path, group: int, row: int, error: Exception) -> Reject:
    stored = file.metadata.row_group(group)
    columns = [stored.column(i) for i in range(stored.num_columns)]
    starts = [column.dictionary_page_offset or column.data_page_offset for column in columns]
    with path.open("rb") as handle:
        handle.seek(min(starts))
        original = handle.read(min(_MAX_ORIGINAL_BYTES, sum(column.total_compressed_size for column in columns)))
    return Reject(
        step="decode",
        place=f"{path.name}, from row {row + 1}, row group {group + 1}",
        key=None,
        error=f"the row group is damaged ({' '.join(str(error).split())})",
        remedy="copy or write the file again",
        original=original,
    )


def _block(batch: pa.RecordBatch, name: str, plant: str, first_row: int) -> MatrixBlock:
    ids = batch.column("coil_id").to_pylist()
    labels = batch.column("label").to_pylist() if "label" in batch.schema.names else [None] * len(ids)
    column = batch.column("grey")
    keys, kept, grey, rejects = [], [], [], []
    for i, coil_id in enumerate(ids):
        key = None if coil_id is None else CoilKey(plant=plant, coil_id=str(coil_id))
        levels = _levels(column[i])
        named = ("coil_id is empty", "give each coil its id") if key is None else unfit_text(key)
        fault = named or _label_fault(labels[i]) or (levels if isinstance(levels, tuple) else None)
        if key is None or isinstance(levels, tuple) or fault:
            error, remedy = fault or ("", "")
            rejects.append(
                Reject(
                    step="decode",
                    place=f"{name}, row {first_row + i + 1}",
                    key=key,
                    error=error,
                    remedy=remedy,
                    original=ipc_bytes(batch.slice(i, 1)),
                )
            )
            continue
        keys.append(key)
        kept.append(labels[i])
        grey.append(levels)
    matrix = np.array(grey, dtype=np.float32).reshape(len(keys), *MATRIX_SHAPE) / np.float32(127.5) - np.float32(1)
    return MatrixBlock(
        batch=matrix_batch(
            keys=keys,
            revisions=[hashlib.sha256(levels.tobytes()).hexdigest() for levels in grey],
            matrix=matrix,
            spread=np.zeros_like(matrix),
            observed=np.ones(len(keys)),
            scale="self",
            columns={"label": kept},
        ),
        rejects=tuple(rejects),
    )


def _levels(grey: pa.Scalar) -> "np.ndarray[tuple[int], np.dtype[np.uint8]] | tuple[str, str]":
    """A coil's levels [4752], or (error, remedy)."""
    values = grey.values
    size = 0 if values is None else len(values)
    if size != _CELLS:
        what = f"grey holds {size} levels, expected {MATRIX_ROWS} × {MATRIX_COLUMNS}"
        return what, f"write {_CELLS} levels, row after row"
    levels = values.to_numpy(zero_copy_only=False)
    if values.null_count or levels.min() < 0 or levels.max() > 255:
        return "grey holds a level that is no number from 0 to 255", "write levels from 0 to 255"
    return np.asarray(levels, dtype=np.uint8)


def _label_fault(label: object) -> tuple[str, str] | None:
    if label in ("OK", "NOK", None):
        return None
    return f"label is {label!r}, expected OK, NOK or nothing", "correct label"
