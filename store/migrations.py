"""Migrations of the schema `coilflow`, by yoyo under an advisory lock of ours.

yoyo's own lock is a committed row that a killed process leaves behind, and yoyo applies a migration and notes it in two
transactions. Here the lock belongs to the session, and all pending migrations are applied and noted in one transaction.
"""

from importlib.resources import as_file, files
from urllib.parse import quote, urlencode

from yoyo import read_migrations
from yoyo.backends import DatabaseBackend, get_backend_class
from yoyo.connections import parse_uri
from yoyo.migrations import default_migration_table

from schemas.errors import StoreError
from store.connection import Connection, connect, parameters_of, store_errors
from store.queries import query

APPLICATION = "coilflow migrations"


def migrate(dsn: str) -> tuple[str, ...]:
    """Bring a database to the version of this code; waits while another process does so.

    Returns:
        The migrations applied now, in order; empty where there was nothing to do.

    Raises:
        StoreError: the database cannot be reached, is newer than this code, or refused a migration.
    """
    with connect(dsn, application_name=APPLICATION) as connection:
        applied = applied_migrations(connection)
    _refuse_newer(applied)
    return _apply_pending(dsn) if len(applied) < len(known_migrations()) else ()


def known_migrations() -> tuple[str, ...]:
    """Names of the migrations this code ships, in order."""
    with as_file(files("schemas") / "sql" / "migrations") as folder:
        return tuple(sorted(file.stem for file in folder.glob("*.sql")))


def applied_migrations(connection: Connection) -> tuple[str, ...]:
    """Names of the migrations a database has, in order; empty for one that never saw coilflow."""
    with store_errors("read the version of the database"):
        found = connection.execute(query("has_migrations")).fetchone()
        if found is None or not found["present"]:
            return ()
        return tuple(row["migration_id"] for row in connection.execute(query("applied_migrations")))


def check_version(connection: Connection) -> None:
    """Make sure that a database has exactly the tables this code knows.

    Raises:
        StoreError: it is older (apply the migrations) or newer (upgrade coilflow).
    """
    applied = applied_migrations(connection)
    _refuse_newer(applied)
    missing = [name for name in known_migrations() if name not in applied]
    if missing:
        raise StoreError(
            f"the database lacks the migrations {', '.join(missing)}", remedy="apply them with `coilflow doctor --fix`"
        )


def _refuse_newer(applied: tuple[str, ...]) -> None:
    known = known_migrations()
    foreign = [name for name in applied if name not in known]
    if foreign:
        raise StoreError(
            f"the database has the migrations {', '.join(foreign)}, which this coilflow does not know "
            f"(it knows up to {known[-1]})",
            remedy="upgrade coilflow to the version that wrote the database, or give another database",
        )


def _apply_pending(dsn: str) -> tuple[str, ...]:
    with store_errors("apply the migrations"), _backend(dsn) as backend:
        # The lock and the work share a connection, so that one cannot outlive the other.
        backend.connection.execute(query("lock_migrations"))
        backend.connection.execute(query("create_schema"))
        backend.init_database()
        backend.break_lock()  # a row here is a killed migrator's: the advisory lock says nobody else is at work
        backend.ensure_internal_schema_updated()
        with as_file(files("schemas") / "sql" / "migrations") as folder, backend.transaction():
            pending = list(backend.to_apply(read_migrations(str(folder))))
            for migration in pending:
                migration.process_steps(backend, "apply")
                backend.mark_one(migration, log=False)  # its log asks for a login name, which a container may lack
        return tuple(migration.id for migration in pending)


def _backend(dsn: str) -> DatabaseBackend:
    """The psycopg 3 backend of yoyo; every libpq parameter goes through, so that a socket folder works as host."""
    parameters = {**parameters_of(dsn), "application_name": APPLICATION, "schema": "coilflow"}
    uri = parse_uri(f"postgresql+psycopg:///?{urlencode(parameters, quote_via=quote)}")
    return get_backend_class("postgresql+psycopg")(uri, default_migration_table)
