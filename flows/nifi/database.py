"""The database of a processor: connections for as many threads as NiFi gives it."""

from collections.abc import Iterator
from contextlib import contextmanager

from schemas.settings import Settings
from store.connection import connect
from store.embedded import embedded_postgres
from store.migrations import check_version, migrate
from store.pool import Pool, connection_pool

_CONNECTIONS = 8  # concurrent tasks of one processor; more wait
_WAIT_S = 5.0


@contextmanager
def database_of(settings: Settings) -> Iterator[str]:
    """DSN of the settings' database, else of the embedded one, while the block lasts.

    Raises:
        StoreUnavailableError: the server cannot be reached.
        StoreError: it is of another version; the embedded one is brought to this version.
    """
    if settings.database_dsn is None:
        with embedded_postgres(settings.data_dir) as dsn:
            migrate(dsn)
            yield dsn
        return
    with connect(settings.database_dsn) as connection:
        check_version(connection)
    yield settings.database_dsn


@contextmanager
def pool_of(settings: Settings, *, step: str) -> Iterator[Pool]:
    """Connect to that database while the block lasts; errors as of `database_of`.

    Args:
        settings: with its DSN or the data folder.
        step: name of the step, shown in `pg_stat_activity`.
    """
    with (
        database_of(settings) as dsn,
        connection_pool(dsn, size=_CONNECTIONS, wait_s=_WAIT_S, application_name=f"coilflow nifi {step}") as pool,
    ):
        yield pool
