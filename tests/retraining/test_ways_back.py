"""Promises of the ways back: to what served before, never to what is damaged; and out of a shadow that is over."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from flows.change_models import new_ensemble
from scheduler.promotion import promote_successors
from schemas.loop_settings import PromotionSettings
from schemas.settings import Settings
from store.alarms import open_alarms
from store.connection import Connection
from store.decisions import last_decisions
from store.registered import champion_of, ensemble, model_changes, serving
from store.registry import freeze, promote, register_ensemble, reject, rollback, shadow, unfreeze
from store.training import begin_retraining, lose_retrainings, retrainings
from tests.registry.given import states
from tests.retraining.given import (
    ANNA,
    NOON,
    accept_successor,
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

Job = Callable[[float], str]
WATCHED = 30


@contextmanager
def promoting(database: str, connection: Connection, folder: Path) -> Iterator[tuple[Settings, Job]]:
    """A champion that looks at the right face, and the job `promotion`, which runs at a day."""
    given = settings(folder, promotion=PromotionSettings(shadow_coils=20, watch_coils=WATCHED))
    serve_champion(connection, folder, given)
    with leading(database) as epoch:
        yield (
            given,
            lambda days: run(database, given, promote_successors, "promotion", epoch=epoch, now=NOON + days * DAY),
        )


def take_over(connection: Connection, days: float, version: str, plant: str = "") -> None:
    """A person promotes an ensemble."""
    promote(connection, version, replace(ANNA, at=NOON + days * DAY), plant=plant)


def serve(
    connection: Connection, given: Settings, days: float, *, count: int, first: int, by: str, well: bool = True
) -> None:
    """An ensemble judges coils; people say that of the top face it is right, or that of the bottom one it never is."""
    batch = coils(count, first=first)
    asked = judge(connection, given, batch, at=NOON + days * DAY, by=by)
    face, flipped = ("top", ()) if well else ("bottom", asked)
    label(connection, batch, asked, face=face, at=NOON + (days + 0.1) * DAY, flipped=flipped)


def told(connection: Connection, kind: str) -> list[tuple[str, int]]:
    """Subject of each open alarm of a kind, and how often it was found."""
    return sorted((one.subject, one.times) for one in open_alarms(connection) if one.kind == kind)


def test_a_rollback_goes_back_to_what_served_before_and_says_so_though_that_is_not_the_parent(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    with promoting(database, connection, tmp_path) as (given, at):
        accept_successor(connection, tmp_path, given, "bad")
        other = new_ensemble(write_champion(tmp_path, "other", member="other"), given)
        register_ensemble(connection, other, ANNA)
        serve(connection, given, 0, count=20, first=0, by="champion")
        take_over(connection, 0.5, "other")
        serve(connection, given, 0.6, count=25, first=20, by="other")
        assert "bad waiting: stale: other serves now" in at(0.8)
        take_over(connection, 1, "bad")
        assert "by_hand: a person promoted it" in at(1.1)
        serve(connection, given, 1.2, count=WATCHED, first=100, by="bad", well=False)
        assert "bad rolled_back: worse_than_before" in at(1.5)

        assert states(connection, "champion", "other", "bad") == {
            "champion": "retired",
            "other": "champion",
            "bad": "rejected",
        }
        [decision] = last_decisions(connection, "promotion", most=1)
        assert decision.act
        assert decision.why[-1] == "back_to: other, which served before"
        assert decision.evidence["before"] == 25, "it is held against what it followed"
        [alarm] = open_alarms(connection)
        assert alarm.kind == "rolled_back"
        assert "back_to: other" in alarm.text
        assert "champion" not in alarm.text
        gone = model_changes(connection, version="bad")[-1]
        assert gone.change == "rolled_back"
        assert "back_to: other" in gone.why


def test_what_is_damaged_is_not_gone_back_to_until_it_is_restored_and_a_person_is_told(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    with promoting(database, connection, tmp_path) as (given, at):
        serve(connection, given, 0, count=40, first=0, by="champion")
        accept_successor(connection, tmp_path, given, "bad")
        take_over(connection, 1, "bad")
        at(1.1)
        accept_successor(connection, tmp_path, given, "next", parent="bad")
        assert "next shadow" in at(1.15)
        serve(connection, given, 1.2, count=WATCHED, first=100, by="bad", well=False)
        place = next((given.data_dir / "ensembles" / "champion").rglob("model.onnx"))
        whole = place.read_bytes()
        place.write_bytes(whole[:-100])
        for time in (1, 2):
            said = at(1.5 + time / 100)
            assert "bad waits: cannot_roll_back: champion served before; trial: " in said
            assert "next waits: few_coils" in said
            assert serving(connection)[""].champion == "bad"
            # The two of one plant are told of apart: that one has nothing to tell ends no alarm of the other.
            assert told(connection, "successor_waits") == [("every plant: successor bad", time)]
        place.write_bytes(whole)
        assert "bad rolled_back: worse_than_before" in at(1.6)
        assert states(connection, "champion", "bad") == {"champion": "champion", "bad": "rejected"}
        assert "next waiting: stale: champion serves now" in at(1.7)
        assert serving(connection)[""].shadow is None
        assert told(connection, "successor_waits") == [("every plant: successor next", 1)]


def test_a_shadow_whose_champion_is_gone_leaves_its_place_and_a_person_may_give_it_back(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    with promoting(database, connection, tmp_path) as (given, at):
        accept_successor(connection, tmp_path, given, "first")
        assert "first shadow" in at(0.1)
        other = new_ensemble(write_champion(tmp_path, "other", member="other"), given)
        register_ensemble(connection, other, ANNA)
        take_over(connection, 0.2, "other")
        freeze(connection, ANNA)
        assert "first waits: registry: automatic change is frozen" in at(0.3)
        assert serving(connection)[""].shadow == "first"
        unfreeze(connection, ANNA)
        assert "first waiting: stale: other serves now, and it was not judged against that" in at(0.4)
        assert serving(connection)[""].shadow is None
        assert states(connection, "first") == {"first": "candidate"}
        left = model_changes(connection, version="first")[-1]
        assert (left.change, left.who) == ("withdrawn", "promotion")
        assert left.why.startswith("stale: other serves now")
        assert told(connection, "successor_waits") == [("every plant: successor first", 2)]

        accept_successor(connection, tmp_path, given, "second", parent="other")
        assert "second shadow" in at(0.5)
        reject(connection, "second", ANNA)
        shadow(connection, "first", ANNA)
        at(0.6)
        assert serving(connection)[""].shadow == "first", "what a person lets shadow stays"
        assert at(0.7) == "no successor is on its way"
        reject(connection, "first", ANNA)
        assert "first rejected: by_hand: it is rejected" in at(0.8)
        assert told(connection, "successor_waits") == [], "nobody waits for whoever gave it up"
        assert [one.state for one in retrainings(connection)] == ["rejected", "rejected"]


def test_a_shadow_of_a_plant_whose_own_champion_is_gone_leaves_its_place(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    with promoting(database, connection, tmp_path) as (given, at):
        own = new_ensemble(write_champion(tmp_path, "own", member="own"), given, plant="graz")
        register_ensemble(connection, own, ANNA)
        take_over(connection, 0.1, "own", plant="graz")
        accept_successor(connection, tmp_path, given, "next", parent="own", plant="graz")
        assert "graz: successor next shadow" in at(0.2)
        rollback(connection, ANNA, plant="graz")
        assert serving(connection)["graz"].shadow == "next"
        assert "graz: successor next waiting: stale: champion serves now" in at(0.3)
        assert "graz" not in serving(connection)
        found = ensemble(connection, "next")
        assert found is not None
        assert found.state == "candidate"


def test_a_watch_goes_on_however_many_attempts_at_a_successor_follow(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    with promoting(database, connection, tmp_path) as (given, at):
        serve(connection, given, 0, count=40, first=0, by="champion")
        accept_successor(connection, tmp_path, given, "bad")
        take_over(connection, 1, "bad")
        at(1.1)
        for attempt in range(1, 31):
            begin_retraining(
                connection,
                plant="",
                members=("faces",),
                how="head",
                parent="bad",
                why="it is given",
                attempt_id=attempt,
                epoch=0,
                at=NOON + 1.1 * DAY,
            )
            lose_retrainings(connection, attempt_id=0, at=NOON + 1.1 * DAY)
        serve(connection, given, 1.2, count=WATCHED, first=100, by="bad", well=False)
        assert "bad rolled_back: worse_than_before" in at(1.5)


def test_a_slow_plant_is_watched_no_longer_than_the_window_and_one_that_stands_still_until_it_runs(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    with promoting(database, connection, tmp_path) as (given, at):
        serve(connection, given, 0, count=40, first=0, by="champion")
        accept_successor(connection, tmp_path, given, "slow", face="top")
        take_over(connection, 1, "slow")
        at(1.1)
        window_days = given.score.window_days
        assert f"slow waits: watched: 0 of {WATCHED} coils" in at(1.2 + window_days)
        serve(connection, given, 1.3 + window_days, count=3, first=100, by="slow")
        said = at(1.6 + window_days)
        assert "slow kept: no_worse: " in said
        assert f"; watched: 3 of {WATCHED} coils judged as champion" in said
        assert at(1.7 + window_days) == "no successor is on its way"


def test_a_plants_first_own_champion_is_held_against_what_served_the_plant_and_not_what_serves_others_now(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    with promoting(database, connection, tmp_path) as (given, at):
        serve(connection, given, 0, count=40, first=0, by="champion")
        accept_successor(connection, tmp_path, given, "bad", plant="linz")
        take_over(connection, 1, "bad", plant="linz")
        at(1.1)
        other = new_ensemble(write_champion(tmp_path, "other", member="other"), given)
        register_ensemble(connection, other, ANNA)
        take_over(connection, 1.15, "other")
        serve(connection, given, 1.2, count=WATCHED, first=100, by="bad", well=False)
        assert "linz: successor bad rolled_back: worse_than_before" in at(1.5)
        [decision] = last_decisions(connection, "promotion", most=1)
        assert decision.evidence["before"] == WATCHED, "of the champion that served linz"
        assert decision.why[-1] == "back_to: other, which serves every plant now, and champion served before"
        assert champion_of(serving(connection), "linz") == "other"
