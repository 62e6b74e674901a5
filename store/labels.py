"""What all that was said of a coil comes to: its label or that it is disputed, and who is to look at what."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from psycopg.rows import DictRow

from schemas.coils import CoilKey, Truth
from store.connection import Connection, store_errors
from store.queries import query


@dataclass(frozen=True, kw_only=True, slots=True)
class CoilLabel:
    """What the voices on a coil agree on; a voice is an operator, else the source of the event."""

    key: CoilKey
    label: Truth | None  # None while disputed
    disputed: bool
    voices: int
    settled: bool  # a settling word holds; with `disputed`, another voice has differed since
    defect_kind: str | None
    revision: str | None  # that the newest word names; None: the standing verdict is meant
    first_received_at: datetime  # of what still counts
    received_at: datetime  # of the last word that stands

    @classmethod
    def from_row(cls, row: DictRow) -> "CoilLabel":
        """Read a row of query `label_of` or `list_labels`."""
        same = ("label", "disputed", "voices", "settled", "defect_kind", "revision", "first_received_at", "received_at")
        return cls(key=_key(row), **{name: row[name] for name in same})


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """The newest word of one voice on a coil."""

    key: CoilKey
    voice: str
    label: Truth
    defect_kind: str | None
    note: str | None
    settles: bool
    event_id: str
    given_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedWord:
    """What one voice said first of a coil of which others spoke too."""

    key: CoilKey
    voice: str
    label: Truth


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A coil that a person is asked to look at."""

    why: str  # review, disputed or second
    key: CoilKey
    revision: str | None  # None: its coil has no verdict yet
    reasons: tuple[str, ...]  # as `code: detail`
    decided_at: datetime | None


class QueuePlace(NamedTuple):
    """Where in the review queue a coil stands: its sort key."""

    why: str | None
    decided_at: datetime | None
    plant: str | None
    coil_id: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledOnce:
    """A coil that one voice labelled, and the revision that stands."""

    key: CoilKey
    revision: str


def label_of(connection: Connection, key: CoilKey) -> CoilLabel | None:
    """The label of a coil, None where nothing valid was said of it; raises StoreError where the database refuses."""
    with store_errors(f"read the label of coil {key.coil_id!r}"):
        row = connection.execute(query("label_of"), key._asdict()).fetchone()
    return None if row is None else CoilLabel.from_row(row)


def list_labels(
    connection: Connection,
    *,
    plant: str | None = None,
    since: datetime | None = None,
    disputed: bool | None = None,
    most: int | None = None,
) -> tuple[CoilLabel, ...]:
    """Labels of coils, those heard of last first.

    Args:
        connection: on a database of this version.
        plant: only of this one.
        since: only where a word came since then.
        disputed: only those that are, or that are not.
        most: no more.

    Raises:
        StoreError: the database refused.
    """
    parameters = {"plant": plant, "since": since, "disputed": disputed, "most": most}
    with store_errors("list labels"):
        return tuple(map(CoilLabel.from_row, connection.execute(query("list_labels"), parameters)))


def words_of(connection: Connection, keys: Sequence[CoilKey]) -> tuple[Word, ...]:
    """What stands of coils, voice by voice in the order in which it was said; raises StoreError."""
    same = ("voice", "label", "defect_kind", "note", "settles", "event_id", "given_at")
    with store_errors(f"read the feedback on {len(keys)} coils"):
        rows = connection.execute(query("words_of"), _columns(keys))
        return tuple(Word(key=_key(row), **{name: row[name] for name in same}) for row in rows)


def shared_words(
    connection: Connection, *, plant: str | None = None, since: datetime | None = None, blind: bool = False
) -> tuple[SharedWord, ...]:
    """What voices said first of coils of which more than one spoke; who yields later did not agree.

    A word that was taken back by a correction, and a settling one, are none.

    Args:
        connection: on a database of this version.
        plant: only of this one.
        since: only words that came since then.
        blind: only of coils that were drawn for a second look, and only words said before their voice could know of
            another's.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("read what voices share"):
        rows = connection.execute(query("shared_words"), {"plant": plant, "since": since, "blind": blind})
        return tuple(SharedWord(key=_key(row), voice=row["voice"], label=row["label"]) for row in rows)


def review_queue(
    connection: Connection,
    *,
    plant: str | None = None,
    since: datetime | None = None,
    operator: str | None = None,
    why: str | None = None,
    after: QueuePlace | None = None,
    most: int | None = None,
) -> tuple[Asked, ...]:
    """Coils that a person is asked to look at, disputes first, then by age; never what anybody said of them.

    Args:
        connection: on a database of this version.
        plant: only of this one.
        since: only those decided since then.
        operator: without those of which this voice has spoken already.
        why: only those that are there for it.
        after: only those behind this place.
        most: no more.

    Raises:
        StoreError: the database refused.
    """
    place = after or QueuePlace(None, None, None, None)
    parameters = {
        "plant": plant,
        "since": since,
        "operator": operator,
        "why": why,
        "after_why": place.why,
        "after_at": place.decided_at,
        "after_plant": place.plant,
        "after_coil": place.coil_id,
        "most": most,
    }
    with store_errors("read the review queue"):
        rows = connection.execute(query("review_queue"), parameters)
        return tuple(
            Asked(
                why=row["why"],
                key=_key(row),
                revision=row["revision"],
                reasons=tuple(row["reasons"]),
                decided_at=row["decided_at"],
            )
            for row in rows
        )


def labelled_by_one(connection: Connection, *, since: datetime, now: datetime) -> tuple[LabelledOnce, ...]:
    """Judged coils that one voice labelled between two times and that are not drawn yet; raises StoreError."""
    with store_errors("read which coils one person labelled"):
        rows = connection.execute(query("labelled_by_one"), {"since": since, "now": now})
        return tuple(LabelledOnce(key=_key(row), revision=row["revision"]) for row in rows)


def store_second_reviews(
    connection: Connection, drawn: Sequence[LabelledOnce], *, probability: float, drawn_at: datetime
) -> int:
    """Note coils that were drawn for a second look; one drawn before stays as it is.

    Args:
        connection: on a database of this version.
        drawn: the coils.
        probability: with which each was drawn, above 0.
        drawn_at: with a time zone.

    Returns:
        How many are new.

    Raises:
        StoreError: the database refused.
    """
    if not drawn:
        return 0
    parameters = _columns([one.key for one in drawn]) | {
        "revisions": [one.revision for one in drawn],
        "probability": probability,
        "drawn_at": drawn_at,
    }
    with store_errors(f"draw {len(drawn)} second reviews"):
        return connection.execute(query("store_second_reviews"), parameters).rowcount


def _columns(keys: Sequence[CoilKey]) -> dict[str, object]:
    return {"plants": [key.plant for key in keys], "coil_ids": [key.coil_id for key in keys]}


def _key(row: DictRow) -> CoilKey:
    return CoilKey(plant=row["plant"], coil_id=row["coil_id"])
