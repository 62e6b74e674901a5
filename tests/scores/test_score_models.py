"""Scores by version, role and slice from what a real PostgreSQL holds."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from flows.score_models import score_models
from models.share_intervals import weighted_share
from schemas.bundles import BundleManifest, TrainingRecord
from schemas.scores import ALL, Figure, Score, Slice, Subject
from store.connection import Connection
from store.models import register_models
from store.scores import latest_scores
from tests.scores.given import NOON, as_shadow, decide, decided, say, settings

LATER = NOON + timedelta(days=1)
E1 = Subject(kind="ensemble", model="", version="e1", role="champion")
CNN = Subject(kind="member", model="cnn1d", version="1.0", role="champion")
YOLO = Subject(kind="member", model="yolov8n-cls", version="2.0", role="champion")


def newest(connection: Connection) -> dict[tuple[Subject, Slice], Score]:
    return {(one.subject, one.slice): one.score for one in latest_scores(connection)}


def manifest(name: str, version: str, threshold: float) -> BundleManifest:
    training = TrainingRecord(source="x", coils=1, nok=1, data_digest="0" * 64, spec={}, seed=1, weights="none")
    return BundleManifest(
        name=name,
        version=version,
        kind=name,
        scale="limits",
        input_form="native",
        limits_version=None,
        threshold=threshold,
        metrics={},
        training=training,
        code_version="1",
        libraries={},
        files={},
    )


def history(connection: Connection) -> list[tuple[int, datetime]]:
    """How the score of all coils of E1 went: evaluated coils, and when."""
    rows = connection.execute(
        "select evaluated, computed_at from coilflow.model_scores"
        " where kind = 'ensemble' and version = %s and role = %s and slice_kind = 'all' order by score_id",
        (E1.version, E1.role),
    )
    return [(row["evaluated"], row["computed_at"]) for row in rows]


def test_each_version_is_scored_on_the_coils_that_people_labelled(connection: Connection) -> None:
    register_models(connection, [manifest("cnn1d", "1.0", 0.15)], registered_at=NOON, state="champion")
    decide(connection, decided("a", 0.9), decided("b", 0.1), decided("c", 0.8), decided("unseen", 0.1))
    for coil_id, label in (("a", "NOK"), ("b", "OK"), ("c", "OK")):
        say(connection, coil_id, "NOK" if label == "NOK" else "OK")
    score_models(connection, settings(), LATER)
    found = newest(connection)
    assert tuple(found[E1, ALL].cells) == (1, 1, 0, 1)
    assert found[E1, ALL].rates.agreement.value == pytest.approx(2 / 3)
    assert found[CNN, ALL].cells == (1, 2, 0, 0), "0.2 is NOK by its own threshold of 0.15"
    assert found[YOLO, ALL].cells == (1, 2, 0, 0), "0.7 is NOK by the verdict's 0.5, for it was never registered"


def test_a_score_is_told_by_band_material_and_plant(connection: Connection) -> None:
    decide(
        connection,
        decided("a", 0.9, band=(100, 120), material="DX51D+Z"),
        decided("b", 0.9, band=(60, 80.5), material="S250GD+Z"),
        decided("c", 0.1, plant="graz"),
    )
    say(connection, "a", "NOK")
    say(connection, "b", "OK")
    say(connection, "c", "OK", plant="graz")
    score_models(connection, settings(), LATER)
    cells = {part: tuple(score.cells) for (subject, part), score in newest(connection).items() if subject == E1}
    assert cells == {
        ALL: (1, 1, 0, 1),
        Slice(kind="band", value="100–120"): (1, 0, 0, 1),
        Slice(kind="band", value="60–80.5"): (0, 1, 0, 0),
        Slice(kind="material", value="DX51D+Z"): (1, 0, 0, 1),
        Slice(kind="material", value="S250GD+Z"): (0, 1, 0, 0),
        Slice(kind="plant", value="linz"): (1, 1, 0, 0),
        Slice(kind="plant", value="graz"): (0, 0, 0, 1),
    }


def test_late_feedback_is_charged_to_the_version_that_made_the_verdict(connection: Connection) -> None:
    decide(connection, decided("a", 0.9))
    decide(connection, decided("b", 0.1, ensemble="e2", members=[("cnn1d", "1.1", 0.1)]), at=NOON + timedelta(hours=2))
    say(connection, "a", "OK", after=timedelta(days=6))
    score_models(connection, settings(), NOON + timedelta(days=7))
    cells = {subject: tuple(score.cells) for (subject, part), score in newest(connection).items() if part == ALL}
    assert cells[E1] == (0, 1, 0, 0)
    assert cells[Subject(kind="ensemble", model="", version="e2", role="champion")] == (0, 0, 0, 0)
    assert cells[Subject(kind="member", model="cnn1d", version="1.1", role="champion")] == (0, 0, 0, 0)


def test_a_coil_counts_by_the_revision_that_its_label_names_and_else_by_the_standing_one(
    connection: Connection,
) -> None:
    for coil_id in ("named", "standing", "unknown"):
        decide(connection, decided(coil_id, 0.9, revision="r1"))
        decide(connection, decided(coil_id, 0.1, revision="r2", ensemble="e2"), at=NOON + timedelta(hours=1))
    say(connection, "named", "NOK", revision="r1")
    say(connection, "standing", "OK")
    say(connection, "unknown", "OK", revision="never seen here")
    score_models(connection, settings(), LATER)
    found = newest(connection).items()
    cells = {
        subject.version: tuple(score.cells)
        for (subject, part), score in found
        if part == ALL and subject.kind == "ensemble"
    }
    assert cells == {"e1": (1, 0, 0, 0), "e2": (0, 0, 0, 2)}


def test_a_shadow_is_scored_beside_the_champion_on_the_coils_that_the_champion_asked_for(
    connection: Connection,
) -> None:
    champion = [decided("a", 0.9), decided("b", 0.1, drawn=0.5, asked=True)]
    decide(connection, *champion, *(as_shadow(one, "e2", 0.1) for one in champion))
    say(connection, "a", "OK")
    say(connection, "b", "OK")
    score_models(connection, settings(), LATER)
    shadow = newest(connection)[Subject(kind="ensemble", model="", version="e2", role="shadow"), ALL]
    assert tuple(shadow.cells) == (0, 0, 0, 2)
    assert shadow.weighted is not None
    assert (shadow.weighted.coils, shadow.weighted.stand_for) == (2, 3)
    assert tuple(newest(connection)[E1, ALL].cells) == (0, 1, 0, 1)


def test_disputed_and_unscored_coils_count_for_nothing_and_undecided_ones_by_their_probability(
    connection: Connection,
) -> None:
    decide(
        connection,
        decided("disputed", 0.9),
        decided("fragment", float("nan"), undecided=True, members=()),
        decided("doubt", 0.6, undecided=True),
    )
    for operator, label in (("mia", "NOK"), ("leo", "OK")):
        say(connection, "disputed", "NOK" if label == "NOK" else "OK", operator=operator)
    say(connection, "fragment", "NOK")
    say(connection, "doubt", "NOK")
    score_models(connection, settings(), LATER)
    found = newest(connection)
    assert tuple(found[E1, ALL].cells) == (1, 0, 0, 0)
    assert found[E1, ALL].undecided.value == 1
    assert found[YOLO, ALL].undecided.value is None, "a member is never undecided"
    assert found[CNN, ALL].cells == (0, 0, 1, 0)


def test_weighted_scores_stand_for_the_coils_that_nobody_saw(connection: Connection) -> None:
    decide(
        connection,
        *(decided(f"alarm {i}", 0.9) for i in range(4)),
        *(decided(f"drawn {i}", 0.1, drawn=0.1, asked=True) for i in range(4)),
        *(decided(f"unseen {i}", 0.1, drawn=0.1) for i in range(36)),
    )
    for i in range(4):
        say(connection, f"alarm {i}", "NOK")
    say(connection, "drawn 0", "NOK")
    say(connection, "drawn 1", "OK")
    score_models(connection, settings(), LATER)
    score = newest(connection)[E1, ALL]
    assert score.rates.recall.value == pytest.approx(4 / 5)
    assert score.weighted is not None
    assert score.weighted.stand_for == pytest.approx(44)
    half_answered = weighted_share(np.ones(4), np.array([20.0]))  # of the draws, so one of ten is one of twenty
    assert score.weighted.rates.recall.value == pytest.approx(half_answered)
    assert [(s.name, s.asked, s.answered) for s in score.weighted.strata] == [
        ("linz, NOK, certain", 4, 4),
        ("linz, OK, drawn", 4, 2),
    ]


def test_what_stands_is_not_stored_again_and_what_changes_becomes_history(connection: Connection) -> None:
    decide(connection, decided("a", 0.9), decided("b", 0.9))
    say(connection, "a", "NOK")
    assert score_models(connection, settings(), LATER)
    assert score_models(connection, settings(), LATER + timedelta(minutes=10)) == ()
    decide(connection, decided("c", 0.1, drawn=0.02), at=LATER)
    assert score_models(connection, settings(), LATER + timedelta(minutes=20)) == ()
    [ours] = [one for one in latest_scores(connection) if (one.subject, one.slice) == (E1, ALL)]
    assert (ours.assessed.coils, ours.assessed.first, ours.assessed.last) == (3, NOON, LATER)
    say(connection, "b", "OK")
    changed = score_models(connection, settings(), LATER + timedelta(minutes=30))
    assert {one.slice.kind for one in changed if one.subject == E1} == {"all", "band", "material", "plant"}
    assert history(connection) == [(1, LATER), (2, LATER + timedelta(minutes=30))]


def test_what_is_read_back_is_what_was_reckoned(connection: Connection) -> None:
    decide(connection, decided("a", 0.9), decided("b", 0.1, drawn=0.1, asked=True))
    say(connection, "a", "NOK")
    say(connection, "b", "NOK")
    stored = {(one.subject, one.slice): one for one in score_models(connection, settings(), LATER)}
    for one in latest_scores(connection):
        ours = stored[one.subject, one.slice]
        assert (one.computed_at, one.window_from, one.assessed) == (ours.computed_at, ours.window_from, ours.assessed)
        for name in ("agreement", "recall", "false_alarms", "precision"):
            figure: Figure = getattr(ours.score.rates, name)
            kept: Figure = getattr(one.score.rates, name)
            assert (kept.value, kept.low, kept.high) == pytest.approx((figure.value, figure.low, figure.high))


def test_a_score_falls_to_nothing_once_its_coils_leave_the_window(connection: Connection) -> None:
    decide(connection, decided("a", 0.9))
    say(connection, "a", "NOK")
    score_models(connection, settings(), LATER)
    score_models(connection, settings(), NOON + timedelta(days=31))
    assert {score.evaluated for score in newest(connection).values()} == {0}
    assert [evaluated for evaluated, _ in history(connection)] == [1, 0]
    assert score_models(connection, settings(), NOON + timedelta(days=32)) == ()


def test_nothing_after_the_moment_handed_in_counts(connection: Connection) -> None:
    decide(connection, decided("a", 0.9))
    say(connection, "a", "NOK")
    assert score_models(connection, settings(), NOON - timedelta(seconds=1)) == ()


def test_existing_dashboards_read_the_pilots_columns(connection: Connection) -> None:
    old = [("cnn1d", "1.0", 0.9)]
    decide(connection, decided("a", 0.9, members=old), decided("b", 0.9, members=old))
    decide(connection, decided("c", 0.1, ensemble="e2", members=[("cnn1d", "1.1", 0.1)]), at=NOON + timedelta(hours=1))
    say(connection, "c", "OK")
    score_models(connection, settings(), LATER)
    say(connection, "a", "NOK")
    say(connection, "b", "OK")
    score_models(connection, settings(), LATER + timedelta(minutes=1))
    [row] = connection.execute("select * from coilflow.mperformance").fetchall()
    assert list(row) == ["mname", "from_ass", "to_ass", "num_oper", "ok_percentage", "numc_assessed", "ts"]
    moment = NOON + timedelta(hours=1)
    assert list(row.values()) == ["cnn1d", moment, moment, 1, 100, 1, LATER], "the version that judged last"


def test_a_member_that_was_skipped_did_not_judge_and_a_replaced_verdict_is_not_counted_twice(
    connection: Connection,
) -> None:
    grey = decided("grey", 0.1, members=[("cnn1d", "1.0", 0.1)])
    skipped = replace(grey, verdict=replace(grey.verdict, reasons=("doubt: x", "members_skipped: yolov8n-cls")))
    decide(
        connection, decided("a"), decided("b"), decided("nothing", float("nan"), undecided=True, members=()), skipped
    )
    decide(connection, decided("b", revision="r2"), at=NOON + timedelta(hours=1))
    score_models(connection, settings(), LATER)
    assessed = {one.subject: one.assessed.coils for one in latest_scores(connection)}
    assert assessed == {E1: 4, CNN: 3, YOLO: 2}
