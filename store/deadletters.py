"""Dead letters: what got no verdict, kept with its original bytes."""

import hashlib
import uuid
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import orjson
from psycopg.rows import DictRow

from schemas.coils import CoilKey
from schemas.rejects import LogPlace, Reject
from store.connection import Connection, store_errors
from store.outbox_keys import coil_outbox_key, outbox_key, slot_of
from store.queries import query

_EVENTS = uuid.UUID("5a0c1f0e-5c0e-5f6b-9d0a-6d5e0c011f11")  # namespace of their events' ids


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What became of a batch of rejects: `new + repeated` is its size."""

    new: int
    repeated: int  # the same fault of the same bytes at the same place was kept before

    @classmethod
    def from_row(cls, row: DictRow) -> "Kept":
        """Read the row of query `record_dead_letters`."""
        return cls(new=row["new"], repeated=row["repeated"])


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """A dead letter without its bytes."""

    dead_letter_id: int
    fingerprint: str
    key: CoilKey | None
    whole_coil: bool  # False: one message, that may name a coil
    step: str
    error: str
    remedy: str
    place: str
    topic: str | None  # of Kafka, with partition and offset; None where it came another way
    partition: int | None
    offset: int | None
    state: str  # new, replayed, resolved or discarded
    created_at: datetime
    size_bytes: int
    handled_by: str | None  # who replayed or discarded it last, where that is known
    handled_why: str | None
    handled_at: datetime | None

    @classmethod
    def from_row(cls, row: DictRow) -> "DeadLetter":
        """Read a row of query `list_dead_letters` or `dead_letter`."""
        same = ("dead_letter_id", "fingerprint", "whole_coil", "step", "error", "remedy", "place", "state")
        more = ("created_at", "size_bytes", "handled_by", "handled_why", "handled_at")
        return cls(
            **{name: row[name] for name in same + more},
            key=None if row["coil_id"] is None else CoilKey(plant=row["plant"], coil_id=row["coil_id"]),
            topic=row["kafka_topic"],
            partition=row["kafka_partition"],
            offset=row["kafka_offset"],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class WholeDeadLetter:
    """A dead letter with its bytes."""

    letter: DeadLetter
    original: bytes
    log: LogPlace | None  # with the message's key and headers


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which dead letters are meant; None: any."""

    ids: tuple[int, ...] | None = None
    plant: str | None = None
    coil_id: str | None = None
    step: str | None = None
    state: str | None = None
    topic: str | None = None
    since: datetime | None = None
    before_id: int | None = None  # older than this one


def list_dead_letters(connection: Connection, wanted: Wanted, *, most: int | None = None) -> tuple[DeadLetter, ...]:
    """Dead letters, newest first, `most` of them or all; raises StoreError where the database refuses."""
    parameters = asdict(wanted) | {"ids": None if wanted.ids is None else list(wanted.ids), "most": most}
    with store_errors("list dead letters"):
        return tuple(map(DeadLetter.from_row, connection.execute(query("list_dead_letters"), parameters)))


def dead_letter(connection: Connection, dead_letter_id: int) -> WholeDeadLetter | None:
    """One dead letter, None where there is none of that id; raises StoreError where the database refuses."""
    with store_errors(f"read dead letter {dead_letter_id}"):
        row = connection.execute(query("dead_letter"), {"dead_letter_id": dead_letter_id}).fetchone()
    if row is None:
        return None
    letter = DeadLetter.from_row(row)
    log = None
    if letter.topic is not None and letter.partition is not None and letter.offset is not None:
        headers = tuple((name, b64decode(value)) for name, value in row["headers"])
        log = LogPlace(
            topic=letter.topic,
            partition=letter.partition,
            offset=letter.offset,
            key=row["kafka_key"],
            headers=headers,
        )
    return WholeDeadLetter(letter=letter, original=row["original"], log=log)


def mark_replayed(connection: Connection, dead_letter_id: int) -> None:
    """Note that a dead letter was sent through again; raises StoreError where the database refuses."""
    with store_errors(f"mark dead letter {dead_letter_id}"):
        connection.execute(query("mark_replayed"), {"dead_letter_id": dead_letter_id})


