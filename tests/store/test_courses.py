"""How things went on, thinned to what a chart can show."""

from datetime import UTC, datetime, timedelta

import pytest

from schemas.scores import UNKNOWN, Cells, Figure, Rates, Score, Slice, Subject
from store.connection import Connection
from store.courses import (
    coil_balance,
    dead_letter_steps,
    drift_course,
    feedback_course,
    known_plants,
    last_word,
    score_course,
)
from store.deadletters import record_dead_letters
from store.drift import DriftCheck, store_drift_check
from store.scores import Assessed, ModelScore, store_scores
from tests.deadletters.conftest import message
from tests.scores.given import decide, decided, say

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
CHAMPION = Subject(kind="ensemble", model="", version="e1", role="champion")


def scored(connection: Connection, at: datetime, agreement: float, *, part: Slice | None = None) -> None:
    figure = Figure(value=agreement, low=0.0, high=1.0)
    rates = Rates(agreement=figure, recall=UNKNOWN, false_alarms=UNKNOWN, precision=UNKNOWN)
    score = Score(
        cells=Cells(tp=1, fp=0, fn=0, tn=0), rates=rates, calibration_error=UNKNOWN, undecided=UNKNOWN, weighted=None
    )
    one = ModelScore(
        subject=CHAMPION,
        slice=part or Slice(kind="all", value=""),
        computed_at=at,
        window_from=at - timedelta(days=30),
        assessed=Assessed(coils=1, first=at, last=at),
        score=score,
    )
    store_scores(connection, [one])


def course(
    connection: Connection, *, after: datetime, until: datetime, points: int
) -> list[tuple[datetime, float | None]]:
    found = score_course(connection, {CHAMPION}, after=after, until=until, points=points)
    return [(one.computed_at, one.score.rates.agreement.value) for one in found]


def test_of_each_part_of_a_time_the_last_score_is_told_and_first_what_held_when_it_began(
    connection: Connection,
) -> None:
    for hours, agreement in ((-48, 0.1), (-30, 0.2), (1, 0.3), (2, 0.4), (13, 0.5)):
        scored(connection, NOON + timedelta(hours=hours), agreement)
    scored(connection, NOON + timedelta(hours=3), 0.9, part=Slice(kind="plant", value="linz"))
    found = course(connection, after=NOON, until=NOON + timedelta(hours=24), points=2)
    assert found == [(NOON, 0.2), (NOON + timedelta(hours=2), 0.4), (NOON + timedelta(hours=13), 0.5)]


@pytest.mark.parametrize("days", [1, 30, 400])
def test_a_long_time_in_which_little_happened_late_loses_nothing(connection: Connection, days: int) -> None:
    times = [NOON + timedelta(minutes=10 * place) for place in range(20)]
    for place, at in enumerate(times):
        scored(connection, at, place / 20)
    found = course(connection, after=NOON - timedelta(days=days), until=times[-1], points=60)
    assert [at for at, _ in found] == times


def test_of_many_scores_no_more_are_told_than_asked_for(connection: Connection) -> None:
    for place in range(50):
        scored(connection, NOON + timedelta(minutes=place), place / 50)
    found = course(connection, after=NOON - timedelta(hours=1), until=NOON + timedelta(hours=1), points=10)
    assert len(found) <= 11
    assert found[-1] == (NOON + timedelta(minutes=49), 0.98)


def test_drift_is_told_by_plant_and_the_last_of_each_part_counts(connection: Connection) -> None:
    for hours, plant in ((0, "linz"), (1, "linz"), (20, "linz"), (5, "graz")):
        check = DriftCheck(
            checked_at=NOON + timedelta(hours=hours),
            plant=plant,
            ensemble_version="e1",
            coils=1,
            drifted=False,
            sentence="alike",
            figures={},
        )
        store_drift_check(connection, check)
    until = NOON + timedelta(hours=24)
    of_all = drift_course(connection, plant=None, after=NOON - timedelta(days=9), until=until, points=2)
    assert [(one.plant, (one.checked_at - NOON) / timedelta(hours=1)) for one in of_all] == [
        ("graz", 5),
        ("linz", 1),
        ("linz", 20),
    ]
    assert [one.plant for one in drift_course(connection, plant="graz", after=NOON, until=until, points=2)] == ["graz"]


def test_words_are_counted_by_the_part_in_which_they_came(connection: Connection) -> None:
    decide(connection, decided("1"), decided("2"), decided("3", plant="graz"))
    say(connection, "1", "OK")
    say(connection, "2", "NOK")
    say(connection, "3", "OK", plant="graz")
    [row] = connection.execute("select min(received_at) as at from coilflow.feedback").fetchall()
    begins = [row["at"] - timedelta(days=2), row["at"] - timedelta(days=1), row["at"] + timedelta(days=1)]
    until = row["at"] + timedelta(days=2)
    assert feedback_course(connection, begins, until=until) == ({}, {"OK": 2, "NOK": 1}, {})
    assert feedback_course(connection, begins, until=until, plant="graz") == ({}, {"OK": 1}, {})
    last = last_word(connection)
    assert last is not None


def test_every_coil_is_in_one_state_and_every_letter_at_one_step(connection: Connection) -> None:
    assert (coil_balance(connection), dead_letter_steps(connection), last_word(connection)) == ((), (), None)
    decide(connection, decided("1"), decided("2"), decided("3", plant="graz"))
    connection.execute("insert into coilflow.coils (plant, coil_id, state) values ('linz', '9', 'open')")
    record_dead_letters(connection, [message(1), message(2)])
    balance = {one.plant: one for one in coil_balance(connection)}
    linz = balance["linz"]
    assert (linz.seen, linz.decided, linz.open, linz.dead_lettered, linz.balanced) == (3, 2, 1, 0, True)
    assert linz.oldest_open_at is not None
    assert balance["graz"].oldest_open_at is None
    assert known_plants(connection) == ("graz", "linz")
    assert [(one.step, one.state, one.letters) for one in dead_letter_steps(connection)] == [("decode", "new", 2)]
