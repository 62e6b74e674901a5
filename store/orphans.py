"""Feedback on coils that nobody knows: kept aside as dead letters, until the coil comes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.coils import CoilKey
from schemas.rejects import Reject
from store.connection import Connection, store_errors
from store.deadletters import fingerprint, record_dead_letters
from store.feedback import Feedback
from store.queries import query

_FIELDS = ("source", "event_id", "revision", "label", "defect_kind", "face", "from_m", "to_m", "note", "operator")
_MORE = ("corrects", "settles", "given_at")


@dataclass(frozen=True, kw_only=True, slots=True)
class Orphan:
    """A word on a coil that nobody knows."""

    feedback_id: int
    feedback: Feedback
    received_at: datetime


def orphans(connection: Connection, *, before: datetime, most: int) -> tuple[Orphan, ...]:
    """Words that came before a time, on coils that are not known, and that were not set aside; the oldest first.

    Args:
        connection: on a database of this version.
        before: received at this time or before.
        most: no more.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("look for feedback on unknown coils"):
        return tuple(
            Orphan(
                feedback_id=row["feedback_id"],
                feedback=Feedback(
                    key=CoilKey(plant=row["plant"], coil_id=row["coil_id"]),
                    **{name: row[name] for name in _FIELDS + _MORE},
                ),
                received_at=row["received_at"],
            )
            for row in connection.execute(query("orphans"), {"before": before, "most": most})
        )


def set_aside(connection: Connection, letters: Sequence[tuple[Orphan, Reject]], *, now: datetime) -> None:
    """Make dead letters of orphans, in one transaction: from then on they count for nothing.

    Args:
        connection: on a database of this version.
        letters: each orphan with the dead letter that is made of it.
        now: with a time zone.

    Raises:
        StoreError: the database refused; nothing is stored then.
    """
    with store_errors(f"set {len(letters)} orphans aside"), connection.transaction():
        record_dead_letters(connection, [reject for _, reject in letters])
        parameters = {
            "feedback_ids": [orphan.feedback_id for orphan, _ in letters],
            "fingerprints": [fingerprint(reject) for _, reject in letters],
            "now": now,
        }
        connection.execute(query("note_orphans"), parameters)


def resolve_found_orphans(connection: Connection) -> int:
    """Let words count again whose coil was judged while they were set aside; returns how many letters are resolved.

    A verdict resolves the letters that it finds, so this is for those that were not committed yet at that moment.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("look for coils of orphans"):
        return connection.execute(query("resolve_found_orphans")).rowcount


def is_known_coil(connection: Connection, key: CoilKey) -> bool:
    """Whether anything but feedback came of a coil; raises StoreError where the database refuses."""
    with store_errors(f"look for coil {key.coil_id!r}"):
        row = connection.execute(query("is_known_coil"), key._asdict()).fetchone()
    return bool(row and row["known"])


def other_plants_of(connection: Connection, key: CoilKey) -> tuple[str, ...]:
    """Other plants that have a coil of this id; raises StoreError where the database refuses."""
    with store_errors(f"look for coil {key.coil_id!r}"):
        return tuple(row["plant"] for row in connection.execute(query("other_plants_of"), key._asdict()))


def is_known_word(connection: Connection, plant: str, event_id: str) -> bool:
    """Whether any feedback of a plant came under an id; raises StoreError where the database refuses."""
    with store_errors(f"look for feedback {event_id!r}"):
        row = connection.execute(query("is_known_word"), {"plant": plant, "event_id": event_id}).fetchone()
    return bool(row and row["known"])
