"""What is in the database while coils go through NiFi."""

from typing import Any

from schemas.coils import CoilKey
from store.connection import Connection

LINZ = CoilKey(plant="linz", coil_id="7")


def outbox(connection: Connection) -> list[dict[str, Any]]:
    """What the relay sends, with the keys of its messages in Kafka as `partitionkey`."""
    rows = connection.execute("select payload, key from coilflow.outbox order by outbox_id")
    return [{**row["payload"], "partitionkey": row["key"]} for row in rows]


def lease_runs_out(connection: Connection) -> None:
    """As if the processor that took coils had been silent for long."""
    connection.execute("update coilflow.inbox_coils set look_at = clock_timestamp()")


def dead_letters(connection: Connection) -> list[dict[str, Any]]:
    """Oldest first."""
    return connection.execute(
        "select coil_id, step, error, place, original, whole_coil, state from coilflow.dead_letters"
        " order by dead_letter_id"
    ).fetchall()
