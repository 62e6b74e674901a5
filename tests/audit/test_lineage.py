"""The lineage of a verdict: one query tells what it rests on, and what people's words about its coil changed."""

import random
from datetime import timedelta

import pytest

from flows.audit import coil_report
from flows.score_models import score_models
from schemas.audit import CoilReport, Lineage
from store.connection import Connection
from store.feedback import record_feedback
from store.labels import label_of
from store.scores import latest_scores
from tests.audit.given import Line, bad, later, look_again, say, succeed
from tests.flows.given import Given, coil
from tests.labels.given import minutes, word
from tests.store.given import key_of


def told(connection: Connection, coil_id: str) -> CoilReport:
    return coil_report(connection, key_of(coil_id), now=later(100))


def only(connection: Connection, coil_id: str) -> Lineage:
    [one] = told(connection, coil_id).verdicts
    return one


def labelled(number: int) -> list[Given]:
    return [bad(str(n)) if n % 2 else coil(str(n)) for n in range(1, number + 1)]


def test_one_query_tells_all_of_a_verdict(connection: Connection, line: Line) -> None:
    line.assess(*labelled(8))
    for n in range(1, 9):
        say(connection, str(n), "NOK" if n % 2 else "OK", by="mia", hours=1)
    score_models(connection, line.settings, later(2))
    digest = succeed(connection, line, hours=3)
    one = only(connection, "3")
    look_again(connection, "3", one.revision, hours=1)
    one = only(connection, "3")

    assert (one.label, one.role, one.stands, one.ensemble_version) == ("NOK", "champion", True, "v1")
    assert (one.readings.digest, len(one.readings.faces), one.readings.faces[0].rows) == ("fits", 2, 12)
    assert one.review[0].startswith("alarm")
    assert one.review_probability == 1
    [vote] = one.members
    assert (vote.model, vote.version, vote.votes) == ("mean-v1", "1", True)
    assert vote.p_nok == pytest.approx(one.p_nok)
    assert vote.manifest is not None
    assert vote.manifest.training.data_digest == "0" * 64
    [ensemble] = one.ensembles
    assert (ensemble.version, ensemble.parent) == ("v1", None)
    assert [(w.voice, w.label, w.stands) for w in one.feedback] == [("mia", "NOK", True)]
    assert one.coil_label is not None
    assert one.coil_label.label == "NOK"
    assert [second.probability for second in one.second_reviews] == [0.1]
    assert [(s.kind, s.version, s.label, s.scores) for s in one.scores] == [
        ("ensemble", "v1", "NOK", 1),
        ("member", "1", "NOK", 1),
    ]
    assert {(d.job, d.subject, d.act, d.label) for d in one.decisions} == {
        ("retrain", "every plant: ensemble v1", True, "NOK"),
        ("retrain", "every plant: mean-v1 1", False, "NOK"),
        ("promotion", "every plant: successor v2", True, "NOK"),
    }
    [learnt] = one.retrainings
    assert (learnt.snapshot, learnt.candidate, learnt.label, learnt.state) == (digest, "v2", "NOK", "promoted")
    assert [(c.ensemble_version, c.change, c.who) for c in one.changes] == [
        ("v2", "registered", "retrain"),
        ("v2", "promoted", "promotion"),
    ]


def test_the_successors_verdicts_name_their_snapshot_and_parent(connection: Connection, line: Line) -> None:
    line.assess(*labelled(8))
    for n in range(1, 9):
        say(connection, str(n), "NOK" if n % 2 else "OK", by="mia", hours=1)
    digest = succeed(connection, line, hours=3)
    line.assess(bad("20"))
    one = only(connection, "20")
    assert [e.version for e in one.ensembles] == ["v2", "v1"]
    snapshot = one.ensembles[0].snapshot
    assert snapshot is not None
    assert (snapshot.digest, snapshot.coils, snapshot.nok) == (digest, 8, 4)
    assert (one.scores, one.decisions, one.retrainings) == ((), (), ())


