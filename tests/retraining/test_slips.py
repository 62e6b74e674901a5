"""A version that slips is told within the day on which people say so, and its successor does not wait for Sunday."""

from datetime import timedelta
from pathlib import Path

from scheduler.scoring import score
from schemas.loop_settings import PolicySettings
from store.alarms import open_alarms
from store.connection import Connection
from store.decisions import last_decisions
from tests.retraining.given import NOON, coils, judge, label, leading, run, serve_champion, settings
from tests.scheduler.given import rows

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
ASKED_FOR = "select fire_at from coilflow.fires where job = 'retrain' and requested_by = 'policy'"
ENSEMBLE, MEMBER = "every plant: ensemble champion", "every plant: faces 1"


def slipping(connection: Connection) -> list[str]:
    return sorted(one.subject for one in open_alarms(connection) if one.kind == "model_slipped")


def test_a_champion_that_slips_is_told_and_retrained_on_the_day_and_each_change_of_mind_is_kept_once(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    given = settings(tmp_path)
    serve_champion(connection, tmp_path, given)
    calm, changed = coils(100), coils(300, first=100)
    with leading(database) as epoch:
        label(connection, calm, judge(connection, given, calm, at=NOON), face="top", at=NOON + DAY / 2)
        run(database, given, score, "score", epoch=epoch, now=NOON + DAY)
        assert slipping(connection) == []
        assert not rows(connection, ASKED_FOR)
        assert [one.act for one in last_decisions(connection, "score", most=9)] == [False, False]

        asked = judge(connection, given, changed, at=NOON + DAY)
        late = asked[-5:]
        label(connection, changed, asked[:-5], face="bottom", at=NOON + 1.5 * DAY)
        at = NOON + 1.5 * DAY + 10 * MINUTE
        said = run(database, given, score, "score", epoch=epoch, now=at)
        assert f"slipped: {ENSEMBLE}, {MEMBER}" in said
        assert slipping(connection) == [ENSEMBLE, MEMBER]
        assert [row["fire_at"] for row in rows(connection, ASKED_FOR)] == [at]
        kept = last_decisions(connection, "score", most=9)
        assert [(one.subject, one.act) for one in kept[:2]] == [(MEMBER, True), (ENSEMBLE, True)]

        label(connection, changed, late, face="bottom", at=at + MINUTE)  # more of the same
        run(database, given, score, "score", epoch=epoch, now=at + 10 * MINUTE)
        assert len(last_decisions(connection, "score", most=9)) == len(kept)
        assert len(rows(connection, ASKED_FOR)) == 1


def test_a_slip_asks_for_nothing_while_labels_are_few_and_its_alarm_ends_with_it(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    given = settings(tmp_path, policy=PolicySettings(least_labelled=10_000))
    serve_champion(connection, tmp_path, given)
    batch = coils(300)
    with leading(database) as epoch:
        label(connection, batch, judge(connection, given, batch, at=NOON), face="bottom", at=NOON + DAY / 2)
        run(database, given, score, "score", epoch=epoch, now=NOON + DAY)
        assert slipping(connection) == [ENSEMBLE, MEMBER]
        assert not rows(connection, ASKED_FOR), "there is too little to learn from"

        again = coils(700, first=300)
        asked = judge(connection, given, again, at=NOON + 2 * DAY)
        label(connection, again, asked, face="top", at=NOON + 3 * DAY)
        # By then the bad ones have left the window.
        run(database, given, score, "score", epoch=epoch, now=NOON + 60 * DAY)
        assert slipping(connection) == []
