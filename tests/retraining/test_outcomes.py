"""What a job that looks every minute reads of a champion is bounded, however long it has served."""

from datetime import timedelta
from pathlib import Path

from store.connection import Connection
from store.training import Scope, latest_outcomes, outcomes_of_ensemble
from tests.retraining.given import NOON, coils, judge, serve_champion, settings

PLANTS = Scope(plant="")


def test_the_first_and_the_last_coils_of_a_champion_are_read_without_the_others(
    connection: Connection, tmp_path: Path
) -> None:
    given = settings(tmp_path)
    serve_champion(connection, tmp_path, given)
    judge(connection, given, coils(30), at=NOON)
    whole = outcomes_of_ensemble(connection, ["champion"], PLANTS, until=NOON + timedelta(hours=1))
    since, until = NOON + timedelta(seconds=10), NOON + timedelta(seconds=20)
    first = outcomes_of_ensemble(connection, ["champion"], PLANTS, until=until, since=since, most=4)
    last = latest_outcomes(connection, "champion", PLANTS, until=until, most=4)
    assert len(whole) == 30
    assert first == whole[10:14]
    assert last == whole[17:21]
