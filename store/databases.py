"""Databases on a server: made fresh for a demonstration or a test, and dropped again."""

from psycopg import sql
from psycopg.conninfo import make_conninfo

from store.connection import Connection, connect, parameters_of, store_errors
from store.queries import query


def create_database(dsn: str, name: str) -> str:
    """Create an empty database on the server of `dsn`; returns the DSN of the new one.

    Raises:
        StoreError: the server cannot be reached, the name is taken or the user may not create databases.
    """
    with connect(dsn) as connection, store_errors(f"make the database {name}"):
        connection.execute(query("create_database").format(name=sql.Identifier(name)))
    return make_conninfo("", **{**parameters_of(dsn), "dbname": name})


def drop_database(dsn: str, name: str) -> None:
    """Drop a database of the server of `dsn` where it exists, ending the connections to it.

    Raises:
        StoreError: the server cannot be reached or the user may not drop it.
    """
    with connect(dsn) as connection, store_errors(f"remove the database {name}"):
        connection.execute(query("drop_database").format(name=sql.Identifier(name)))


def refresh_statistics(connection: Connection) -> None:
    """Let the planner know what a database holds that filled within seconds, minutes before autovacuum tells it.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("refresh the planner's statistics"):
        connection.execute(query("refresh_statistics"))
