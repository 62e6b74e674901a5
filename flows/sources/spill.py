"""Bring the pieces of each coil together on disk, where a source scatters them."""

import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_PART_BYTES = 32 * 1024 * 1024  # of the source, read into memory at once
_BATCH_BYTES = 8 * 1024 * 1024  # handed on at once
_MAX_PARTS = 512  # open files
_CHECK_RUNS = 65_536  # at least so many new runs between two looks for a key that returns


def parts_for(size_bytes: int) -> int:
    """Number of parts that keeps each small enough for memory."""
    return min(_MAX_PARTS, max(4, size_bytes // _PART_BYTES))


def is_contiguous(keys: Iterable[pa.Array]) -> bool:
    """Whether each key stands in one run only; keeps 8 bytes a key, and stops soon after the first that returns.

    Keys are compared by hash: a collision can only cost a needless sort.
    """
    runs: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
    last: object = None
    unchecked, checked = 0, _CHECK_RUNS
    for column in keys:
        if not len(column):
            continue
        values = pc.run_end_encode(column).values.to_pylist()
        if values[0] == last:
            values = values[1:]
        last = values[-1] if values else last
        runs.append(np.fromiter(map(hash, values), dtype=np.int64, count=len(values)))
        unchecked += len(values)
        if unchecked >= checked:
            runs = [np.concatenate(runs)]
            checked, unchecked = max(checked, len(runs[0])), 0
            if not _distinct(runs[0]):
                return False
    return not runs or _distinct(np.concatenate(runs))


def _distinct(values: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> bool:
    return len(np.unique(values)) == len(values)


def gathered(batches: Iterable[pa.RecordBatch], *, key: str, parts: int) -> Iterator[pa.RecordBatch]:
    """Reorder rows so that equal values of the binary column `key` follow each other; the order within a key is kept.

    Rows are split by a checksum of the key into `parts` temporary files, each then sorted in memory: the same input
    always comes out in the same order.
    """
    with tempfile.TemporaryDirectory(prefix="coilflow-sort-") as folder:
        files = [Path(folder) / f"{part}.arrow" for part in range(parts)]
        if not _scatter(batches, key=key, files=files):
            return
        for file in files:
            with pa.OSFile(str(file)) as handle, pa.ipc.open_stream(handle) as reader:
                table = reader.read_all()
            order = pc.sort_indices(pc.dictionary_encode(table[key].combine_chunks()).indices)
            rows = max(1, _BATCH_BYTES * table.num_rows // max(1, table.nbytes))
            yield from table.take(order).combine_chunks().to_batches(max_chunksize=rows)


def whole_groups(batches: Iterable[pa.RecordBatch], *, key: str, at_most: int) -> Iterator[pa.RecordBatch]:
    """Cut a contiguous stream between groups of equal `key`; of a longer group the first `at_most` rows stay."""
    carry: pa.RecordBatch | None = None
    for batch in batches:
        if not batch.num_rows:
            continue
        block = batch if carry is None else pa.concat_batches([carry, batch])
        ends = pc.run_end_encode(block.column(key)).run_ends
        last_start = ends[-2].as_py() if len(ends) > 1 else 0
        if last_start:
            yield block.slice(0, last_start)
        carry = block.slice(last_start, at_most)
    if carry is not None:
        yield carry


def _scatter(batches: Iterable[pa.RecordBatch], *, key: str, files: list[Path]) -> bool:
    writers: list[pa.ipc.RecordBatchStreamWriter] = []
    try:
        for batch in batches:
            if not writers:
                writers = [pa.ipc.new_stream(str(file), batch.schema) for file in files]
            encoded = pc.dictionary_encode(batch.column(key))
            home = np.array([zlib.crc32(k) % len(files) for k in encoded.dictionary.to_pylist()], dtype=np.int64)
            part = home[encoded.indices.to_numpy()]
            for i in np.unique(part).tolist():
                writers[i].write_batch(batch.filter(pa.array(part == i)))
    finally:
        for writer in writers:
            writer.close()
    return bool(writers)
