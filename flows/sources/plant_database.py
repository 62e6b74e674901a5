"""The plant's tables in its own PostgreSQL as a source, streamed by COPY in the order of the coils."""

import io
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg import IsolationLevel, sql

from flows.sources.csvs import CsvStream, open_csv
from flows.sources.tables import REQUIRED_COILS, REQUIRED_TILES, PlantTables
from schemas.errors import SourceError
from store.connection import Connection, connect
from store.queries import query

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer


@contextmanager
def plant_database(dsn: str, *, default_plant: str) -> Iterator[PlantTables]:
    """Open `"V_Coils"` and `"GR_QPValues"` of a PostgreSQL, as of one moment; the server sorts, nothing is written.

    Raises:
        StoreError: the database cannot be reached.
        SourceError: a table or a column is not there, or may not be read.
    """
    with connect(dsn) as coils, connect(dsn) as tiles:
        with _source_errors("the database"):
            _share_snapshot(coils, tiles)
            _refuse_missing(coils, "V_Coils", REQUIRED_COILS)
            _refuse_missing(coils, "GR_QPValues", REQUIRED_TILES)
            plants = all(_has_column(coils, table, "PLANT") for table in ("V_Coils", "GR_QPValues"))
        name = "plant_tiles_by_plant" if plants else "plant_tiles"
        yield PlantTables(
            coils=lambda: _copied(coils, "plant_coils", name='"V_Coils"', required=REQUIRED_COILS),
            tiles=lambda _: _copied(tiles, name, name='"GR_QPValues"', required=REQUIRED_TILES),
            tiles_bytes=0,
            sorted_by_coil=True,
            default_plant=default_plant,
        )


def _share_snapshot(first: Connection, second: Connection) -> None:
    """Begin a read-only transaction on each, which both see the database as it is now, until they are closed."""
    for connection in (first, second):
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.autocommit = False
    [exported] = first.execute(query("export_snapshot")).fetchall()
    second.execute(query("import_snapshot").format(snapshot=sql.Literal(exported["snapshot"])))


def _refuse_missing(connection: Connection, table: str, required: tuple[str, ...]) -> None:
    if connection.execute(query("plant_table"), {"table": table}).fetchone() is None:
        raise SourceError(
            f'the database has no table "{table}"',
            remedy="check the DSN's database and search_path, or give a folder with coils.csv and tiles.csv",
        )
    missing = [column for column in required if not _has_column(connection, table, column)]
    if missing:
        raise SourceError(
            f'"{table}": column {", ".join(missing)} is missing',
            remedy=f"give a table or view with the columns {', '.join(required)}, in this case",
        )


def _has_column(connection: Connection, table: str, column: str) -> bool:
    return connection.execute(query("plant_column"), {"table": table, "column": column}).fetchone() is not None


class _CopyReader(io.RawIOBase):
    """The rows of a COPY as a readable file."""

    def __init__(self, rows: Generator[bytes]) -> None:
        self._rows = rows
        self._rest = b""

    def readable(self) -> bool:
        """It can only be read."""
        return True

    def close(self) -> None:
        """End the COPY."""
        self._rows.close()
        super().close()

    def readinto(self, buffer: "Buffer", /) -> int:
        """Fill `buffer` from the next rows; 0 at the end."""
        if not self._rest:
            self._rest = next(self._rows, b"")
        view = memoryview(buffer)
        size = min(len(view), len(self._rest))
        view[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def _copied(connection: Connection, statement: str, *, name: str, required: tuple[str, ...]) -> CsvStream:
    def rows() -> Generator[bytes]:
        with _source_errors(name), connection.cursor() as cursor, cursor.copy(query(statement)) as copy:
            yield from map(bytes, copy)

    handle = io.BufferedReader(_CopyReader(rows()), buffer_size=1 << 20)
    return open_csv(handle, name=name, required=required)


@contextmanager
def _source_errors(name: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise SourceError(
            f"{name} cannot be read ({str(error).strip().splitlines()[0]})",
            remedy="check that the DSN's user may read it and that the server is up, then run it again",
        ) from error
