"""Promises of what never happens: nothing unproved serves, nothing half-made is registered, and a freeze holds."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from flows.split import place_of
from scheduler.promotion import promote_successors
from scheduler.retraining import retrain
from schemas.errors import NotLeaderError
from schemas.loop_settings import PromotionSettings, RetrainSettings
from schemas.settings import Settings
from store.alarms import open_alarms
from store.connection import Connection
from store.leadership import leader_session, take_over
from store.registered import ensembles, serving
from store.registry import freeze, promote, shadow, unfreeze
from store.training import Retraining, retrainings
from tests.registry.given import states
from tests.retraining.given import (
    ANNA,
    NOON,
    coils,
    context,
    judge,
    label,
    leading,
    run,
    serve_champion,
    settings,
)
from tests.waiting import wait_until

DAY = timedelta(days=1)
MOST_S = 120.0  # of waiting
SHADOW = PromotionSettings(shadow_coils=20, watch_coils=60)

Job = Callable[..., str]


@contextmanager
def slipped(
    database: str, connection: Connection, folder: Path, *, flipped: bool = False, **changes: object
) -> Iterator[tuple[Settings, Job]]:
    """A champion that looks at the wrong face, and operators who said so of 300 coils; jobs run at a day."""
    given = settings(folder, **{"promotion": SHADOW, **changes})
    serve_champion(connection, folder, given)
    batch = coils(300)
    asked = judge(connection, given, batch, at=NOON)
    learnt_from = [coil for coil in asked if place_of(coil) >= given.retrain.holdout_share] if flipped else []
    label(connection, batch, asked, face="bottom", at=NOON + DAY / 2, flipped=learnt_from)
    with leading(database) as epoch:

        def at(days: float, job: str = "promotion") -> str:
            what = {"promotion": promote_successors, "retrain": retrain}[job]
            return run(database, given, what, job, epoch=epoch, now=NOON + days * DAY)

        yield given, at


def only(connection: Connection) -> Retraining:
    [found] = retrainings(connection)
    return found


def alarms(connection: Connection) -> dict[str, int]:
    """Kinds of open alarms, and how often each was found."""
    return {one.kind: one.times for one in open_alarms(connection)}


def test_a_successor_that_learnt_the_contrary_is_rejected(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    with slipped(database, connection, tmp_path, flipped=True) as (_, at):
        assert "rejected: not_better" in at(1, "retrain")
        found = only(connection)
        assert found.candidate is not None
        assert states(connection, found.candidate) == {found.candidate: "rejected"}
        assert at(1.1) == "no successor is on its way"
        assert at(1.2, "retrain") == "every plant: no successor is due", "the same labels would teach the same"


def test_too_few_nok_coils_in_the_holdout_promote_nothing(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    scarce = RetrainSettings(least_holdout_nok=1000, niceness=0)
    with slipped(database, connection, tmp_path, retrain=scarce) as (_, at):
        assert "waiting: few_nok" in at(1, "retrain")
        assert only(connection).state == "waiting"
        assert at(1.1) == "no successor is on its way"
        assert serving(connection)[""].shadow is None
        assert alarms(connection) == {"successor_waits": 1}


def test_a_freeze_holds_every_step_and_a_person_has_the_last_word(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    approval = SHADOW.model_copy(update={"approval": True})
    with slipped(database, connection, tmp_path, promotion=approval) as (given, at):
        freeze(connection, ANNA)
        assert at(1, "retrain") == "every plant: no successor is due"
        unfreeze(connection, ANNA)
        at(1.1, "retrain")
        successor = only(connection).candidate
        assert successor is not None

        freeze(connection, ANNA)
        assert "waits: registry: automatic change is frozen" in at(1.2)
        assert states(connection, successor) == {successor: "candidate"}
        unfreeze(connection, ANNA)
        assert f"{successor} shadow" in at(1.3)

        beside = coils(30, first=300)
        asked = judge(connection, given, beside, at=NOON + 1.4 * DAY, shadow=successor)
        assert "waits: many_alarms" in at(1.42)
        label(connection, beside, asked, face="bottom", at=NOON + 1.45 * DAY)
        assert "waits: approval" in at(1.5)
        assert "waits: approval" in at(1.6)
        assert alarms(connection)["successor_waits"] == 3, "one alarm, found three times"
        promote(connection, successor, ANNA)
        assert "by_hand: a person promoted it" in at(1.7)

        watched = coils(60, first=400)
        asked = judge(connection, given, watched, at=NOON + 2 * DAY, by=successor)
        label(connection, watched, asked, face="bottom", at=NOON + 2.1 * DAY, flipped=asked)  # it is wrong throughout
        freeze(connection, ANNA)
        assert "waits: registry: automatic change is frozen" in at(2.2)
        assert serving(connection)[""].champion == successor
        unfreeze(connection, ANNA)
        assert f"{successor} rolled_back: worse_than_before" in at(2.3)
        assert states(connection, "champion", successor) == {"champion": "champion", successor: "rejected"}
        assert alarms(connection) == {"rolled_back": 1}


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        (RetrainSettings(most_seconds=0.2), "killed: training was not over after"),
        (RetrainSettings(most_memory_mb=60, niceness=0), "training killed: "),
    ],
    ids=["time", "memory"],
)
def test_training_over_its_bounds_registers_nothing(
    database: str, connection: Connection, tmp_path: Path, bounds: RetrainSettings, said: str
) -> None:
    with slipped(database, connection, tmp_path, retrain=bounds) as (_, at):
        assert said in at(1, "retrain")
        assert only(connection).state == "killed"
        assert [one.version for one in ensembles(connection)] == ["champion"]
        assert alarms(connection) == {"retraining_failed": 1}
        assert at(1.5, "retrain") == "every plant: no successor is due", "it counts as the last attempt"


def test_what_a_lost_leader_trained_is_nowhere_and_the_next_one_trains_at_once(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    given = settings(tmp_path)
    serve_champion(connection, tmp_path, given)
    batch = coils(300)
    label(connection, batch, judge(connection, given, batch, at=NOON), face="bottom", at=NOON + DAY / 2)
    with ThreadPoolExecutor(1) as threads:
        with leading(database) as epoch:
            lost = context(database, given, "retrain", epoch=epoch, now=NOON + DAY)
            training = threads.submit(retrain, lost)
            wait_until(lambda: retrainings(connection), MOST_S)
        with leader_session(database) as session:
            wait_until(lambda: take_over(session, "next", silent_after_s=60), MOST_S)
            with pytest.raises(NotLeaderError):
                training.result()
            assert only(connection).state == "running"
            assert [one.version for one in ensembles(connection)] == ["champion"]
            following = epoch + 1
            said = run(database, given, retrain, "retrain", epoch=following, now=NOON + 1.01 * DAY)
    assert "accepted" in said
    assert [one.state for one in retrainings(connection)] == ["accepted", "lost"]


@pytest.mark.parametrize("shadowed", [False, True])
def test_a_waiting_successor_that_a_person_takes_up_is_watched(
    database: str, connection: Connection, tmp_path: Path, *, shadowed: bool
) -> None:
    scarce = RetrainSettings(least_holdout_nok=1000, niceness=0)
    with slipped(database, connection, tmp_path, retrain=scarce) as (given, at):
        assert "waiting: few_nok" in at(1, "retrain")
        successor = only(connection).candidate
        assert successor is not None
        if shadowed:
            shadow(connection, successor, replace(ANNA, at=NOON + 1.1 * DAY))
            assert "by_hand: a person lets it shadow" in at(1.2)
            assert "few_coils: 0 of 20" in at(1.3)
        promote(connection, successor, replace(ANNA, at=NOON + 1.4 * DAY))
        if not shadowed:
            at(1.45, "retrain")  # a newer one does not put it aside
        assert "by_hand: a person promoted it" in at(1.5)
        watched = coils(60, first=400)
        asked = judge(connection, given, watched, at=NOON + 2 * DAY, by=successor)
        label(connection, watched, asked, face="bottom", at=NOON + 2.1 * DAY, flipped=asked)
        assert f"{successor} rolled_back: worse_than_before" in at(2.2)
        assert states(connection, "champion", successor) == {"champion": "champion", successor: "rejected"}
