"""A file of normalised matrices as a source: Arrow IPC, file or stream form, as `coilflow normalize` writes it."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from flows.sources.source import MatrixBlock
from schemas.errors import SourceError
from schemas.matrices import conform, empty_batch
from schemas.rejects import Reject

_FILE_MAGIC = b"ARROW1\x00\x00"


def read_matrices(path: Path) -> Iterator[MatrixBlock]:
    """Stream the batches of an Arrow IPC file; a file cut short gives the batches before the cut, and a reject.

    Raises:
        SourceError: it is no Arrow IPC file, or its columns are not those of `schemas.matrices.MATRIX_BATCH`.
    """
    with pa.memory_map(str(path)) as handle:
        if handle.read(len(_FILE_MAGIC)) != _FILE_MAGIC:
            handle.seek(0)
        try:
            reader = pa.ipc.open_stream(handle)
        except (pa.ArrowInvalid, OSError) as error:
            raise SourceError(
                f"{path.name} is no Arrow IPC file", remedy="write it with `coilflow normalize SOURCE --out FILE.arrow`"
            ) from error
        count = 0
        while True:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
            except (pa.ArrowInvalid, OSError) as error:
                yield _cut_short(path, count, error)
                return
            count += 1
            yield MatrixBlock(batch=conform(batch, place=f"{path.name}, batch {count}"), rejects=())


def _cut_short(path: Path, count: int, error: Exception) -> MatrixBlock:
    reject = Reject(
        step="decode",
        place=f"{path.name}, batch {count + 1}",
        key=None,
        error=f"the file ends or is damaged after {count} batches ({error})",
        remedy="normalise the source again",
        original=str(path).encode(),
    )
    return MatrixBlock(batch=empty_batch(), rejects=(reject,))
