"""The plant's tables in its own PostgreSQL as a source, streamed by COPY in the order of the coils."""

import io
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from flows.sources.csvs import CsvStream, open_csv
from flows.sources.tables import REQUIRED_COILS, REQUIRED_TILES, PlantTables
from schemas.errors import SourceError
from store.connection import Connection, connect
from store.queries import query

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer


@contextmanager
def plant_database(dsn: str, *, default_plant: str) -> Iterator[PlantTables]:
    """Open `"V_Coils"` and `"GR_QPValues"` of a PostgreSQL; the server sorts, nothing is written.

    Raises:
        StoreError: the database cannot be reached.
        SourceError: a table or a column is not there, or may not be read.
    """
    with connect(dsn) as coils, connect(dsn) as tiles:
        for table, required in (("V_Coils", REQUIRED_COILS), ("GR_QPValues", REQUIRED_TILES)):
            if coils.execute(query("plant_table"), {"table": table}).fetchone() is None:
                raise SourceError(
                    f'the database has no table "{table}"',
                    remedy="check the DSN's database and search_path, or give a folder with coils.csv and tiles.csv",
                )
            missing = [column for column in required if not _has_column(coils, table, column)]
            if missing:
                raise SourceError(
                    f'"{table}": column {", ".join(missing)} is missing',
                    remedy=f"give a table or view with the columns {', '.join(required)}, in this case",
                )
        plants = all(_has_column(coils, table, "PLANT") for table in ("V_Coils", "GR_QPValues"))
        name = "plant_tiles_by_plant" if plants else "plant_tiles"
        yield PlantTables(
            coils=lambda: _copied(coils, "plant_coils", name='"V_Coils"', required=REQUIRED_COILS),
            tiles=lambda _: _copied(tiles, name, name='"GR_QPValues"', required=REQUIRED_TILES),
            tiles_bytes=0,
            sorted_by_coil=True,
            default_plant=default_plant,
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
        try:
            with connection.cursor() as cursor, cursor.copy(query(statement)) as copy:
                yield from map(bytes, copy)
        except psycopg.Error as error:
            raise SourceError(
                f"{name} cannot be read ({str(error).strip().splitlines()[0]})",
                remedy="check that the DSN's user may read it and that the server is up, then run it again",
            ) from error

    handle = io.BufferedReader(_CopyReader(rows()), buffer_size=1 << 20)
    return open_csv(handle, name=name, required=required)
