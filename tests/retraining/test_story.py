"""The way of one successor, from a champion that slips to one that has proved itself, with time handed in."""

from datetime import timedelta
from pathlib import Path

from scheduler.promotion import promote_successors
from scheduler.retraining import retrain
from store.connection import Connection
from store.decisions import last_decisions
from store.registered import serving
from store.training import retrainings
from tests.registry.given import states
from tests.retraining.given import NOON, coils, judge, label, leading, run, serve_champion, settings

DAY = timedelta(days=1)


def test_a_champion_that_slips_is_succeeded_by_one_that_proved_better(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    given = settings(tmp_path)
    serve_champion(connection, tmp_path, given)
    with leading(database) as epoch:

        def at(days: float, job: str = "promotion") -> str:
            what = {"promotion": promote_successors, "retrain": retrain}[job]
            return run(database, given, what, job, epoch=epoch, now=NOON + days * DAY)

        calm = coils(100)
        label(connection, calm, judge(connection, given, calm, at=NOON), face="top", at=NOON + DAY / 2)
        assert at(1, "retrain") == "every plant: no successor is due"
        [about_member, about_ensemble] = last_decisions(connection, "retrain", most=2)
        assert not about_ensemble.act
        assert not about_member.act
        assert "agreement 100.0% over the window, within the bound 75.0%" in about_ensemble.why

        changed = coils(300, first=100)
        label(connection, changed, judge(connection, given, changed, at=NOON + DAY), face="bottom", at=NOON + 1.5 * DAY)
        assert "accepted: better: F1" in at(2, "retrain")
        [found] = retrainings(connection)
        assert found.state == "accepted"
        assert found.candidate is not None
        assert found.judged["compared"]["difference"] > 0.2
        successor = found.candidate
        decisions = last_decisions(connection, "retrain", most=3)
        assert [one.subject for one in decisions if one.act] == [
            f"every plant: successor {successor}",
            "every plant: faces 1",
            "every plant: ensemble champion",
        ]
        assert any(": established to be" in why for why in decisions[-1].why)
        assert states(connection, "champion", successor) == {"champion": "champion", successor: "candidate"}

        assert f"successor {successor} shadow" in at(2.1)
        assert serving(connection)[""].shadow == successor
        beside = coils(60, first=400)
        first = judge(connection, given, coils(20, first=400), at=NOON + 2.2 * DAY, shadow=successor)
        assert "few_coils: 20 of 40" in at(2.3)
        asked = judge(connection, given, coils(40, first=420), at=NOON + 2.4 * DAY, shadow=successor)
        label(connection, beside, [*first, *asked], face="bottom", at=NOON + 2.5 * DAY)
        assert f"successor {successor} promoted: better: 60 coils" in at(2.6)
        assert states(connection, "champion", successor) == {"champion": "retired", successor: "champion"}

        watched = coils(60, first=500)
        asked = judge(connection, given, watched, at=NOON + 3 * DAY, by=successor)
        assert "labels_to_come" in at(3.1)
        label(connection, watched, asked, face="bottom", at=NOON + 3.2 * DAY)
        assert f"successor {successor} kept" in at(3.3)
        assert at(3.4) == "no successor is on its way"
        assert at(9, "retrain") == "every plant: no successor is due"
