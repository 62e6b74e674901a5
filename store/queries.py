"""The store's statements, from `schemas/sql/queries`, as the driver wants them."""

from psycopg import sql

from schemas.sql import load_statements


def query(name: str) -> sql.SQL:
    """The statement of that name, ready to execute."""
    # The text is ours, shipped with the code: as safe as a literal.
    return sql.SQL(load_statements("queries")[name])
