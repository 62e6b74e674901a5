"""What a database holds, counted in it."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.rows import DictRow

from schemas.coils import CoilKey
from store.connection import Connection, store_errors
from store.queries import query


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Numbers of one moment; always `coils == open + decided + dead_lettered`."""

    coils: int
    open: int
    decided: int
    dead_lettered: int  # coils refused and without a verdict
    verdicts: int  # of the champion, superseded ones included
    ok: int
    nok: int
    undecided: int
    superseding: int  # verdicts that replaced an earlier one
    duplicated: int  # standing verdicts beyond the first of a coil: judged twice, neither superseding the other
    dead_letters: int  # pieces of input refused; a coil may have several
    feedback: int
    outbox: int
    unpublished: int

    @classmethod
    def from_row(cls, row: DictRow) -> "Counts":
        """Read the row of query `counts`."""
        return cls(**row)


def counts(connection: Connection) -> Counts:
    """Count coils, verdicts, dead letters, feedback and outbox rows.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("count what is stored"):
        [row] = connection.execute(query("counts")).fetchall()
    return Counts.from_row(row)


def missing_coils(connection: Connection, keys: Sequence[CoilKey]) -> int:
    """How many of these coils have neither a verdict nor a dead letter.

    Raises:
        StoreError: the database refused.
    """
    parameters = {"plants": [key.plant for key in keys], "coil_ids": [key.coil_id for key in keys]}
    with store_errors("look for missing coils"):
        row = connection.execute(query("missing_coils"), parameters).fetchone()
    return int(row["missing"]) if row else 0
