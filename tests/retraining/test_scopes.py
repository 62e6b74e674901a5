"""The way of a successor of one plant alone, and where people label coils without regard to the verdicts."""

from pathlib import Path

import pytest

from flows.change_models import new_ensemble
from scheduler.promotion import promote_successors
from scheduler.retraining import retrain
from schemas.errors import RegistryError
from schemas.loop_settings import PolicySettings, PromotionSettings, ReviewSettings
from schemas.settings import Settings
from store.connection import Connection
from store.registered import ensemble, model_changes, serving
from store.registry import promote, register_ensemble
from store.training import retrainings
from tests.registry.given import states
from tests.retraining.given import (
    ANNA,
    NOON,
    coils,
    judge,
    label,
    leading,
    run,
    serve_champion,
    settings,
    write_champion,
)
from tests.retraining.test_refusals import DAY

SOON = PromotionSettings(shadow_coils=20, watch_coils=30)


def at(dsn: str, given: Settings, epoch: int, days: float, job: str = "promotion") -> str:
    what = {"promotion": promote_successors, "retrain": retrain}[job]
    return run(dsn, given, what, job, epoch=epoch, now=NOON + days * DAY)


def test_a_plant_with_a_champion_of_its_own_gets_a_successor_of_its_own(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    given = settings(tmp_path, promotion=SOON)
    serve_champion(connection, tmp_path, given)
    own = new_ensemble(write_champion(tmp_path, "own", member="own-faces"), given, plant="graz")
    register_ensemble(connection, own, ANNA)
    promote(connection, "own", ANNA, plant="graz")
    calm, changed = coils(100), coils(300, first=100)
    label(connection, calm, judge(connection, given, calm, at=NOON), face="top", at=NOON + DAY / 2)
    asked = judge(connection, given, changed, at=NOON, by="own", plant="graz")
    label(connection, changed, asked, face="bottom", at=NOON + DAY / 2, plant="graz")
    with leading(database) as epoch:
        said = at(database, given, epoch, 1, "retrain")
        assert "every plant: no successor is due; graz: successor " in said
        assert "accepted: better" in said
        [found] = retrainings(connection)
        successor = found.candidate
        assert successor is not None
        assert (found.plant, found.members, found.parent) == ("graz", ("own-faces",), "own")
        made = ensemble(connection, successor)
        assert made is not None
        assert made.plant == "graz"
        with pytest.raises(RegistryError, match="was made for plant graz"):
            promote(connection, successor, ANNA)

        assert f"graz: successor {successor} shadow" in at(database, given, epoch, 1.1)
        assert {plant: row.shadow for plant, row in serving(connection).items()} == {"": None, "graz": successor}
        beside = coils(30, first=400)
        asked = judge(connection, given, beside, at=NOON + 1.2 * DAY, by="own", shadow=successor, plant="graz")
        label(connection, beside, asked, face="bottom", at=NOON + 1.3 * DAY, plant="graz")
        # What another plant says of its coils counts for nothing here.
        judge(connection, given, coils(30, first=450), at=NOON + 1.2 * DAY)
        assert f"graz: successor {successor} promoted: better: 30 coils" in at(database, given, epoch, 1.4)

        watched = coils(SOON.watch_coils, first=500)
        asked = judge(connection, given, watched, at=NOON + 1.5 * DAY, by=successor, plant="graz")
        label(connection, watched, asked, face="bottom", at=NOON + 1.6 * DAY, plant="graz", flipped=asked)
        said = at(database, given, epoch, 1.7)
    assert f"graz: successor {successor} rolled_back: worse_than_before" in said
    assert "back_to: own" in said
    assert {plant: row.champion for plant, row in serving(connection).items()} == {"": "champion", "graz": "own"}
    assert states(connection, "champion", "own", successor) == {
        "champion": "champion",
        "own": "champion",
        successor: "rejected",
    }
    assert {one.plant for one in model_changes(connection, version=successor)} == {"graz"}


def test_labels_that_come_whatever_the_verdict_need_no_draw_and_stand_for_all_coils(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    regardless = PolicySettings(feedback="regardless")
    given = settings(tmp_path, promotion=SOON, policy=regardless, review=ReviewSettings(share=0))
    serve_champion(connection, tmp_path, given)
    changed, beside, watched = coils(500), coils(40, first=500), coils(80, first=600)
    judge(connection, given, changed, at=NOON)
    label(connection, changed, [str(coil) for coil in range(0, 500, 2)], face="bottom", at=NOON + DAY / 2)
    with leading(database) as epoch:
        assert "accepted: better" in at(database, given, epoch, 1, "retrain")
        [found] = retrainings(connection)
        successor = found.candidate
        assert successor is not None
        assert found.judged["compared"]["coils"] > 30, "a coil that nobody was asked for judges too"

        assert f"successor {successor} shadow" in at(database, given, epoch, 1.1)
        judge(connection, given, beside, at=NOON + 1.2 * DAY, shadow=successor)
        label(connection, beside, [str(coil) for coil in range(500, 540, 2)], face="bottom", at=NOON + 1.3 * DAY)
        said = at(database, given, epoch, 1.4)
        assert f"successor {successor} promoted: better: 40 coils" in said
        assert "on 20 with a label" in said

        judge(connection, given, watched, at=NOON + 1.5 * DAY, by=successor)
        label(connection, watched, [str(coil) for coil in range(600, 640, 2)], face="bottom", at=NOON + 1.6 * DAY)
        assert "watched: 20 of 30 labelled coils judged as champion" in at(database, given, epoch, 1.7)
        label(connection, watched, [str(coil) for coil in range(640, 660, 2)], face="bottom", at=NOON + 1.8 * DAY)
        assert f"successor {successor} kept: no_worse" in at(database, given, epoch, 1.9)
