"""Promises of the job `promotion` where its run is given up."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flows.change_models import new_ensemble
from flows.trial import TrialStoppedError
from scheduler.promotion import promote_successors
from store.connection import Connection
from store.registry import register_ensemble
from store.training import retrainings
from tests.retraining.given import ANNA, NOON, accept, context, leading, serve_champion, settings
from tests.swap.given import write_no_model
from tests.swap.test_trial import MOST_S, endless, trials
from tests.waiting import wait_until


def test_a_trial_ends_with_the_run_and_its_successor_is_tried_again(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    given = settings(tmp_path)
    serve_champion(connection, tmp_path, given)
    register_ensemble(connection, new_ensemble(write_no_model(tmp_path, "endless", endless()), given), ANNA)
    accept(connection, "endless")
    with leading(database) as epoch, ThreadPoolExecutor(1) as threads:
        under_way = context(database, given, "promotion", epoch=epoch, now=NOON)
        job = threads.submit(promote_successors, under_way)
        wait_until(lambda: trials() or job.done(), MOST_S)
        under_way.stop.set()
        with pytest.raises(TrialStoppedError):
            job.result()
    assert trials() == []
    assert [one.state for one in retrainings(connection)] == ["accepted"]
