"""The plant's tables in its own PostgreSQL as a source, streamed by COPY in the order of the coils."""

import io
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import psycopg
from psycopg import IsolationLevel, sql

from flows.sources.csvs import CsvStream, open_csv
from flows.sources.tables import REQUIRED_COILS, REQUIRED_TILES, PlantTables
from schemas.errors import SourceError
from schemas.mapping import OUR_NAMES, PlantMapping
from store.connection import Connection, connect
from store.queries import query
from store.waits import limit_waits

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer


@contextmanager
def plant_database(
    dsn: str, *, default_plant: str, mapping: PlantMapping = OUR_NAMES, coil_id: str | None = None
) -> Iterator[PlantTables]:
    """Open `"V_Coils"` and `"GR_QPValues"` of a PostgreSQL, as of one moment; the server sorts, nothing is written.

    Args:
        dsn: of the plant's database.
        default_plant: plant of coils whose tables name none.
        mapping: how the plant names tables and columns.
        coil_id: of the only coil to read; a plant's table of all its lines may know several of that id. None: all.

    Raises:
        StoreError: the database cannot be reached.
        SourceError: a table or a column is not there, or may not be read.
    """
    columns = mapping.columns
    with connect(dsn) as coils, connect(dsn) as tiles:
        with _source_errors("the database"):
            if coil_id is not None:  # somebody waits for it
                limit_waits(coils)
                limit_waits(tiles)
            _share_snapshot(coils, tiles)
            for table, required, names in (
                (mapping.tables.coils, REQUIRED_COILS, columns.coils),
                (mapping.tables.tiles, REQUIRED_TILES, columns.tiles),
            ):
                _refuse_missing(coils, table, tuple(names.get(c, c) for c in required))
            plants = _has_column(coils, mapping.tables.coils, columns.coils.get("PLANT", "PLANT")) and _has_column(
                coils, mapping.tables.tiles, columns.tiles.get("PLANT", "PLANT")
            )
        if coil_id is None:
            listed, name = "plant_coils", "plant_tiles_by_plant" if plants else "plant_tiles"
        else:
            listed, name = "plant_coil", "plant_coil_tiles_by_plant" if plants else "plant_coil_tiles"
        yield PlantTables(
            coils=lambda: _copied(coils, listed, mapping.tables.coils, REQUIRED_COILS, columns.coils, coil_id),
            tiles=lambda _: _copied(tiles, name, mapping.tables.tiles, REQUIRED_TILES, columns.tiles, coil_id),
            tiles_bytes=0,
            sorted_by_coil=True,
            default_plant=default_plant,
            gauge=mapping.layout(),
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


def _copied(
    connection: Connection,
    statement: str,
    table: str,
    required: tuple[str, ...],
    theirs: Mapping[str, str],
    coil_id: str | None,
) -> CsvStream:
    name = f'"{table}"'
    named = {ours: theirs.get(ours, ours) for ours in (*required, "PLANT")} | {"coils": table, "tiles": table}
    names = {ours: sql.Identifier(name) for ours, name in named.items()}
    text = query(statement).format(**names, coil_id=sql.Literal(coil_id))

    def rows() -> Generator[bytes]:
        with _source_errors(name), connection.cursor() as cursor, cursor.copy(text) as copy:
            yield from map(bytes, copy)

    handle = io.BufferedReader(_CopyReader(rows()), buffer_size=1 << 20)
    return open_csv(handle, name=name, required=required, theirs=theirs)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlantFeedback:
    """A row of the plant's table `feedback`."""

    label: str | None
    note: str | None
    ts: datetime | None


def plant_feedback(dsn: str, coil_id: str) -> tuple[PlantFeedback, ...]:
    """What operators wrote of a coil into the plant's table `feedback`, oldest first.

    Raises:
        StoreError: the database cannot be reached.
        SourceError: the table cannot be read.
    """
    with connect(dsn) as connection, _source_errors("the plant's table feedback"):
        limit_waits(connection)
        rows = connection.execute(query("plant_feedback").format(coil_id=sql.Literal(coil_id))).fetchall()
    return tuple(PlantFeedback(**row) for row in rows)


@contextmanager
def _source_errors(name: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise SourceError(
            f"{name} cannot be read ({str(error).strip().splitlines()[0]})",
            remedy="check that the DSN's user may read it and that the server is up, then run it again",
        ) from error
