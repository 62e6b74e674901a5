"""The database that a short command works on."""

from collections.abc import Iterator
from contextlib import contextmanager

from schemas.settings import Settings
from store.connection import Connection, connect


@contextmanager
def command_database(settings: Settings) -> Iterator[Connection]:
    """Yield a connection to the database of the settings, else to the embedded one, while the block lasts.

    Raises:
        StoreError: it cannot be reached, or is of another version; the embedded one is brought to this version.
    """
    from store import embedded, migrations  # noqa: PLC0415 - an installation with a server of its own needs no other

    if settings.database_dsn is None:
        with embedded.embedded_postgres(settings.data_dir) as dsn:
            migrations.migrate(dsn)
            with connect(dsn) as connection:
                yield connection
        return
    with connect(settings.database_dsn) as connection:
        migrations.check_version(connection)
        yield connection
