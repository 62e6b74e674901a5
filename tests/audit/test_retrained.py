"""A head that was trained anew from people's words, traced from a coil that it learnt from."""

from datetime import timedelta
from pathlib import Path

from flows.audit import coil_report
from scheduler.retraining import retrain
from schemas.coils import CoilKey
from store.connection import Connection
from store.registry import promote
from store.training import retrainings
from tests.retraining.given import ANNA, NOON, coils, judge, label, leading, run, serve_champion, settings

DAY = timedelta(days=1)


def test_a_coil_leads_to_the_successor_that_learnt_from_it_and_back(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    given = settings(tmp_path)
    serve_champion(connection, tmp_path, given)
    judged = coils(240)
    asked = judge(connection, given, judged, at=NOON)
    label(connection, judged, asked, face="bottom", at=NOON + DAY)
    with leading(database) as epoch:
        run(database, given, retrain, "retrain", epoch=epoch, now=NOON + 2 * DAY)
    [attempt] = retrainings(connection)
    assert attempt.candidate is not None
    promote(connection, attempt.candidate, ANNA)
    late = coils(1, first=900)
    judge(connection, given, late, at=NOON + 3 * DAY, by=attempt.candidate)

    key = CoilKey(plant="linz", coil_id=asked[0])
    [one] = coil_report(connection, key, now=NOON + 4 * DAY).verdicts
    [learnt] = one.retrainings
    assert (learnt.candidate, learnt.snapshot) == (attempt.candidate, attempt.snapshot)
    assert [change.change for change in one.changes] == ["registered", "promoted"]
    assert one.changes[1].who == "anna"
    assert {d.subject for d in one.decisions if d.act} >= {"every plant: ensemble champion"}

    [later] = coil_report(connection, CoilKey(plant="linz", coil_id="900"), now=NOON + 4 * DAY).verdicts
    assert [e.version for e in later.ensembles] == [attempt.candidate, "champion"]
    [member] = later.members
    assert [parent.model for parent in member.parents] == ["faces"]
    assert member.snapshot is not None
    assert member.snapshot.digest == attempt.snapshot
