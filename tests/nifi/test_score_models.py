"""ScoreModels: a tick scores, and nothing is said where nothing changed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from flows.nifi.score_models import open_step
from flows.nifi.step import FAILURE, SUCCESS, Hosted
from store.connection import Connection
from store.feedback import Feedback, record_feedback
from store.verdicts import record_verdicts
from tests.scores.given import decided


@pytest.fixture
def hosted(database: str, tmp_path: Path) -> Iterator[Hosted]:
    """The step as a processor opens it."""
    opened = Hosted("score_models", open_step)
    opened.start({"Database DSN": database, "Data Directory": str(tmp_path)})
    try:
        yield opened
    finally:
        opened.stop()


def test_a_tick_gives_the_members_performance_and_the_next_one_nothing(hosted: Hosted, connection: Connection) -> None:
    before = datetime.now(UTC) - timedelta(hours=2)
    coil = decided("a", 0.9)
    record_verdicts(connection, [coil], decided_at=before, destinations=())
    said = Feedback(key=coil.verdict.key, source="console", event_id="f1", label="NOK", given_at=before)
    record_feedback(connection, [said])
    done = hosted.run(b"", {})
    assert done.relationship == SUCCESS
    assert done.contents is not None
    rows = {row["mname"]: row for row in map(orjson.loads, done.contents.splitlines())}
    assert rows["yolov8n-cls"]["num_oper"] == 1
    assert rows["yolov8n-cls"]["ok_percentage"] == 100
    assert int(done.attributes["coilflow.scores"]) > 2
    again = hosted.run(b"any tick", {})
    assert (again.relationship, again.contents, again.attributes["coilflow.scores"]) == ("unchanged", None, "0")


def test_a_database_without_coils_changes_nothing(hosted: Hosted) -> None:
    assert hosted.run(b"", {}).relationship == "unchanged"


def test_without_its_database_a_tick_is_tried_again(tmp_path: Path) -> None:
    away = Hosted("score_models", open_step)
    away.start({"Database DSN": f"host={tmp_path} dbname=none connect_timeout=2", "Data Directory": str(tmp_path)})
    assert away.run(b"", {}).relationship == FAILURE
    away.stop()
