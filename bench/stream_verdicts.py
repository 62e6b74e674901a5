"""What a bench reads from the database: how many verdicts, which, and when each was committed."""

from collections import Counter
from dataclasses import dataclass

from psycopg.rows import DictRow

from store.connection import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """When a coil's verdict was committed, by the server's clock, which is this machine's."""

    coil_id: str
    committed_s: float
    partition: int | None  # of the log; None where a peer stored it

    @classmethod
    def from_row(cls, row: DictRow) -> "Commit":
        """Read a row of `commits`."""
        return cls(**row)


def verdicts(connection: Connection) -> int:
    """How many verdicts there are."""
    row = connection.execute("select count(*) as verdicts from coilflow.verdicts").fetchone()
    return int(row["verdicts"]) if row else 0


def commits(connection: Connection) -> list[Commit]:
    """Every verdict's commit, the first one first; needs `track_commit_timestamp`."""
    rows = connection.execute("""
        select v.coil_id, extract(epoch from pg_xact_commit_timestamp(v.xmin))::float8 as committed_s,
               r.kafka_partition as partition
        from coilflow.verdicts as v
        join coilflow.readings as r using (plant, coil_id, revision)
        order by committed_s
    """).fetchall()
    return [Commit.from_row(row) for row in rows]


def stored(connection: Connection) -> dict[tuple[str, str], tuple[str, str]]:
    """Coil to the revision of its readings and its label."""
    rows = connection.execute("select plant, coil_id, revision, label from coilflow.verdicts").fetchall()
    return {(row["plant"], row["coil_id"]): (row["revision"], row["label"]) for row in rows}


def owned(connection: Connection, topic: str) -> dict[int, str]:
    """Partition of a topic to the name of its owner."""
    rows = connection.execute("select partition, owner from coilflow.positions where topic = %s", (topic,)).fetchall()
    return {row["partition"]: row["owner"] for row in rows}


def owners(connection: Connection, topic: str) -> Counter[str]:
    """Owner of partitions of a topic to how many it has."""
    return Counter(owned(connection, topic).values())


def rows(connection: Connection) -> dict[str, int]:
    """Rows of the tables that every side writes."""
    row = connection.execute("""
        select (select count(*) from coilflow.coils) as coils,
               (select count(*) from coilflow.readings) as readings,
               (select count(*) from coilflow.verdicts) as verdicts,
               (select count(*) from coilflow.outbox) as outbox,
               (select count(*) from coilflow.dead_letters) as dead_letters
    """).fetchone()
    return dict(row or {})
