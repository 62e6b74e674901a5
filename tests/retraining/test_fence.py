"""Promises of the job `retrain` of a leader that was put out: it touches nothing of the next one's."""

from pathlib import Path

import pytest

from scheduler.retraining import retrain
from schemas.errors import NotLeaderError
from tests.retraining.given import NOON, context, leading, settings


def test_a_leader_that_wakes_after_another_took_over_leaves_the_training_under_way_alone(
    database: str, tmp_path: Path
) -> None:
    with leading(database) as epoch:
        old = context(database, settings(tmp_path), "retrain", epoch=epoch, now=NOON)
    under_way = tmp_path / "retraining" / "7"
    with leading(database):
        under_way.mkdir(parents=True)
        with pytest.raises(NotLeaderError):
            retrain(old)
        assert under_way.exists()