def test_scores_count_a_coil_with_the_label_that_it_had_then(connection: Connection, line: Line) -> None:
    line.assess(bad("1"), coil("2"))
    say(connection, "2", "OK", by="mia", hours=1)
    say(connection, "1", "OK", by="mia", hours=1, event_id="w1")
    score_models(connection, line.settings, later(2))
    say(connection, "1", "NOK", by="mia", hours=3, corrects="w1")
    score_models(connection, line.settings, later(4))
    say(connection, "1", "OK", by="ben", hours=5)
    score_models(connection, line.settings, later(6))
    say(connection, "1", "NOK", by="eva", hours=7, settles=True)
    score_models(connection, line.settings, later(8))
    one = only(connection, "1")
    counted = [(s.label, s.scores) for s in one.scores if s.kind == "ensemble"]
    assert counted == [("OK", 1), ("NOK", 2)]
    assert [(w.voice, w.valid, w.stands) for w in one.feedback] == [
        ("mia", False, False),
        ("mia", True, True),
        ("ben", True, True),
        ("eva", True, True),
    ]
    assert len(latest_scores(connection)) > 0


def test_a_verdict_counts_until_another_supersedes_it(connection: Connection, line: Line) -> None:
    line.assess(bad("1"))
    say(connection, "1", "NOK", by="mia", hours=0)
    score_models(connection, line.settings, later(0.0))
    line.assess(coil("1"))
    score_models(connection, line.settings, later(2))
    first, second = told(connection, "1").verdicts
    assert (first.stands, second.stands, first.superseded_by) == (False, True, second.revision)
    assert [s.scores for s in first.scores if s.kind == "ensemble"] == [1]
    assert [s.scores for s in second.scores if s.kind == "ensemble"] == [1]


def test_a_verdict_that_a_successor_learnt_from_keeps_its_consequences(connection: Connection, line: Line) -> None:
    line.assess(*labelled(8))
    for n in range(1, 9):
        say(connection, str(n), "NOK" if n % 2 else "OK", by="mia", hours=-0.001)
    succeed(connection, line, hours=0)
    line.assess(coil("3"))
    say(connection, "3", "OK", by="ben", hours=1)
    first, second = told(connection, "3").verdicts
    assert [(r.candidate, r.label) for r in first.retrainings] == [("v2", "NOK")]
    assert [c.change for c in first.changes] == ["registered", "promoted"]
    assert "every plant: successor v2" in [d.subject for d in first.decisions]
    assert (second.retrainings, second.changes, second.ensembles[0].version) == ((), (), "v2")


def test_altered_readings_are_told(connection: Connection, line: Line) -> None:
    line.assess(coil("1"), coil("2"))
    connection.execute(
        "update coilflow.readings as r set readings = other.readings from coilflow.readings as other"
        " where r.coil_id = '1' and other.coil_id = '2'"
    )
    assert only(connection, "1").readings.digest == "fits"  # the same rows are the same readings
    connection.execute("update coilflow.readings set readings = substr(readings, 1, 400) where coil_id = '1'")
    found = only(connection, "1").readings
    assert (found.digest, found.faces) == ("differs", ())
    connection.execute("update coilflow.coils set zn_max_g_m2 = 121 where coil_id = '2'")
    found = only(connection, "2").readings
    assert found.digest == "differs"
    assert "band" in found.found


@pytest.mark.parametrize("seed", range(12))
def test_the_label_as_of_a_time_is_the_label_that_the_view_had_then(connection: Connection, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - words, not secrets
    ids = [f"w{n}" for n in range(8)]
    for n, event_id in enumerate(ids):
        one = word(
            rng.choice(("OK", "NOK")),
            by=rng.choice(("anna", "ben", "eva")),
            at=rng.uniform(0, 20),
            event_id=event_id,
            source=rng.choice(("/mes", "/lab")),
            corrects=rng.choice([*ids, None, None, None, None, None, None]),
            settles=rng.random() < 0.3,
        )
        record_feedback(connection, [one], received_at=minutes(30 + n))
        now = label_of(connection, key_of("7"))
        shown = None if now is None else "disputed" if now.disputed else now.label
        for later_on in (minutes(30 + n), minutes(30 + n) + timedelta(seconds=59)):
            [row] = connection.execute("select coilflow.label_as_of('linz', '7', %s) as label", (later_on,)).fetchall()
            assert row["label"] == shown
