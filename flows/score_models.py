"""How good each version was over the last days, reckoned again and kept where it changed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby

import numpy as np

from flows.judged_coils import judged_coils
from processors.model_score import JudgedCoils, TextArray, score, slices
from schemas.coils import IntArray
from schemas.scores import ALL, UNKNOWN, Cells, Rates, Score, Slice, SliceKind, Subject
from schemas.settings import Settings
from store.connection import Connection
from store.scores import (
    Assessed,
    CountedCoil,
    CountedVote,
    ModelScore,
    assessed_coils,
    counted_coils,
    counted_votes,
    latest_scores,
    lock_scores,
    note_assessed,
    same_figures,
    store_scores,
)

_NOTHING = Assessed(coils=0, first=None, last=None)
_EMPTY = Score(
    cells=Cells(tp=0, fp=0, fn=0, tn=0),
    rates=Rates(agreement=UNKNOWN, recall=UNKNOWN, false_alarms=UNKNOWN, precision=UNKNOWN),
    calibration_error=UNKNOWN,
    undecided=UNKNOWN,
    weighted=None,
)


def score_models(connection: Connection, settings: Settings, now: datetime) -> tuple[ModelScore, ...]:
    """Score every version and role on the coils decided in the last days, over all and by band, material and plant.

    A coil counts for the versions that gave its verdict, however late its label comes. Nothing is stored for a score
    whose figures stand, so it may be called after every piece of feedback.

    Args:
        connection: on a database of this version.
        settings: the length of the window.
        now: end of the window.

    Returns:
        What was stored: a score for each subject and slice that changed.

    Raises:
        StoreError: the database refused; nothing is stored then.
    """
    with connection.transaction():
        lock_scores(connection)
        return keep_scores(connection, reckon_scores(connection, settings, now))


@dataclass(frozen=True, kw_only=True, slots=True)
class Reckoned:
    """The scores of a window, not stored yet."""

    after: datetime
    now: datetime
    assessed: Mapping[Subject, Assessed]
    found: Mapping[tuple[Subject, Slice], Score]


def reckon_scores(connection: Connection, settings: Settings, now: datetime) -> Reckoned:
    """Reckon what `score_models` stores; this takes long where there are many coils. Raises StoreError."""
    after = now - timedelta(days=settings.score.window_days)
    assessed = assessed_coils(connection, after=after, until=now)
    # Feedback that waits longer for its coil becomes a dead letter.
    heard_after = after - timedelta(days=settings.review.orphan_days)
    coils = counted_coils(connection, after=after, until=now, heard_after=heard_after)
    found = _scores(coils, counted_votes(connection, [coil.verdict_id for coil in coils]))
    return Reckoned(after=after, now=now, assessed=assessed, found=found)


def keep_scores(connection: Connection, reckoned: Reckoned) -> tuple[ModelScore, ...]:
    """Store what changed of the scores, in one transaction; returns that, raises StoreError."""
    found = reckoned.found
    with connection.transaction():
        lock_scores(connection)
        before = {(one.subject, one.slice): one for one in latest_scores(connection)}
        silent = {(subject, ALL) for subject in reckoned.assessed}  # judged coils of which nobody said anything
        changed, standing = [], []
        for subject, part in sorted({*found, *before, *silent}):
            new, old = found.get((subject, part), _EMPTY), before.get((subject, part))
            judged = reckoned.assessed.get(subject, _NOTHING) if part == ALL else _NOTHING
            if old is None or not same_figures(new, old.score):
                changed.append(
                    ModelScore(
                        subject=subject,
                        slice=part,
                        computed_at=reckoned.now,
                        window_from=reckoned.after,
                        assessed=judged,
                        score=new,
                    )
                )
            elif judged != old.assessed:
                standing.append(replace(old, assessed=judged))
        store_scores(connection, changed)
        note_assessed(connection, standing)
    return tuple(changed)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Columns:
    """The counted coils as arrays [N], by rising verdict."""

    verdict_id: IntArray
    role: TextArray
    ensemble_version: TextArray
    coils: JudgedCoils  # as the ensembles saw them
    groups: Mapping[SliceKind, TextArray]


def _scores(coils: Sequence[CountedCoil], votes: Sequence[CountedVote]) -> dict[tuple[Subject, Slice], Score]:
    columns = _columns(coils)
    found: dict[tuple[Subject, Slice], Score] = {}
    for subject, rows, seen in (*_ensembles(columns), *_members(columns, votes)):
        groups = {group: values[rows] for group, values in columns.groups.items()}
        for part, which in slices(groups, len(rows)).items():
            result = score(seen.take(which))
            if part == ALL or result.evaluated:
                # A member never says that it is undecided.
                found[subject, part] = result if subject.kind == "ensemble" else replace(result, undecided=UNKNOWN)
    return found


def _columns(coils: Sequence[CountedCoil]) -> _Columns:
    def texts(values: Iterable[str]) -> TextArray:
        return np.array(list(values), dtype=np.str_)

    return _Columns(
        verdict_id=np.array([coil.verdict_id for coil in coils], dtype=np.int64),
        role=texts(coil.role for coil in coils),
        ensemble_version=texts(coil.ensemble_version for coil in coils),
        coils=judged_coils(coils),
        groups={
            "band": texts(_band(coil) for coil in coils),
            "material": texts(coil.material or "" for coil in coils),
            "plant": texts(coil.plant for coil in coils),
        },
    )


def _band(coil: CountedCoil) -> str:
    if coil.zn_min_g_m2 is None or coil.zn_max_g_m2 is None:
        return ""
    return f"{coil.zn_min_g_m2:g}–{coil.zn_max_g_m2:g}"


def _ensembles(columns: _Columns) -> Iterator[tuple[Subject, IntArray, JudgedCoils]]:
    for role, version in sorted(set(zip(columns.role.tolist(), columns.ensemble_version.tolist(), strict=True))):
        rows = np.flatnonzero((columns.role == role) & (columns.ensemble_version == version))
        yield Subject(kind="ensemble", model="", version=version, role=role), rows, columns.coils.take(rows)


def _members(columns: _Columns, votes: Sequence[CountedVote]) -> Iterator[tuple[Subject, IntArray, JudgedCoils]]:
    for (model, version), group in groupby(votes, key=lambda vote: (vote.model, vote.version)):
        said = list(group)
        rows = np.searchsorted(columns.verdict_id, [vote.verdict_id for vote in said])
        called = np.array([vote.called_nok for vote in said], dtype=np.bool_)
        p_nok = np.array([vote.p_nok for vote in said], dtype=np.float64)
        for role in sorted(set(columns.role[rows].tolist())):
            within = columns.role[rows] == role
            seen = columns.coils.take(rows[within])
            yield (
                Subject(kind="member", model=model, version=version, role=role),
                rows[within],
                replace(seen, called_nok=called[within], p_nok=p_nok[within]),
            )
