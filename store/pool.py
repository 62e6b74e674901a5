"""A pool of connections for a service that serves several callers at once."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from schemas.errors import StoreUnavailableError
from store.connection import ALIVE, CONNECT_TIMEOUT_S, Connection, describe, parameters_of
from store.waits import limit_waits

Pool = ConnectionPool[psycopg.Connection[DictRow]]

_WAITING_PER_CONNECTION = 8  # callers in the queue; more are turned away at once


@contextmanager
def connection_pool(dsn: str, *, size: int, wait_s: float, application_name: str) -> Iterator[Pool]:
    """Keep up to `size` connections while the block lasts; it begins also where the server is down.

    Args:
        dsn: libpq URL or `key=value` string.
        size: most connections at once.
        wait_s: how long a caller waits for one.
        application_name: shown in `pg_stat_activity`.

    Raises:
        StoreError: the DSN cannot be read.
    """
    defaults = {"application_name": application_name, "connect_timeout": str(CONNECT_TIMEOUT_S), **ALIVE}
    pool: Pool = ConnectionPool(
        make_conninfo("", **{**defaults, **parameters_of(dsn)}),
        kwargs={"autocommit": True, "row_factory": dict_row},
        min_size=1,
        max_size=size,
        max_waiting=size * _WAITING_PER_CONNECTION,
        timeout=wait_s,
        configure=limit_waits,
        check=ConnectionPool.check_connection,
        name=f"{application_name} to {describe(dsn)}",
        open=False,
    )
    pool.open()
    try:
        yield pool
    finally:
        pool.close()


@contextmanager
def borrowed(pool: Pool) -> Iterator[Connection]:
    """A connection of the pool while the block lasts.

    Raises:
        StoreUnavailableError: none became free in time, or the server cannot be reached.
    """
    try:
        connection = pool.getconn()
    except (PoolTimeout, TooManyRequests, PoolClosed) as error:
        raise StoreUnavailableError(
            "the database has no connection to spare, or cannot be reached", remedy="nothing was stored; send it again"
        ) from error
    try:
        yield connection
    finally:
        pool.putconn(connection)
