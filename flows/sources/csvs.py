"""Stream a CSV table as binary columns, so that one bad cell or row cannot end the stream."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

import pyarrow as pa
import pyarrow.csv as pc_csv

from schemas.errors import SourceError

_BLOCK_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class BadRow:
    """A row with the wrong number of columns."""

    line: int | None
    text: str
    found: int
    expected: int


@dataclass(kw_only=True, slots=True)
class CsvStream:
    """One pass over a CSV table: batches of binary columns, and the rows that did not fit."""

    name: str
    columns: list[str]
    batches: Iterator[pa.RecordBatch]
    bad_rows: list[BadRow] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take_bad_rows(self) -> list[BadRow]:
        """The rows that did not fit since the last call."""
        with self._lock:
            taken, self.bad_rows = self.bad_rows, []
        return taken


def open_csv(handle: IO[bytes], *, name: str, required: Sequence[str], only: Sequence[str] | None = None) -> CsvStream:
    """Open a CSV table with a header row.

    Args:
        handle: bytes of the table.
        name: what to call it to the user.
        required: columns that must be there.
        only: columns to read, where present; None: all.

    Raises:
        SourceError: the table is empty, has no header, or lacks a required column.
    """
    stream = CsvStream(name=name, columns=[], batches=iter(()))

    def keep_bad_row(row: pc_csv.InvalidRow) -> str:
        with stream._lock:
            stream.bad_rows.append(
                BadRow(line=row.number, text=row.text, found=row.actual_columns, expected=row.expected_columns)
            )
        return "skip"

    header = handle.readline()
    columns = _columns(header, name=name, required=required)
    wanted = [c for c in columns if only is None or c in only]
    options = {
        "read_options": pc_csv.ReadOptions(column_names=columns, block_size=_BLOCK_BYTES, use_threads=False),
        "parse_options": pc_csv.ParseOptions(delimiter=_delimiter(header), invalid_row_handler=keep_bad_row),
        "convert_options": pc_csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.binary()), include_columns=wanted, strings_can_be_null=False
        ),
    }
    stream.columns = wanted
    stream.batches = _batches(handle, options, name=name)
    return stream


def _batches(handle: IO[bytes], options: dict[str, object], *, name: str) -> Iterator[pa.RecordBatch]:
    try:
        with pc_csv.open_csv(pa.PythonFile(handle, mode="r"), **options) as reader:
            yield from reader
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return
        raise SourceError(f"{name} is no readable CSV table ({error})", remedy="export it again") from error


def _delimiter(header: bytes) -> str:
    return ";" if header.count(b";") > header.count(b",") else ","


def _columns(header: bytes, *, name: str, required: Sequence[str]) -> list[str]:
    text = header.decode("utf-8-sig", errors="replace").strip()
    if not text:
        raise SourceError(f"{name} is empty", remedy="export the table with its header row")
    columns = [c.strip().strip('"') for c in text.split(_delimiter(header))]
    missing = [c for c in required if c not in columns]
    if missing:
        raise SourceError(
            f"{name}: column {', '.join(missing)} is missing, found {', '.join(columns[:20])}",
            remedy=f"export it with the columns {', '.join(required)}",
        )
    return columns
