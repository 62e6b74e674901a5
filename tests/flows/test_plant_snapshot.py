"""The plant's two tables are read as of one moment, whatever the plant writes meanwhile."""

from dataclasses import replace

import psycopg
import pytest

from flows.sources.csvs import CsvStream
from flows.sources.plant_database import plant_database
from flows.sources.tables import PlantTables, read_tables
from schemas.errors import SourceError
from tests.flows.given import coil, coil_cells, fill_plant_database, three, tile_cells


def add_coil(dsn: str, coil_id: str) -> None:
    """What the plant does when a coil ends."""
    given = coil(coil_id)
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(
            'insert into "V_Coils" ("SID", "PLANT", "ZnMin", "ZnMax")'
            " values (%(SID)s, %(PLANT)s, %(ZnMin)s, %(ZnMax)s)",
            coil_cells(given),
        )
        cursor.executemany(
            'insert into "GR_QPValues" ("COILID", "TILEID", "MID", "PLANT", "MEAN")'
            " values (%(COILID)s, %(TILEID)s, %(MID)s, %(PLANT)s, %(MEAN)s)",
            tile_cells(given),
        )


def outcome(tables: PlantTables) -> tuple[list[str], list[str]]:
    """Ids of the coils that came, and the faults of those that were refused."""
    blocks = list(read_tables(tables))
    faults = [reject.error for block in blocks for reject in block.rejects]
    return [header.key.coil_id for block in blocks for header in block.coils.headers], faults


def test_a_coil_written_after_opening_is_left_for_the_next_run(empty_database: str) -> None:
    source = fill_plant_database(three(), empty_database)
    with plant_database(source, default_plant="linz") as tables:
        add_coil(empty_database, "4")
        assert outcome(tables) == (["1", "2", "3"], [])
    with plant_database(source, default_plant="linz") as tables:
        assert outcome(tables) == (["1", "2", "3", "4"], [])


def test_a_coil_written_between_the_two_tables_is_no_reject(empty_database: str) -> None:
    with plant_database(fill_plant_database(three(), empty_database), default_plant="linz") as tables:

        def late(columns: tuple[str, ...] | None) -> CsvStream:
            add_coil(empty_database, "0")
            return tables.tiles(columns)

        assert outcome(replace(tables, tiles=late)) == (["1", "2", "3"], [])


def test_nothing_can_be_written_through_it(empty_database: str) -> None:
    source = fill_plant_database(three(), empty_database)
    with psycopg.connect(empty_database) as connection:
        connection.execute('alter table "V_Coils" rename to coils')
        connection.execute("create sequence read")
        connection.execute("create view \"V_Coils\" as select *, nextval('read') as n from coils")
    with (
        pytest.raises(SourceError, match=r'"V_Coils" cannot be read .*read-only transaction'),
        plant_database(source, default_plant="linz") as tables,
    ):
        outcome(tables)
