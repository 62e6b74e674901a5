"""A file of normalised matrices as a source: Arrow IPC, file or stream form, as `coilflow normalize` writes it."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from flows.sources.matrix_faults import matrix_faults
from flows.sources.source import MatrixBlock
from schemas.errors import SourceError
from schemas.matrices import conform, empty_batch, tensor_values
from schemas.readings import ipc_bytes
from schemas.rejects import Reject

_FILE_MAGIC = b"ARROW1\x00\x00"
_BATCH_COILS = 256
_MAX_ORIGINAL_BYTES = 16 * 1024 * 1024  # of a damaged batch that a reject keeps
_REMEDY = "normalise the source again"
_SCALES = ("limits", "self")


def read_matrices(path: Path, *, plant: str) -> Iterator[MatrixBlock]:
    """Stream the batches of an Arrow IPC file; a damaged batch, and what a file cut short lost, is one reject.

    Args:
        path: the file.
        plant: plant of the coils where the file names none.

    Raises:
        SourceError: it is no Arrow IPC file, or its columns are not those of `schemas.matrices.MATRIX_BATCH`.
    """
    with pa.memory_map(str(path)) as handle:
        is_file = handle.read(len(_FILE_MAGIC)) == _FILE_MAGIC
        if not is_file:
            handle.seek(0)
        try:
            reader = pa.ipc.open_stream(handle)
        except (pa.ArrowInvalid, OSError) as error:
            raise SourceError(
                f"{path.name} is no Arrow IPC file", remedy="write it with `coilflow normalize SOURCE --out FILE.arrow`"
            ) from error
        _check_columns(reader.schema, path.name)
        for number, batch in enumerate(_batches(handle, reader, path.name, is_file=is_file), start=1):
            if isinstance(batch, Reject):
                yield MatrixBlock(batch=empty_batch(), rejects=(batch,))
                continue
            for start in range(0, batch.num_rows, _BATCH_COILS):
                yield from _blocks(batch.slice(start, _BATCH_COILS), f"{path.name}, batch {number}", start, plant)


def _check_columns(schema: pa.Schema, name: str) -> None:
    try:
        conform(pa.RecordBatch.from_pylist([], schema=schema), place=name)
    except pa.ArrowException as error:
        raise SourceError(
            f"{name}: a column is of another type ({error})", remedy="give the columns as `coilflow normalize` does"
        ) from error


def _batches(
    handle: pa.MemoryMappedFile, reader: pa.RecordBatchReader, name: str, *, is_file: bool
) -> Iterator[pa.RecordBatch | Reject]:
    """Batches in order; where the stream breaks, the file's footer leads to those behind the break."""
    number = 1
    while True:
        start = handle.tell()
        try:
            batch = reader.read_next_batch()
            batch.validate(full=True)
        except StopIteration:
            break
        except (pa.ArrowInvalid, OSError) as error:
            yield _damaged(handle, name, number, start, error)
            yield from _behind(handle, name, number)
            return
        yield batch
        number += 1
    if is_file and _footer(handle) is None:
        yield _damaged(handle, name, number, start, EOFError("the footer is missing"))


def _behind(handle: pa.MemoryMappedFile, name: str, damaged: int) -> Iterator[pa.RecordBatch | Reject]:
    footer = _footer(handle)
    if footer is None:
        return
    for index in range(damaged, footer.num_record_batches):
        try:
            batch = footer.get_batch(index)
            batch.validate(full=True)
        except (pa.ArrowInvalid, OSError) as error:
            yield _damaged(handle, name, index + 1, handle.size(), error)
        else:
            yield batch


def _footer(handle: pa.MemoryMappedFile) -> pa.RecordBatchFileReader | None:
    try:
        return pa.ipc.open_file(handle)
    except (pa.ArrowInvalid, OSError):
        return None


def _damaged(handle: pa.MemoryMappedFile, name: str, number: int, start: int, error: Exception) -> Reject:
    size = min(_MAX_ORIGINAL_BYTES, handle.size() - start)
    return Reject(
        step="decode",
        place=f"{name}, batch {number}",
        key=None,
        error=f"the file ends or is damaged there ({' '.join(str(error).split())})",
        remedy=_REMEDY,
        original=handle.read_at(size, start) if size else b"",
    )


def _blocks(batch: pa.RecordBatch, place: str, first_row: int, plant: str) -> Iterator[MatrixBlock]:
    """The sound coils of a batch, one block a scale; the others are rejects."""
    faults = matrix_faults(batch, plant)
    rejects = tuple(
        Reject(
            step="decode",
            place=f"{place}, row {first_row + i + 1}",
            key=key,
            error=error,
            remedy=remedy,
            original=ipc_bytes(batch.slice(i, 1)),
        )
        for i, (key, error, remedy) in faults.items()
    )
    yield MatrixBlock(batch=empty_batch(), rejects=rejects)
    scales = batch.column("scale").to_pylist()
    for scale in _SCALES:
        which = [i for i, s in enumerate(scales) if s == scale and i not in faults]
        if which:
            mine = batch if len(which) == batch.num_rows else batch.take(pa.array(which))
            yield MatrixBlock(batch=conform(_named(mine, plant), place=place), rejects=())


def _named(batch: pa.RecordBatch, plant: str) -> pa.RecordBatch:
    """Fill in the plant, and as revision the SHA-256 of the matrix, where the file has none."""
    matrix = tensor_values(batch)
    defaults: tuple[tuple[str, Callable[[int], str]], ...] = (
        ("plant", lambda _: plant),
        ("revision", lambda i: hashlib.sha256(matrix[i].tobytes()).hexdigest()),
    )
    for name, default in defaults:
        at = batch.schema.get_field_index(name)
        given = batch.column(at).to_pylist() if at >= 0 else [None] * batch.num_rows
        if all(given):
            continue
        values = pa.array([str(value or default(i)) for i, value in enumerate(given)])
        batch = batch.set_column(at, name, values) if at >= 0 else batch.append_column(name, values)
    return batch
