"""What a demonstration came to, read from its database: scores over time, what happened when, and what was lost."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from flows.demo import HOST_NAME
from models.share_intervals import wilson_interval
from schemas.coils import BoolArray, CoilKey, IntArray, Truth
from schemas.scores import ALL, Figure
from store.coils import Counts, counts, missing_coils
from store.connection import Connection
from store.registered import ensembles, model_changes
from store.scores import latest_scores
from store.swaps import answers
from store.training import Scope, outcomes_of_ensemble, retrainings

_NOT_PROVED = ("waiting", "rejected", "failed", "killed")  # how an attempt at a successor ends that comes to nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Labelled coils in the order in which they were decided, arrays [N]."""

    number: IntArray  # of the coil among all that were decided, from 1
    is_nok: BoolArray
    called_nok: BoolArray
    version: tuple[str, ...]  # of the ensemble

    def part(self, chosen: BoolArray) -> "Judged":
        """Those coils alone."""
        return Judged(
            number=self.number[chosen],
            is_nok=self.is_nok[chosen],
            called_nok=self.called_nok[chosen],
            version=tuple(version for version, taken in zip(self.version, chosen, strict=True) if taken),
        )

    def agreement(self) -> Figure:
        """Share of coils that were called what they are."""
        return _share(self.called_nok == self.is_nok)

    def recall(self) -> Figure:
        """Share of NOK coils that were called so."""
        return _share(self.called_nok[self.is_nok])

    def false_alarms(self) -> Figure:
        """Share of OK coils that were called NOK."""
        return _share(self.called_nok[~self.is_nok])


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """Something that happened after so many coils."""

    what: str  # drifted, decided, not_proved, shadowed, promoted or rolled_back
    coils: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """Counted in the database."""

    counts: Counts
    lost: int  # coils of the simulator that the database knows neither a verdict nor a dead letter of
    judged: Judged
    marks: tuple[Mark, ...]  # by time
    retrained: tuple[str, ...]  # members of successors that came to serve, name@version
    swaps: int  # that the host answered, of a champion after the first

    @property
    def periods(self) -> tuple[tuple[str, Judged], ...]:
        """Who judged when, for people, with the coils of it that have a label."""
        judged = self.judged
        first = judged.version[0] if judged.version else ""
        old = np.array([version == first for version in judged.version], dtype=np.bool_)
        drifted = next((mark.coils for mark in self.marks if mark.what == "drifted"), len(old) + self.counts.coils)
        late = judged.number > drifted
        parts = (
            ("the first models, before the drift", judged.part(old & ~late)),
            ("the first models, after it", judged.part(old & late)),
            ("the successor", judged.part(~old)),
        )
        return tuple((name, part) for name, part in parts if len(part.number))


def figures(
    connection: Connection, made: Mapping[CoilKey, Truth | None], *, drifted_at: datetime | None, until: datetime
) -> Figures:
    """Count what a demonstration left.

    Args:
        connection: to its database.
        made: the coils of the simulator.
        drifted_at: when the line began to drift, None: never.
        until: the line's time.

    Raises:
        StoreError: the database refused.
    """
    known = ensembles(connection)
    first, later = known[0].version, {one.version: one for one in known[1:]}
    decided = []
    for one in known:
        found = outcomes_of_ensemble(connection, [one.version], Scope(plant=""), until=until)
        decided += [(coil.decided_at, coil.verdict_id, coil, one.version) for coil in found]
    decided.sort(key=lambda each: each[:2])
    times = [at for at, *_ in decided]
    labelled = [(place, coil, version) for place, (_, _, coil, version) in enumerate(decided, start=1) if coil.labelled]
    changes = [one for one in model_changes(connection) if one.change in ("shadowed", "promoted", "rolled_back")]
    attempts = retrainings(connection)
    acted = [("decided", one.started_at) for one in attempts]
    failed = [("not_proved", one.ended_at) for one in attempts if one.state in _NOT_PROVED and one.ended_at is not None]
    drifted = [] if drifted_at is None else [("drifted", drifted_at)]
    happened = [
        *drifted,
        *acted,
        *failed,
        *((str(one.change), one.at) for one in changes if one.ensemble_version != first),
    ]
    promoted = {one.ensemble_version for one in changes if one.change == "promoted"}
    parents = set(known[0].members)
    return Figures(
        counts=counts(connection),
        lost=missing_coils(connection, list(made)),
        judged=Judged(
            number=np.array([place for place, *_ in labelled], dtype=np.int64),
            is_nok=np.array([coil.is_nok for _, coil, _ in labelled], dtype=np.bool_),
            called_nok=np.array([coil.called_nok for _, coil, _ in labelled], dtype=np.bool_),
            version=tuple(version for *_, version in labelled),
        ),
        marks=tuple(
            Mark(what=what, coils=bisect_right(times, at)) for what, at in sorted(happened, key=lambda each: each[1])
        ),
        retrained=tuple(
            f"{member.model}@{member.version}"
            for version, successor in later.items()
            if version in promoted
            for member in successor.members
            if member not in parents
        ),
        swaps=sum(
            (one.worker, one.role, one.outcome) == (HOST_NAME, "champion", "swapped") and one.ensemble_version != first
            for one in answers(connection)
        ),
    )


def latest_score(connection: Connection, version: str) -> str:
    """The newest score of a serving ensemble, in words; raises StoreError."""
    for one in latest_scores(connection):
        subject = one.subject
        if subject.kind == "ensemble" and subject.role == "champion" and one.slice == ALL:
            if subject.version.partition("+")[0] != version:
                continue
            rates = one.score.rates
            return (
                f"{version}: agreement {said(rates.agreement)}, recall {said(rates.recall)}, "
                f"false alarms {said(rates.false_alarms)}, on {one.score.evaluated} coils"
            )
    return f"{version} has no score yet"


def said(figure: Figure) -> str:
    """A share with its interval, for people."""
    if figure.value is None or figure.low is None or figure.high is None:
        return "unknown"
    return f"{figure.value:.0%} ({figure.low:.0%}–{figure.high:.0%})"


def _share(right: BoolArray) -> Figure:
    size = len(right)
    if not size:
        return Figure(value=None, low=None, high=None)
    good = int(np.sum(right))
    low, high = wilson_interval(good, size)
    return Figure(value=good / size, low=low, high=high)
