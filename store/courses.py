"""How scores, drift and feedback went on over a time, thinned to what a chart can show; and what became of all."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.coils import Truth
from schemas.scores import Subject
from store.connection import Connection, store_errors
from store.drift import DriftCheck
from store.queries import query
from store.scores import ModelScore


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """Coils of a plant; always `seen == decided + open + dead_lettered`."""

    plant: str
    seen: int
    decided: int
    open: int
    dead_lettered: int  # refused, and without a verdict
    oldest_open_at: datetime | None  # when the coil that is open for longest was seen first

    @property
    def balanced(self) -> bool:
        """Whether every coil is accounted for."""
        return self.seen == self.decided + self.open + self.dead_lettered


def score_course(
    connection: Connection, subjects: Collection[Subject], *, after: datetime, until: datetime, points: int
) -> tuple[ModelScore, ...]:
    """Scores over all coils as they went on, by subject, the first one first; the first may be older than `after`.

    Args:
        connection: on a database of this version.
        subjects: versions, in whichever role.
        after: the time begins; what held then is told as of then.
        until: it ends.
        points: of each subject, no more than that and one.

    Raises:
        StoreError: the database refused.
    """
    values = {"subjects": [f"{one.model} {one.version}" for one in subjects], **_parts(after, until, points)}
    with store_errors("read how the scores went on"):
        return tuple(ModelScore.from_row(row) for row in connection.execute(query("score_course"), values))


def drift_course(
    connection: Connection, *, plant: str | None, after: datetime, until: datetime, points: int
) -> tuple[DriftCheck, ...]:
    """Drift checks as they went on, by plant, the first one first; raises StoreError.

    Args:
        connection: on a database of this version.
        plant: of this one; None: of all.
        after: the time begins.
        until: it ends.
        points: of each plant, no more.
    """
    values = {"plant": plant, **_parts(after, until, points)}
    with store_errors("read how the coils drifted"):
        return tuple(DriftCheck.from_row(row) for row in connection.execute(query("drift_course"), values))


def feedback_course(
    connection: Connection, begins: Sequence[datetime], *, until: datetime, plant: str | None = None
) -> tuple[dict[Truth, int], ...]:
    """How many words of each label came in each part of a time; raises StoreError.

    Args:
        connection: on a database of this version.
        begins: when each part begins, ascending.
        until: the last one ends.
        plant: on coils of this one; None: of all.
    """
    counts: tuple[dict[Truth, int], ...] = tuple({} for _ in begins)
    values = {"begins": list(begins), "until": until, "plant": plant}
    with store_errors("count what people said"):
        for row in connection.execute(query("feedback_course"), values):
            counts[row["part"] - 1][row["label"]] = row["words"]
    return counts


def last_word(connection: Connection) -> datetime | None:
    """When somebody said something last; raises StoreError."""
    with store_errors("look for the last word"):
        [row] = connection.execute(query("last_word")).fetchall()
    found: datetime | None = row["at"]
    return found


def coil_balance(connection: Connection) -> tuple[Balance, ...]:
    """Coils by plant and what became of them; raises StoreError."""
    with store_errors("count the coils"):
        return tuple(Balance(**row) for row in connection.execute(query("coil_balance")))


def known_plants(connection: Connection) -> tuple[str, ...]:
    """Plants whose coils were seen; raises StoreError."""
    with store_errors("list the plants"):
        return tuple(row["plant"] for row in connection.execute(query("known_plants")))


@dataclass(frozen=True, kw_only=True, slots=True)
class StepLetters:
    """Dead letters that a step left, by what became of them."""

    step: str
    state: str
    letters: int
    last_at: datetime


def dead_letter_steps(connection: Connection) -> tuple[StepLetters, ...]:
    """How many dead letters there are, by step and state; raises StoreError."""
    with store_errors("count the dead letters"):
        return tuple(StepLetters(**row) for row in connection.execute(query("dead_letter_steps")))


def _parts(after: datetime, until: datetime, points: int) -> dict[str, Any]:
    return {"after": after, "until": until, "points": points}
