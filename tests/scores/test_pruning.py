"""Whatever is pruned of scores and drift checks, what stood at any moment since then can still be told."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from flows.score_models import score_models
from schemas.scores import ALL, Slice, Subject
from store.connection import Connection
from store.drift import DriftCheck, prune_drift_checks, store_drift_check
from store.scores import latest_scores, prune_scores, store_scores
from tests.scores.given import NOON, decide, decided, say, settings

HOUR = timedelta(hours=1)
MOMENTS = 40
SCORES = """
    select score_id as id, kind || model || version || role || slice_kind || slice as what, computed_at as at
    from coilflow.model_scores order by score_id
"""
CHECKS = "select check_id as id, plant as what, checked_at as at from coilflow.drift_checks order by check_id"


def rows(connection: Connection, statement: str) -> list[tuple[int, str, datetime]]:
    return [(row["id"], row["what"], row["at"]) for row in connection.execute(statement)]


def stood(history: list[tuple[int, str, datetime]], at: datetime) -> dict[str, int]:
    return {what: row_id for row_id, what, since in history if since <= at}


def prune_all(prune: Callable[..., int], connection: Connection, before: datetime) -> int:
    pruned = 0
    while piece := prune(connection, before=before, rows=3):
        pruned += piece
    return pruned


def tells_as_before(connection: Connection, statement: str, prune: Callable[..., int], before: datetime) -> None:
    whole = rows(connection, statement)
    pruned = prune_all(prune, connection, before)
    left = rows(connection, statement)
    assert len(left) == len(whole) - pruned
    for hours in range(MOMENTS + 1):
        at = NOON + hours * HOUR
        if at >= before:
            assert stood(left, at) == stood(whole, at)
    just_before = stood(whole, before - timedelta(microseconds=1)).values()
    assert {row[0] for row in left} == {row[0] for row in whole if row[2] >= before} | {*just_before}


@pytest.mark.parametrize("seed", range(5))
def test_the_score_that_stood_at_any_moment_since_is_kept(connection: Connection, seed: int) -> None:
    rng = np.random.default_rng(seed)
    decide(connection, decided("a", 0.9))
    say(connection, "a", "NOK")
    score_models(connection, settings(), NOON + HOUR)
    example = latest_scores(connection)[0]
    connection.execute("delete from coilflow.model_scores")
    subjects = [Subject(kind="ensemble", model="", version=version, role="champion") for version in ("e1", "e2")]
    for hours in range(MOMENTS):
        changed = [
            replace(example, subject=subject, slice=part, computed_at=NOON + hours * HOUR, window_from=NOON - 24 * HOUR)
            for subject in subjects
            for part in (ALL, Slice(kind="plant", value="linz"))
            if rng.random() < 0.15
        ]
        if changed:
            store_scores(connection, changed)
    before = NOON + int(rng.integers(1, MOMENTS)) * HOUR
    tells_as_before(connection, SCORES, prune_scores, before)


@pytest.mark.parametrize("seed", range(5))
def test_the_drift_check_that_stood_at_any_moment_since_is_kept(connection: Connection, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for hours in range(MOMENTS):
        for plant in ("graz", "linz"):
            if rng.random() < 0.2:
                store_drift_check(connection, check(plant, NOON + hours * HOUR, drifted=False))
    before = NOON + int(rng.integers(1, MOMENTS)) * HOUR
    tells_as_before(connection, CHECKS, prune_drift_checks, before)


def test_checks_that_found_drift_are_never_pruned(connection: Connection) -> None:
    for hours in range(10):
        store_drift_check(connection, check("linz", NOON + hours * HOUR, drifted=hours in (2, 3, 7)))
    found = rows(connection, CHECKS)
    assert prune_all(prune_drift_checks, connection, NOON + 1000 * HOUR) == 6
    assert rows(connection, CHECKS) == [found[2], found[3], found[7], found[9]]


def check(plant: str, at: datetime, *, drifted: bool) -> DriftCheck:
    return DriftCheck(
        checked_at=at, plant=plant, ensemble_version="e1", coils=500, drifted=drifted, sentence="told", figures={}
    )
