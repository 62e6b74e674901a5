"""Promises of the plant's own PostgreSQL as a source: mixed-case names, read only, one sentence for each fault."""

from pathlib import Path

import psycopg
import pytest

from schemas.errors import SourceError, StoreError
from tests.flows.given import coil, fill_plant_database, three, write_tables
from tests.flows.judging import judge


def execute(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_it_gives_the_verdicts_of_the_exported_tables(empty_database: str, tmp_path: Path) -> None:
    got = judge(fill_plant_database(three(), empty_database)).digest()
    assert got == judge(str(write_tables(three(), tmp_path / "line"))).digest()


def test_nothing_is_written_to_it(empty_database: str) -> None:
    judge(fill_plant_database(three(), empty_database))
    with psycopg.connect(empty_database) as connection:
        names = connection.execute("select relname from pg_stat_user_tables order by 1").fetchall()
    assert names == [("GR_QPValues",), ("V_Coils",)]


def test_a_coil_id_in_two_plants_is_two_coils(empty_database: str) -> None:
    here, there = coil("7"), coil("7", level=90.0)
    there.plant = "graz"
    outcome = judge(fill_plant_database([here, there], empty_database))
    assert sorted(c.verdict.key.plant for c in outcome.coils) == ["graz", "linz"]


def test_a_plant_named_in_one_table_alone_does_not_split_a_coil(empty_database: str) -> None:
    here, there = coil("7"), coil("7")
    there.plant, there.listed = "graz", False
    source = fill_plant_database([here, there, coil("8")], empty_database)
    execute(empty_database, 'alter table "V_Coils" drop column "PLANT"')
    assert sorted(judge(source).judged) == ["7", "8"]


def test_ids_padded_by_the_database_are_one_coil(empty_database: str) -> None:
    source = fill_plant_database(three(), empty_database)
    execute(empty_database, 'alter table "V_Coils" alter column "SID" type char(12)')
    assert judge(source).judged == ["1", "2", "3"]


def test_tables_are_found_by_the_search_path_and_views_will_do(empty_database: str) -> None:
    source = fill_plant_database(three(), empty_database)
    execute(
        empty_database,
        "create schema plant",
        'alter table "V_Coils" set schema plant',
        'create view "V_Coils" as select "SID", "PLANT", "ZnMin", "ZnMax" from plant."V_Coils"',
    )
    assert judge(source).judged == ["1", "2", "3"]


def test_a_missing_table_is_an_error_that_names_it(empty_database: str) -> None:
    source = fill_plant_database([], empty_database)
    execute(empty_database, 'alter table "GR_QPValues" rename to gr_qpvalues')
    with pytest.raises(SourceError, match='the database has no table "GR_QPValues"'):
        judge(source)


@pytest.mark.parametrize(("table", "column"), [("V_Coils", "ZnMin"), ("GR_QPValues", "COILID"), ("V_Coils", "SID")])
def test_a_missing_column_is_an_error_that_names_it(empty_database: str, table: str, column: str) -> None:
    source = fill_plant_database(three(), empty_database)
    execute(empty_database, f'alter table "{table}" drop column "{column}"')
    with pytest.raises(SourceError, match=f'"{table}": column {column} is missing'):
        judge(source)


@pytest.mark.parametrize("table", ["V_Coils", "GR_QPValues"])
def test_a_table_that_may_not_be_read_is_an_error_that_names_it(empty_database: str, table: str) -> None:
    source = fill_plant_database(three(), empty_database)
    other = "GR_QPValues" if table == "V_Coils" else "V_Coils"
    execute(
        empty_database,
        "drop role if exists coilflow_test_reader",
        "create role coilflow_test_reader login",
        f'grant select on "{other}" to coilflow_test_reader',
    )
    try:
        with pytest.raises(SourceError, match=f'"{table}" cannot be read .*permission denied'):
            judge(f"{source}&options=-c%20role%3Dcoilflow_test_reader")
    finally:
        execute(empty_database, f'revoke all on "{other}" from coilflow_test_reader', "drop role coilflow_test_reader")


def test_a_server_that_fails_in_mid_table_is_an_error_that_says_why(empty_database: str) -> None:
    source = fill_plant_database(three(), empty_database)
    execute(
        empty_database,
        'alter table "GR_QPValues" rename to readings',
        'create view "GR_QPValues" as'
        " select r.*, 1 / (case when \"COILID\" = '3' then 0 else 1 end) as x from readings r",
    )
    with pytest.raises(SourceError, match=r'"GR_QPValues" cannot be read .*division by zero'):
        judge(source)


def test_a_server_that_is_not_there_is_an_error_without_the_password() -> None:
    with pytest.raises(StoreError) as caught:
        judge("postgresql://plant:geheim@127.0.0.1:1/line")
    assert "plant@127.0.0.1:1/line cannot be reached" in str(caught.value)
    assert "geheim" not in f"{caught.value}{caught.value.remedy}"
