"""Scores of models, as they were and as they are."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import orjson
from psycopg.rows import DictRow, args_row

from schemas.scores import UNKNOWN, Cells, Figure, Rates, Score, Slice, SliceKind, Stratum, Subject, Weighted
from schemas.verdicts import Label, Role
from store.connection import Connection, store_errors
from store.queries import query

_RATES = ("agreement", "recall", "false_alarms", "precision")
_DIGITS = 9  # that are kept: the last ones differ by machine, and are no change


class CountedCoil(NamedTuple):
    """A coil that people labelled or were asked to, and the verdict by which it counts; a tuple, as there are many."""

    verdict_id: int
    role: Role
    ensemble_version: str
    is_nok: bool  # false where nobody said
    labelled: bool
    called_nok: bool
    p_nok: float
    undecided: bool
    asked: bool
    probability: float | None
    champion_verdict: Label | None
    plant: str
    zn_min_g_m2: float | None
    zn_max_g_m2: float | None
    material: str | None


class CountedVote(NamedTuple):
    """What one member said for a verdict."""

    model: str
    version: str
    verdict_id: int
    called_nok: bool
    p_nok: float


_Row = TypeVar("_Row", CountedCoil, CountedVote)


@dataclass(frozen=True, kw_only=True, slots=True)
class Assessed:
    """How many coils a version judged in a window, and when the first and last of them."""

    coils: int
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelScore:
    """A score as it is kept."""

    subject: Subject
    slice: Slice
    computed_at: datetime  # end of the window
    window_from: datetime
    assessed: Assessed  # as of the last look; nothing in a slice
    score: Score
    score_id: int | None = None  # in the history

    @classmethod
    def from_row(cls, row: DictRow) -> "ModelScore":
        """Read a row of query `newest_scores` or `score_history`."""
        plain, weighted = row["plain"], row["weighted"]
        return cls(
            subject=Subject(kind=row["kind"], model=row["model"], version=row["version"], role=row["role"]),
            slice=Slice(kind=row["slice_kind"], value=row["slice"]),
            computed_at=row["computed_at"],
            window_from=row["window_from"],
            assessed=Assessed(coils=row["assessed"], first=row["assessed_from"], last=row["assessed_to"]),
            score=Score(
                cells=Cells(*(row[name] for name in Cells._fields)),
                rates=_rates(plain),
                calibration_error=_figure(plain["calibration_error"]),
                undecided=_figure(plain["undecided"]),
                weighted=None if weighted is None else _weighted(weighted),
            ),
            score_id=row.get("score_id"),
        )


def counted_coils(
    connection: Connection, *, after: datetime, until: datetime, heard_after: datetime
) -> tuple[CountedCoil, ...]:
    """Coils decided in a window that people labelled or were asked to, one for each role of their verdicts.

    Args:
        connection: on a database of this version.
        after: the window begins.
        until: it ends.
        heard_after: nothing said before it can be of a coil decided in the window.

    Raises:
        StoreError: the database refused.
    """
    return _many(connection, "counted_coils", CountedCoil, {"after": after, "until": until, "heard_after": heard_after})


def counted_votes(connection: Connection, verdict_ids: Sequence[int]) -> tuple[CountedVote, ...]:
    """What members said for verdicts, by model, version and verdict.

    Raises:
        StoreError: the database refused.
    """
    return _many(connection, "counted_votes", CountedVote, {"verdict_ids": list(verdict_ids)})


def assessed_coils(connection: Connection, *, after: datetime, until: datetime) -> Mapping[Subject, Assessed]:
    """How many coils each version judged in a window; a verdict that another replaced is not counted.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("count what each model judged"):
        rows = connection.execute(query("assessed_coils"), {"after": after, "until": until}).fetchall()
    return {
        Subject(kind=row["kind"], model=row["model"], version=row["version"], role=row["role"]): Assessed(
            coils=row["assessed"], first=row["assessed_from"], last=row["assessed_to"]
        )
        for row in rows
    }


def lock_scores(connection: Connection) -> None:
    """Keep other computations of scores out until this transaction ends; raises StoreError."""
    with store_errors("take turns at scoring"):
        connection.execute(query("lock_scores"))


