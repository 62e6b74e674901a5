"""Stream a CSV table as binary columns, so that one bad cell or row cannot end the stream."""

import io
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as pc_csv

from schemas.errors import SourceError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

_BLOCK_BYTES = 1024 * 1024  # parsed at once; the reader keeps up to 32 blocks ahead
_BATCH_BYTES = 8 * 1024 * 1024  # handed on at once


@dataclass(frozen=True, kw_only=True, slots=True)
class BadRow:
    """A row that does not fit the table, or the end of what can be read of it."""

    line: int | None  # in the file, from 1
    text: bytes
    fault: str


@dataclass(kw_only=True, slots=True)
class CsvStream:
    """One pass over a CSV table: batches of binary columns, and the rows that did not fit; close it when done."""

    name: str
    handle: IO[bytes]
    delimiter: str
    width: int  # columns of the table
    columns: list[str]  # those that are read
    batches: Iterator[pa.RecordBatch] = field(default_factory=lambda: iter(()))
    bad_rows: list[BadRow] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def close(self) -> None:
        """Close the file below."""
        self.handle.close()

    def add_bad_row(self, row: BadRow) -> None:
        """Keep a row that did not fit; the reader calls it from a thread of its own."""
        with self._lock:
            self.bad_rows.append(row)

    def take_bad_rows(self) -> list[BadRow]:
        """The rows that did not fit since the last call."""
        with self._lock:
            taken, self.bad_rows = self.bad_rows, []
        return taken


def open_csv(
    handle: IO[bytes],
    *,
    name: str,
    required: Sequence[str],
    only: Sequence[str] | None = None,
    theirs: Mapping[str, str] | None = None,
) -> CsvStream:
    """Open a CSV table with a header row.

    Args:
        handle: bytes of the table.
        name: what to call it to the user.
        required: columns that must be there.
        only: columns to read, where present; None: all.
        theirs: our name of a column -> the table's, where it differs.

    Raises:
        SourceError: the table is empty, has no header, or lacks a required column.
    """
    try:
        header = handle.readline()
        delimiter = _delimiter(header)
        columns = _columns(header, delimiter, name=name, required=required, theirs=theirs or {})
    except BaseException:
        handle.close()
        raise
    wanted = [c for c in columns if only is None or c in only]
    stream = CsvStream(name=name, handle=handle, delimiter=delimiter, width=len(columns), columns=wanted)

    def keep_bad_row(row: pc_csv.InvalidRow) -> str:
        fault = f"the row has {row.actual_columns} columns, expected {row.expected_columns}"
        # Rows are counted from the one after the header.
        stream.add_bad_row(BadRow(line=row.number and row.number + 1, text=row.text.encode(), fault=fault))
        return "skip"

    options = {
        "read_options": pc_csv.ReadOptions(column_names=columns, block_size=_BLOCK_BYTES, use_threads=False),
        "parse_options": pc_csv.ParseOptions(delimiter=delimiter, invalid_row_handler=keep_bad_row),
        "convert_options": pc_csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.binary()), include_columns=wanted, strings_can_be_null=False
        ),
    }
    stream.batches = _batches(stream, options)
    return stream


def _batches(stream: CsvStream, options: dict[str, object]) -> Iterator[pa.RecordBatch]:
    try:
        text = io.BufferedReader(_FittingLines(stream), buffer_size=_BLOCK_BYTES)
        with pc_csv.open_csv(pa.PythonFile(text, mode="r"), **options) as reader:
            yield from _joined(reader)
    except pa.ArrowInvalid as error:
        if "Empty CSV" not in str(error):
            stream.add_bad_row(BadRow(line=None, text=b"", fault=f"the table cannot be read to its end ({error})"))


class _FittingLines(io.RawIOBase):
    """The lines of a table, less those that pyarrow cannot even report: no UTF-8 and of the wrong number of columns."""

    def __init__(self, stream: CsvStream) -> None:
        self._stream = stream
        self._rest = memoryview(b"")
        self._line = 2  # of the file

    def readable(self) -> bool:
        """It can only be read."""
        return True

    def readinto(self, buffer: "Buffer", /) -> int:
        """Fill `buffer` from the next lines; 0 at the end."""
        while not self._rest:
            lines = self._stream.handle.read(_BLOCK_BYTES) + self._stream.handle.readline()
            if not lines:
                return 0
            self._rest = memoryview(lines if _is_utf8(lines) else b"".join(self._fitting(lines)))
            self._line += lines.count(b"\n")
        view = memoryview(buffer)
        size = min(len(view), len(self._rest))
        view[:size], self._rest = self._rest[:size], self._rest[size:]
        return size

    def _fitting(self, lines: bytes) -> Iterator[bytes]:
        stream = self._stream
        for number, line in enumerate(lines.splitlines(keepends=True), start=self._line):
            cells = 1 + line.count(stream.delimiter.encode())
            if cells == stream.width or _is_utf8(line):
                yield line
                continue
            fault = f"the row has {cells} columns, expected {stream.width}, and is no UTF-8 text"
            stream.add_bad_row(BadRow(line=number, text=line.rstrip(b"\r\n"), fault=fault))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _joined(blocks: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Larger batches, also where reading ends in an error."""
    waiting: list[pa.RecordBatch] = []
    try:
        for block in blocks:
            waiting.append(block)
            if sum(b.nbytes for b in waiting) >= _BATCH_BYTES:
                yield pa.concat_batches(waiting)
                waiting = []
    except pa.ArrowInvalid:
        if waiting:
            yield pa.concat_batches(waiting)
        raise
    if waiting:
        yield pa.concat_batches(waiting)


def _delimiter(header: bytes) -> str:
    return ";" if header.count(b";") > header.count(b",") else ","


def _columns(
    header: bytes, delimiter: str, *, name: str, required: Sequence[str], theirs: Mapping[str, str]
) -> list[str]:
    if header.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in header:
        raise SourceError(f"{name} is no UTF-8 text, it looks like UTF-16", remedy="export it as UTF-8")
    text = header.decode("utf-8-sig", errors="replace").strip()
    if not text:
        raise SourceError(f"{name} is empty", remedy="export the table with its header row")
    columns = [c.strip().strip('"') for c in text.split(delimiter)]
    twice = sorted({c for c in columns if columns.count(c) > 1})
    if twice:
        raise SourceError(f"{name} has the column {', '.join(twice)} twice", remedy="export each column once")
    wanted = [theirs.get(c, c) for c in required]
    missing = [c for c in wanted if c not in columns]
    if missing:
        raise SourceError(
            f"{name}: column {', '.join(missing)} is missing, found {', '.join(columns[:20])}",
            remedy=f"export it with the columns {', '.join(wanted)}",
        )
    return renamed_columns(columns, theirs)


def renamed_columns(columns: Sequence[str], theirs: Mapping[str, str]) -> list[str]:
    """Columns of a table under our names; one that has our name and is not meant steps aside."""
    ours = {name: our for our, name in theirs.items()}
    meant = {our for our, name in theirs.items() if name in columns}
    return [ours.get(c, f"{c} (the plant's)" if c in meant else c) for c in columns]
