"""A database that cannot be used gives one sentence, with a remedy and without a password."""

import traceback

import pytest
from psycopg.conninfo import make_conninfo

from schemas.errors import StoreError
from store.connection import connect, describe
from store.databases import create_database
from store.migrations import migrate

SECRET = "s3cr3t-word"  # noqa: S105 - that is what must not show


def refused(dsn: str) -> StoreError:
    with pytest.raises(StoreError) as caught, connect(dsn):
        pass
    return caught.value


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://ada:{SECRET}@127.0.0.1:1/plant",
        f"host=127.0.0.1 port=1 user=ada password={SECRET} dbname=plant",
        f"postgresql://ada@127.0.0.1:1/plant?password={SECRET}",
        f"postgresql://ada:{SECRET}@/plant?host=/nowhere",
    ],
)
def test_an_unreachable_server_is_named_without_its_password(dsn: str) -> None:
    error = refused(dsn)
    assert "cannot be reached" in str(error)
    assert "/plant" in str(error)
    assert "\n" not in str(error) + error.remedy
    assert SECRET not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://ada:{SECRET}%zz@host/plant",
        f"ada:{SECRET}",
        f"hots=x password={SECRET}",
        f"postgresql://ada:at@{SECRET}@host:5432/plant",
        f"postgresql://ada:slash/{SECRET}@host/plant",
    ],
)
def test_a_dsn_that_cannot_be_read_is_not_repeated(dsn: str) -> None:
    error = refused(dsn)
    assert str(error) == "the database DSN cannot be read"
    assert SECRET not in "".join(traceback.format_exception(error))


def test_migrating_an_unreachable_server_says_the_same() -> None:
    with pytest.raises(StoreError, match=r"ada@127\.0\.0\.1:1/plant cannot be reached"):
        migrate(f"postgresql://ada:{SECRET}@127.0.0.1:1/plant")


def test_a_database_that_is_not_there_is_named(postgres_server: str) -> None:
    error = refused(make_conninfo(postgres_server, dbname="not_there"))
    assert "/not_there cannot be reached" in str(error)
    assert '"not_there" does not exist' in str(error)


def test_a_database_is_created_once(empty_database: str) -> None:
    with connect(empty_database) as connection:
        name = connection.info.dbname
    with pytest.raises(StoreError, match="already exists"):
        create_database(empty_database, name)


def test_a_connection_says_who_it_is(empty_database: str) -> None:
    with connect(empty_database) as connection:
        assert connection.execute("select current_setting('application_name') as name").fetchone() == {
            "name": "coilflow"
        }
    assert connection.closed


def test_describe_leaves_secrets_out() -> None:
    assert describe(f"postgresql://ada:{SECRET}@db:5433/plant") == "ada@db:5433/plant"