def note_handled(connection: Connection, dead_letter_id: int, *, who: str, why: str | None, now: datetime) -> None:
    """Note who sent a dead letter through again; raises StoreError where the database refuses."""
    parameters = {"dead_letter_id": dead_letter_id, "who": who, "why": why, "now": now}
    with store_errors(f"note who replays dead letter {dead_letter_id}"):
        connection.execute(query("note_handled"), parameters)


def discard(connection: Connection, dead_letter_id: int, *, who: str, why: str, now: datetime) -> bool:
    """Give a dead letter up: nobody is to look at it any more.

    Returns:
        Whether it was new or replayed; else it stays as it is.

    Raises:
        StoreError: the database refused.
    """
    parameters = {"dead_letter_id": dead_letter_id, "who": who, "why": why, "now": now}
    with store_errors(f"discard dead letter {dead_letter_id}"):
        return connection.execute(query("discard_dead_letter"), parameters).rowcount > 0


def record_dead_letters(connection: Connection, rejects: Sequence[Reject], *, announce: bool = False) -> Kept:
    """Keep rejects, in one statement; a second run over the same source repeats nothing.

    A coil that a reject names, and that has no verdict, is then in state `dead_lettered`.

    Args:
        connection: on a database of this version; inside `connection.transaction()` it joins that transaction.
        rejects: as the processors gave them. Signs that PostgreSQL cannot keep (NUL, lone surrogates) are shown
            escaped in the texts; the original bytes stay as they came.
        announce: also send those that came from Kafka to their topic's own dead-letter topic.

    Raises:
        StoreError: the database refused; nothing of the batch is kept then.
    """
    if not rejects:
        return Kept(new=0, repeated=0)
    parameters = {
        "rows": orjson.dumps([dead_letter_row(reject, announce=announce) for reject in rejects]).decode(),
        "originals": [reject.original for reject in rejects],
    }
    with store_errors(f"keep {len(rejects)} dead letters"):
        [stored] = connection.execute(query("record_dead_letters"), parameters).fetchall()
    return Kept.from_row(stored)


def fingerprint(reject: Reject) -> str:
    """SHA-256, hex, over step, coil, place, error and original bytes; each part with its length before it."""
    key = (reject.key.plant, reject.key.coil_id) if reject.key else ("", "")
    digest = hashlib.sha256()
    for text in (reject.step, *key, reject.place, reject.error):
        part = text.encode("utf-8", "surrogatepass")
        digest.update(len(part).to_bytes(8, "big") + part)
    digest.update(reject.original)
    return digest.hexdigest()


def dead_letter_row(reject: Reject, *, announce: bool) -> dict[str, Any]:
    """What `record_dead_letters` and `commit_log` take of a reject, less its original bytes.

    Args:
        reject: as a processor gave it.
        announce: with what its topic's dead-letter topic needs, where it came from Kafka.
    """
    # A coil without an id cannot be one of ours: its reject belongs to no coil.
    key = reject.key if reject.key and reject.key.plant and reject.key.coil_id else None
    row = {
        "fingerprint": fingerprint(reject),
        "plant": _storable(key.plant) if key else None,
        "coil_id": _storable(key.coil_id) if key else None,
        "step": reject.step,
        "error": _storable(reject.error),
        "remedy": _storable(reject.remedy),
        "place": _storable(reject.place),
        "whole_coil": reject.whole_coil,
        **_log_columns(reject),
    }
    return row | _announced(reject, row["fingerprint"]) if announce else row


def _announced(reject: Reject, letter: str) -> dict[str, Any]:
    if reject.log is None:
        return {}
    key = coil_outbox_key(reject.key) if reject.key else outbox_key(reject.log.topic, str(reject.log.partition))
    return {
        "destination": f"kafka:{reject.log.topic}.dead-letter",
        "event_id": str(uuid.uuid5(_EVENTS, letter)),
        "key": key,
        "slot": slot_of(key),
    }


def _log_columns(reject: Reject) -> dict[str, Any]:
    if reject.log is None:
        return {}
    return {
        "kafka_topic": reject.log.topic,
        "kafka_partition": reject.log.partition,
        "kafka_offset": reject.log.offset,
        "kafka_key": None if reject.log.key is None else b64encode(reject.log.key).decode(),
        "headers": [(_storable(name), b64encode(value or b"").decode()) for name, value in reject.log.headers],
    }


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