def latest_scores(connection: Connection) -> tuple[ModelScore, ...]:
    """The newest score of every subject and slice, that of all coils first.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("read the scores"):
        return tuple(ModelScore.from_row(row) for row in connection.execute(query("newest_scores")))


def score_history(
    connection: Connection,
    slice_kind: SliceKind,
    subjects: Collection[Subject],
    *,
    most: int,
    before: tuple[datetime, int] | None = None,
) -> tuple[ModelScore, ...]:
    """Scores as they changed, the newest first, in whichever role.

    Args:
        connection: on a database of this version.
        slice_kind: only of slices of that kind.
        subjects: only of these.
        most: no more.
        before: only older ones than that of this time and number.

    Raises:
        StoreError: the database refused.
    """
    named = [f"{one.model} {one.version}" for one in subjects]
    at, number = before or (None, None)
    values = {"slice_kind": slice_kind, "subjects": named, "most": most, "before_at": at, "before_id": number}
    with store_errors("read how the scores changed"):
        return tuple(ModelScore.from_row(row) for row in connection.execute(query("score_history"), values))


def member_performance(connection: Connection) -> tuple[DictRow, ...]:
    """The rows of view `mperformance`, the pilot's table of model scores: of each member the version that judged last.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("read the members' performance"):
        return tuple(connection.execute(query("member_performance")))


def store_scores(connection: Connection, scores: Sequence[ModelScore]) -> None:
    """Add scores to the history, each the newest of its subject and slice from now on; in one transaction.

    Raises:
        StoreError: the database refused; none is stored then.
    """
    rows = orjson.dumps([_row(one) for one in scores]).decode()
    with store_errors(f"store {len(scores)} scores"), connection.transaction():
        connection.execute(query("retire_scores"), {"rows": rows})
        connection.execute(query("store_scores"), {"rows": rows})


def note_assessed(connection: Connection, scores: Sequence[ModelScore]) -> None:
    """Keep how many coils were judged since, for scores whose figures stand.

    Raises:
        StoreError: the database refused; nothing is kept then.
    """
    with store_errors("note what the models judged"):
        rows = orjson.dumps([_row(one) for one in scores]).decode()
        connection.execute(query("note_assessed"), {"rows": rows})


def prune_scores(connection: Connection, *, before: datetime, rows: int) -> int:
    """Delete a piece of the scores that others had replaced before then; returns how many, raises StoreError."""
    with store_errors("delete old scores"):
        return connection.execute(query("prune_scores"), {"before": before, "rows": rows}).rowcount


def same_figures(a: Score, b: Score) -> bool:
    """Whether two scores say the same, to the digits that are kept."""
    return _figures(a) == _figures(b)


def _many(
    connection: Connection, name: str, record: Callable[..., _Row], values: Mapping[str, Any]
) -> tuple[_Row, ...]:
    with (
        store_errors("read what people said of the models' coils"),
        connection.cursor(row_factory=args_row(record)) as c,
    ):
        return tuple(c.execute(query(name), values))


def _key(subject: Subject, part: Slice) -> dict[str, Any]:
    return {
        "kind": subject.kind,
        "model": subject.model,
        "version": subject.version,
        "role": subject.role,
        "slice_kind": part.kind,
        "slice": part.value,
    }


def _row(one: ModelScore) -> dict[str, Any]:
    return {
        **_key(one.subject, one.slice),
        "computed_at": one.computed_at,
        "window_from": one.window_from,
        "assessed": one.assessed.coils,
        "assessed_from": one.assessed.first,
        "assessed_to": one.assessed.last,
        **_figures(one.score),
    }


def _figures(score: Score) -> dict[str, Any]:
    weighted = score.weighted
    return {
        **{name: int(count) for name, count in score.cells._asdict().items()},
        "plain": {
            **{name: _limits(getattr(score.rates, name)) for name in _RATES},
            "calibration_error": _limits(score.calibration_error),
            "undecided": _limits(score.undecided),
        },
        "weighted": None
        if weighted is None
        else {
            **{name: _limits(getattr(weighted.rates, name)) for name in _RATES},
            "calibration_error": _limits(weighted.calibration_error),
            "coils": weighted.coils,
            "stand_for": round(weighted.stand_for, _DIGITS),
            "represented": round(weighted.represented, _DIGITS),
            "strata": [[s.name, s.asked, s.answered] for s in weighted.strata],
        },
    }


def _limits(figure: Figure) -> list[float] | None:
    if figure.value is None or figure.low is None or figure.high is None:
        return None
    return [round(number, _DIGITS) for number in (figure.value, figure.low, figure.high)]


def _figure(kept: Sequence[float] | None) -> Figure:
    return UNKNOWN if kept is None else Figure(value=kept[0], low=kept[1], high=kept[2])


def _rates(kept: Mapping[str, Any]) -> Rates:
    return Rates(**{name: _figure(kept[name]) for name in _RATES})


def _weighted(kept: Mapping[str, Any]) -> Weighted:
    return Weighted(
        coils=kept["coils"],
        stand_for=kept["stand_for"],
        represented=kept["represented"],
        strata=tuple(Stratum(name=name, asked=asked, answered=answered) for name, asked, answered in kept["strata"]),
        rates=_rates(kept),
        calibration_error=_figure(kept["calibration_error"]),
    )
