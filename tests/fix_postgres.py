"""A real PostgreSQL for tests: `COILFLOW_TEST_POSTGRES` where set, else the embedded one; a fresh database a test."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from schemas.errors import StoreError
from store.connection import Connection, connect, parameters_of
from store.databases import create_database, drop_database
from store.embedded import embedded_postgres
from store.migrations import migrate

VARIABLE = "COILFLOW_TEST_POSTGRES"


def pytest_report_header() -> str:
    """Say which PostgreSQL the tests run on."""
    dsn = os.environ.get(VARIABLE)
    if dsn is None:
        return f"postgresql: embedded ({VARIABLE} is not set)"
    try:
        with connect(dsn) as connection:
            return f"postgresql: {connection.info.parameter_status('server_version')} by {VARIABLE}"
    except StoreError as error:
        return f"postgresql: {error}"


@contextmanager
def _embedded() -> Iterator[str]:
    # Not pytest's own folder: as root its closed parent would send the files to the system's place.
    folder = Path(tempfile.mkdtemp(prefix="coilflow-test-"))
    try:
        with embedded_postgres(folder) as dsn:
            with connect(dsn) as connection:  # nothing here outlives the run: do not wait for the disk
                connection.execute("alter system set fsync = off")
                connection.execute("select pg_reload_conf()")
            yield dsn
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """DSN of a server on which databases may be created; without one, the test is skipped."""
    dsn = os.environ.get(VARIABLE)
    if dsn is not None:
        yield dsn
        return
    with ExitStack() as stack:
        try:
            dsn = stack.enter_context(_embedded())
        except StoreError as error:
            pytest.skip(f"{error}; {error.remedy}")
        yield dsn


@pytest.fixture
def empty_database(postgres_server: str) -> Iterator[str]:
    """DSN of a database without tables."""
    name = f"coilflow_test_{uuid.uuid4().hex[:12]}"
    dsn = create_database(postgres_server, name)
    try:
        yield dsn
    finally:
        drop_database(postgres_server, name)


@pytest.fixture(scope="session")
def migrated(postgres_server: str) -> Iterator[str]:
    """Name of a database with coilflow's tables, to be copied: the migrations take seconds, a copy a tenth of one."""
    name = f"coilflow_test_{uuid.uuid4().hex[:12]}"
    migrate(create_database(postgres_server, name))
    try:
        yield name
    finally:
        drop_database(postgres_server, name)


@pytest.fixture
def database(postgres_server: str, migrated: str) -> Iterator[str]:
    """DSN of a database with coilflow's tables, empty."""
    name = f"coilflow_test_{uuid.uuid4().hex[:12]}"
    with connect(postgres_server) as server:
        copy = sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(migrated))
        server.execute(copy)
    try:
        yield make_conninfo("", **{**parameters_of(postgres_server), "dbname": name})
    finally:
        drop_database(postgres_server, name)


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    """A connection to a database with coilflow's tables."""
    with connect(database) as opened:
        yield opened
