"""Figures of the whole database: counted alike by every scheduler, and never older than they look."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from prometheus_client import REGISTRY, CollectorRegistry

from flows.score_models import score_models
from scheduler import figures as figures_module
from scheduler.figures import count_figures, showing_figures
from scheduler.metrics import SHOWN
from scheduler.watch import NO_LEADER
from schemas.coils import CoilKey, Truth
from schemas.rejects import Reject, Step
from schemas.settings import Settings
from store.alarms import raise_alarm
from store.connection import Connection
from store.deadletters import record_dead_letters
from store.drift import DriftCheck, store_drift_check
from store.leadership import leader_session, take_over
from store.registry import promote
from store.swaps import Outcome, SwapAnswer, Worker, answer, note_worker
from store.verdicts import record_verdicts
from tests.registry.given import ANNA, register
from tests.scores.given import NOON, decide, decided, say
from tests.waiting import wait_until

NOW = datetime.now(UTC)
SHOWING = Settings(metrics_port=9, destinations=("kafka:coil.verdicts",))
Samples = dict[tuple[str, ...], float]


def shown(connection: Connection, **settings: Any) -> dict[str, Samples]:
    """Values by name, then by the values of the labels."""
    families = count_figures(connection, Settings(**settings), now=NOW)
    return {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples} for family in families
    }


def letter(coil_id: str | None, step: Step = "decode", plant: str = "linz") -> Reject:
    return Reject(
        step=step, place=f"here {coil_id} {step}", key=CoilKey(plant=plant, coil_id=coil_id) if coil_id else None,
        error="wrong", remedy="mend it", original=b"x", whole_coil=coil_id is not None,
    )  # fmt: skip


def test_each_figure_is_described_before_anything_is_counted_and_no_other_is_shown(connection: Connection) -> None:
    named = {one.name for one in SHOWN}
    assert len(named) == len(SHOWN)
    own = {"coilflow_database_up", "coilflow_figures_counting_seconds"}
    assert set(shown(connection)) == named - own


def test_coils_are_counted_by_plant_and_what_became_of_them(connection: Connection) -> None:
    decide(connection, decided("1"), decided("2", 0.9), decided("3", plant="ghent"), at=NOW)
    decide(connection, decided("4"), at=NOW - timedelta(hours=2))
    record_dead_letters(connection, [letter("5"), letter(None, "assemble")])
    found = shown(connection)
    assert found["coilflow_last_hour_verdicts"] == {("linz", "OK"): 1, ("linz", "NOK"): 1, ("ghent", "OK"): 1}
    assert found["coilflow_unfinished_coils"] == {("linz", "dead_lettered"): 1}
    assert found["coilflow_oldest_unfinished_coil_seconds"]["linz", "dead_lettered"] < 60
    assert found["coilflow_dead_letters"] == {("linz", "decode"): 1, ("", "assemble"): 1}
    assert found["coilflow_last_verdict_timestamp_seconds"]["linz", "NOK"] == pytest.approx(NOW.timestamp())
    assert set(found["coilflow_misfiled_coils"].values()) == {0}


@pytest.mark.parametrize(
    ("fault", "broken_by"),
    [
        ("verdict_without_decision", "update coilflow.coils set state = 'open' where coil_id = '1'"),
        ("decision_without_verdict", "delete from coilflow.verdicts where coil_id = '1'"),
        ("refusal_without_letter", "delete from coilflow.dead_letters"),
    ],
)
def test_a_coil_whose_state_is_not_what_became_of_it_is_counted(
    connection: Connection, fault: str, broken_by: str
) -> None:
    decide(connection, decided("1"), at=NOW)
    record_dead_letters(connection, [letter("2")])
    connection.execute(broken_by.encode())
    found = shown(connection)["coilflow_misfiled_coils"]
    assert {name for (name,), coils in found.items() if coils} == {fault}


def test_feedback_dries_up_where_coils_are_judged_and_nobody_speaks_for_so_long_as_the_settings_say(
    connection: Connection,
) -> None:
    for plant in ("linz", "ghent"):
        decide(connection, decided("1", plant=plant), at=NOW - timedelta(days=5))
        decide(connection, decided("2", plant=plant), at=NOW)
    decide(connection, decided("1", plant="new"), at=NOW)
    say(connection, "1", "OK", plant="ghent", after=NOW - NOON)
    found = shown(connection)
    assert found["coilflow_feedback_dried_up"] == {("ghent",): 0, ("linz",): 1, ("new",): 0}
    assert found["coilflow_last_hour_feedback"] == {("ghent",): 1}
    patient = shown(connection, alarms={"no_feedback_days": 30})
    assert set(patient["coilflow_feedback_dried_up"].values()) == {0}


def test_coils_that_wait_for_a_person_are_those_of_the_review_queue(connection: Connection) -> None:
    coils = [decided(coil_id, 0.9) for coil_id in "abc"] + [decided("d"), decided("e", 0.9, plant="ghent")]
    decide(connection, *coils, at=NOW)
    say(connection, "b", "OK", operator="mia", after=NOW - NOON)
    say(connection, "b", "NOK", operator="ben", after=NOW - NOON)
    say(connection, "d", "OK", operator="mia", after=NOW - NOON)
    connection.execute(
        "insert into coilflow.second_reviews (plant, coil_id, revision, probability, drawn_at)"
        " values ('linz', 'd', 'r1', 0.1, now())"
    )
    rows = connection.execute("select plant, why, count(*) from coilflow.review_queue group by plant, why").fetchall()
    found = shown(connection)["coilflow_reviews_waiting"]
    assert found == {(row["plant"], row["why"]): row["count"] for row in rows}
    assert set(found) == {("linz", "review"), ("linz", "disputed"), ("linz", "second"), ("ghent", "review")}


def test_drift_is_shown_with_its_bound(connection: Connection) -> None:
    figures = {"below": {"psi": 0.4, "at_least": 0.25, "mean": 0.1, "reference_mean": 0.02, "coils": 500}}
    for drifted in (True, False):
        store_drift_check(
            connection,
            DriftCheck(
                checked_at=NOW, plant="linz", ensemble_version="e1", coils=500, drifted=drifted, sentence="so",
                figures=figures,
            ),
        )  # fmt: skip
    found = shown(connection)
    assert found["coilflow_drift_psi"] == {("linz", "below"): 0.4}
    assert found["coilflow_drift_bound_psi"] == {("linz", "below"): 0.25}
    assert found["coilflow_drifted"] == {("linz",): 0}, "the last check counts"


def test_whether_any_scheduler_leads_is_told_by_the_lock(connection: Connection, database: str) -> None:
    assert shown(connection)["coilflow_leader_leads"] == {(): 0}
    with leader_session(database) as session:
        assert take_over(session, "this test", silent_after_s=60) is not None
        assert shown(connection)["coilflow_leader_leads"] == {(): 1}
    wait_until(lambda: shown(connection)["coilflow_leader_leads"] == {(): 0})
    assert shown(connection)["coilflow_leader_silent_seconds"][()] >= 0


def test_alarms_that_stand_are_counted_by_kind(connection: Connection) -> None:
    raise_alarm(connection, NO_LEADER, "", text="nobody leads", now=NOW)
    for job in ("score", "drift"):
        raise_alarm(connection, "missed_fire", job, text="missed", now=NOW)
    assert shown(connection)["coilflow_alarms"] == {("no_leader",): 1, ("missed_fire",): 2}


def test_the_policys_bounds_are_those_of_the_settings(connection: Connection) -> None:
    found = shown(connection, policy={"least_recall": 0.5, "more_than_coils": 7})
    assert found["coilflow_policy_bound_ratio"] == {("agreement",): 0.75, ("recall",): 0.5, ("false_alarms",): 0.2}
    assert found["coilflow_policy_more_than_coils"] == {(): 7}


def test_a_database_that_is_away_is_shown_and_old_figures_are_not(database: str) -> None:
    registry = CollectorRegistry()
    with showing_figures(database, SHOWING, every_s=0.05, registry=registry) as figures:
        wait_until(lambda: registry.get_sample_value("coilflow_database_up") == 1)
        assert registry.get_sample_value("coilflow_leader_leads") == 0
        names = {family.name for family in figures.families}
    assert "coilflow_score_ratio" in names
    away = Settings(metrics_port=9)
    with showing_figures("postgresql://127.0.0.1:9/away", away, every_s=0.05, registry=registry):
        wait_until(lambda: registry.get_sample_value("coilflow_database_up") == 0)
        assert registry.get_sample_value("coilflow_leader_leads") is None


@pytest.mark.parametrize("fault", ["a defect", "a hang"])
def test_figures_that_are_not_counted_any_more_are_not_shown_as_if_they_were(
    database: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, broken, ended = CollectorRegistry(), threading.Event(), threading.Event()

    def counted(*given: Any, **named: Any) -> Any:
        if broken.is_set() and fault == "a defect":
            raise KeyError("a row that nobody thought of")
        if broken.is_set():
            ended.wait()
        return count_figures(*given, **named)

    monkeypatch.setattr(figures_module, "count_figures", counted)
    monkeypatch.setattr(figures_module, "_OLDEST_S", 600.0 if fault == "a defect" else 1.0)
    with showing_figures(database, SHOWING, every_s=0.05, registry=registry):
        wait_until(lambda: registry.get_sample_value("coilflow_leader_leads") == 0)
        broken.set()
        wait_until(lambda: registry.get_sample_value("coilflow_database_up") == 0)
        assert registry.get_sample_value("coilflow_leader_leads") is None
        broken.clear()
        ended.set()
        wait_until(lambda: registry.get_sample_value("coilflow_database_up") == 1)


def test_nothing_is_counted_where_no_port_shows_it(database: str) -> None:
    registry, threads = CollectorRegistry(), threading.active_count()
    with showing_figures(database, Settings(), registry=registry):
        assert threading.active_count() == threads
    assert list(registry.collect()) == []


def test_a_destination_that_got_everything_shows_nothing_waiting(connection: Connection) -> None:
    waiting = ("coilflow_outbox_waiting_rows", {"messaging_system": "kafka", "messaging_destination_name": "figures"})
    record_verdicts(connection, [decided("1")], decided_at=NOW, destinations=("kafka:figures",))
    count_figures(connection, Settings(), now=NOW)
    assert REGISTRY.get_sample_value(*waiting) == 1
    connection.execute("update coilflow.outbox set published_at = now()")
    count_figures(connection, Settings(), now=NOW)
    assert REGISTRY.get_sample_value(*waiting) == 0


def test_scores_are_those_of_what_serves_with_their_intervals(connection: Connection) -> None:
    register(connection, "e1", "e2")
    promote(connection, "e2", ANNA)
    for ensemble, coils in (("e1", "ab"), ("e2", "cdef")):
        for coil_id in coils:
            one = decided(coil_id, 0.9, ensemble=ensemble, members=[("cnn", ensemble, 0.9)])
            decide(connection, one, at=NOW - timedelta(hours=1))
            word: Truth = "OK" if coil_id == "f" else "NOK"
            say(connection, coil_id, word, after=NOW - NOON)
    score_models(connection, Settings(), NOW)
    found = shown(connection)
    scored, score = found["coilflow_score_evaluated_coils"], found["coilflow_score_ratio"]
    assert scored == {(p, "champion", m, "e2"): 4 for p in ("", "linz") for m in ("", "cnn")}
    low, value, high = (score["", "champion", "", "e2", "agreement", limit] for limit in ("low", "value", "high"))
    assert 0 < low < value == 0.75 < high < 1
    assert score["linz", "champion", "", "e2", "recall", "value"] == 1


@pytest.mark.parametrize("outcome", ["swapped", "refused", "silent"])
def test_live_workers_are_counted_by_what_they_made_of_what_the_registry_names(
    connection: Connection, outcome: Outcome | Literal["silent"]
) -> None:
    register(connection, "e1")
    promote(connection, "e1", ANNA)
    for worker, seen_at in (("w1", datetime.now(UTC)), ("w2", NOW - timedelta(hours=1))):
        note_worker(connection, Worker(worker=worker, host="h", kind="kafka", seen_at=seen_at))
    if outcome != "silent":
        said = SwapAnswer(
            worker="w1", plant="", ensemble_version="e1", role="champion", outcome=outcome, reason="why", at=NOW
        )
        answer(connection, said, name="line", announce=())
    assert shown(connection)["coilflow_ensemble_workers"] == {("", "champion", "e1", outcome): 1}
