"""Cells of a binary CSV column as numbers, and back to text."""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.coils import FloatArray, IntArray


def numbers(column: pa.Array) -> tuple[FloatArray, dict[int, str]]:
    """Parse a binary column [N] as float64.

    Returns:
        Values, NaN where a cell is empty or no number, and index -> text of the cells that are no number.
    """
    try:
        values: FloatArray = column.cast(pa.string()).cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return _one_by_one(column)
    return values, {}


def _one_by_one(column: pa.Array) -> tuple[FloatArray, dict[int, str]]:
    values = np.full(len(column), np.nan)
    wrong: dict[int, str] = {}
    for i, cell in enumerate(column.to_pylist()):
        text = cell.strip()
        if not text:
            continue
        try:
            values[i] = float(text.replace(b"_", b"?"))  # Python alone reads 1_000 as a number
        except ValueError:
            wrong[i] = text.decode(errors="backslashreplace")
    return values, wrong


def csv_text(names: Sequence[bytes], rows: Iterable[Sequence[bytes]], delimiter: str) -> bytes:
    """A CSV table of cells as they came, quoted where they must be."""
    mark = delimiter.encode()

    def cell(value: bytes) -> bytes:
        bare = not any(sign in value for sign in (mark, b'"', b"\n", b"\r"))
        return value if bare else b'"' + value.replace(b'"', b'""') + b'"'

    return b"".join(mark.join(map(cell, row)) + b"\n" for row in (names, *rows))


def grouped(column: pa.Array) -> tuple[list[bytes], IntArray]:
    """Distinct values in order of appearance, and for each cell the index of its value."""
    encoded = pc.dictionary_encode(column)
    indices: IntArray = encoded.indices.to_numpy().astype(np.int64)
    return encoded.dictionary.to_pylist(), indices
