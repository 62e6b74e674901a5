"""The table of coils as an index on disk, so that memory does not grow with the number of coils."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from flows.sources.columns import csv_text
from flows.sources.csvs import CsvStream
from schemas.sql import load_statements


@dataclass(frozen=True, kw_only=True, slots=True)
class CoilRow:
    """One row of the table of coils: its line in the file, and its cells as text."""

    line: int
    cells: Mapping[str, str]
    original: Callable[[], bytes]  # header and row as CSV
    conflicting: bool  # another row of the same coil says something else
    readable: bool  # false where a cell is not UTF-8


class CoilIndex:
    """Coils by key in a temporary SQLite database that disappears with the process."""

    def __init__(self, stream: CsvStream, *, key_columns: tuple[str, ...]) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._columns = stream.columns
        self._delimiter = stream.delimiter
        self._db.execute(_sql("create_coil"))
        self._db.execute("begin")
        self._db.executemany(_sql("add_coil"), _rows(stream, key_columns))
        self._db.execute("commit")

    def close(self) -> None:
        """Drop the temporary database."""
        self._db.close()

    def find(self, keys: Iterable[bytes]) -> dict[bytes, CoilRow]:
        """Rows of those coils that are listed; they count as seen."""
        found = {}
        for key in keys:
            row = self._db.execute(_sql("take_coil"), (key,)).fetchone()
            if row is not None:
                found[key] = self._row(*row)
        return found

    def unseen(self) -> Iterator[tuple[bytes, CoilRow]]:
        """Coils that no `find` asked for, in the order of the table."""
        for key, *row in self._db.execute(_sql("unseen_coils")):
            yield key, self._row(*row)

    def _row(self, line: int, cells: bytes, conflicting: int) -> CoilRow:
        values = cells.split(b"\x1f")
        try:
            text = {name: value.decode().strip() for name, value in zip(self._columns, values, strict=True)}
            readable = True
        except UnicodeDecodeError:
            text, readable = {}, False
        except ValueError:  # a cell that holds the separator
            text, readable, values = {}, False, [cells]
        return CoilRow(
            line=line,
            cells=text,
            original=partial(csv_text, [name.encode() for name in self._columns], [values], self._delimiter),
            conflicting=bool(conflicting),
            readable=readable,
        )


def _sql(name: str) -> str:
    return load_statements("sqlite")[name]


def _rows(stream: CsvStream, key_columns: tuple[str, ...]) -> Iterator[tuple[bytes, int, bytes]]:
    line = 1
    for batch in stream.batches:
        columns = [batch.column(name).to_pylist() for name in stream.columns]
        keys = zip(*(batch.column(name).to_pylist() for name in key_columns), strict=True)
        for key, cells in zip(keys, zip(*columns, strict=True), strict=True):
            line += 1
            yield b"\x1f".join(part.strip() for part in key), line, b"\x1f".join(cells)
