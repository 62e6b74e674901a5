"""Promises of `coilflow models`: what serves is shown and changed by a person, and what must not be is refused."""

import re
import shutil
from pathlib import Path

import pytest

from console import output
from schemas.coils import Limits
from schemas.settings import load_settings
from store.connection import connect
from store.registered import ensembles, model_changes, serving
from tests.console.conftest import Coilflow
from tests.flows.given import three, write_tables
from tests.swap.given import write_no_model, write_other_limits, write_version


@pytest.fixture
def database(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A migrated database, which the settings name."""
    monkeypatch.setenv("COILFLOW_DATABASE_DSN", database)
    return database


def champion(dsn: str) -> str | None:
    with connect(dsn) as connection:
        return serving(connection)[""].champion


def test_an_empty_registry_lists_nothing_and_a_first_run_fills_it(
    coilflow: Coilflow, database: str, place: Path
) -> None:
    ran = coilflow("models", "list")
    assert (ran.code, "no ensemble is registered" in ran.out) == (1, True)
    assert coilflow("models", "verify").sentence().startswith("error: nothing serves yet")
    assert coilflow("assess", write_tables(three(), place / "line"), "--store").code == 0
    [one] = coilflow("models", "list", "--json").objects
    assert (one["version"], one["state"], one["champion_of"], one["who"], one["score"]) == (
        "e1",
        "champion",
        [""],
        "start",
        None,
    )
    assert "e1" in coilflow("models", "list").out


def test_a_person_registers_promotes_and_goes_back(coilflow: Coilflow, database: str, place: Path) -> None:
    for version in ("v1", "v2"):
        ran = coilflow("models", "register", write_version(place, version), "--json")
        assert ran.objects == [{"registered": version, "location": f"ensembles/{version}", "new": True}]
        why = ("--who", "anna", "--why", "trial week")
        assert coilflow("models", "promote", version, *why, "--json").objects == [
            {"champion": version, "plant": "every plant"}
        ]
    assert champion(database) == "v2"
    with connect(database) as connection:
        [*_, promoted] = model_changes(connection, version="v2")
    assert (promoted.change, promoted.who, promoted.why) == ("promoted", "anna", "trial week")
    assert coilflow("models", "rollback", "--json").objects == [{"champion": "v1", "plant": "every plant"}]
    shown = coilflow("models", "show", "v2", "--json").objects[0]
    assert (shown["state"], [one["change"] for one in shown["changes"]]) == (
        "rejected",
        ["registered", "promoted", "rolled_back"],
    )
    assert "rolled back" in coilflow("models", "show", "v2").out
    assert coilflow("models", "rollback").sentence().startswith("error: there is no champion before v1")


def test_lost_files_of_the_champion_before_do_not_bar_the_way_back(
    coilflow: Coilflow, database: str, place: Path
) -> None:
    for version in ("v1", "v2", "v3"):
        assert coilflow("models", "register", write_version(place, version)).code == 0
        assert coilflow("models", "promote", version).code == 0
    with connect(database) as connection:
        kept = {one.version: one.location for one in ensembles(connection)}
    shutil.rmtree(load_settings().data_dir / kept["v2"])
    assert coilflow("models", "rollback", "--to", "v2").sentence().startswith("error:")
    assert coilflow("models", "rollback", "--to", "v4").sentence().startswith("error: every plant cannot go back to v4")
    assert champion(database) == "v3"
    assert coilflow("models", "rollback", "--json").objects == [{"champion": "v1", "plant": "every plant"}]
    with connect(database) as connection:
        assert "passed over ensemble v2 is not on this machine" in model_changes(connection, version="v1")[-1].why


def test_what_is_damaged_retired_foreign_or_unknown_is_not_promoted(
    coilflow: Coilflow, database: str, place: Path
) -> None:
    for version in ("v1", "v2"):
        assert coilflow("models", "register", write_version(place, version)).code == 0
        assert coilflow("models", "promote", version).code == 0
    others = (
        write_no_model(place, "broken", b"no graph"),
        write_other_limits(place, "limits", Limits(low=-50.0, high=50.0)),
        write_version(place, "altered"),
    )
    for folder in others:
        assert coilflow("models", "register", folder).code == 0
    (place / "data" / "ensembles" / "altered" / "mean-altered" / "model.onnx").write_bytes(b"x")
    for version, reason in {
        "broken": "ONNX Runtime cannot load it",
        "altered": "the file was altered",
        "limits": "its limits are",
        "v1": "v1 is retired and cannot be promoted",
        "v2": "v2 is the champion of every plant already",
        "nothing": "there is no ensemble 'nothing'",
    }.items():
        ran = coilflow("models", "promote", version)
        assert (ran.code, reason in ran.sentence()) == (1, True), ran.err
        assert champion(database) == "v2"


def test_a_folder_that_is_damaged_is_not_registered(coilflow: Coilflow, database: str, place: Path) -> None:
    folder = write_version(place, "v1")
    (folder / "mean-v1" / "model.onnx").write_bytes(b"x")
    ran = coilflow("models", "register", folder)
    assert (ran.code, "the file was altered" in ran.sentence()) == (1, True)
    assert coilflow("models", "list").code == 1


def test_verify_says_which_ensemble_is_good(coilflow: Coilflow, database: str, place: Path) -> None:
    assert coilflow("models", "register", write_version(place, "v1")).code == 0
    assert coilflow("models", "promote", "v1").code == 0
    [said] = coilflow("models", "verify", "--json").objects
    assert (said["version"], said["good"]) == ("v1", True)
    (place / "data" / "ensembles" / "v1" / "mean-v1" / "model.onnx").write_bytes(b"x")
    ran = coilflow("models", "verify", "v1", "--json")
    assert (ran.code, ran.objects[0]["good"], "was altered" in ran.objects[0]["error"]) == (1, False, True)


def test_freeze_and_unfreeze_say_whether_they_changed_anything(coilflow: Coilflow, database: str) -> None:
    ran = [coilflow("models", command, "--json").objects for command in ("freeze", "freeze", "unfreeze")]
    assert [[(said["frozen"], said["changed"]) for said in objects] for objects in ran] == [
        [(True, True)],
        [(True, False)],
        [(False, True)],
    ]


def test_who_finds_change_frozen_is_told_by_whom_and_why(coilflow: Coilflow, database: str) -> None:
    assert coilflow("models", "freeze", "--who", "anna", "--why", "audit").out == "automatic change is frozen\n"
    again = coilflow("models", "freeze", "--who", "berta", "--why", "holiday").out
    assert again.startswith("automatic change is frozen already, since ")
    assert again.endswith(" by anna: audit; nothing was changed\n")
    assert coilflow("models", "unfreeze").out == "automatic change goes on\n"
    assert coilflow("models", "unfreeze").out == "automatic change is not frozen; nothing was changed\n"


def test_each_change_is_told_in_a_sentence_and_nothing_in_python(
    coilflow: Coilflow, database: str, place: Path
) -> None:
    told = [coilflow("models", "register", write_version(place, version)).out for version in ("v1", "v2", "v3")]
    assert told[0] == "v1 is registered as a candidate, kept in ensembles/v1\n"
    told += [
        coilflow("models", *arguments).out
        for arguments in (
            ("promote", "v1"),
            ("shadow", "v2", "--plant", "linz"),
            ("promote", "v3"),
            ("verify", "v3"),
            ("rollback",),
            ("reject", "v2"),
            ("show", "v1"),
            ("list",),
        )
    ]
    assert told[4] == "v2 judges linz beside its champion; its verdicts count for nothing\n"
    assert told[7] == "v1 is the champion of every plant again\n"
    assert re.search(r"v3 is good: .* off by \d\.\de-\d\d at most, \d+\.\d\d ms a coil", told[6])
    assert re.search(r"champion of +every plant", told[9])
    for sentence in told:
        assert not re.search(r"\[|True|False|None|\.\d{4,}|[a-z]_[a-z]", sentence), sentence


def test_a_version_that_is_known_and_a_folder_that_is_wrong_are_told(
    coilflow: Coilflow, database: str, place: Path
) -> None:
    folder = write_version(place, "v1")
    assert coilflow("models", "register", folder).code == 0
    again = coilflow("models", "register", folder)
    assert (again.code, again.out.startswith("v1 was registered before, at ")) == (0, True)
    assert coilflow("models", "register", folder, "--json").objects[0]["new"] is False
    wrong = coilflow("models", "register", place / "data")
    assert (wrong.code, "give as FOLDER the folder that holds ensemble.json" in wrong.sentence()) == (2, True)


def test_at_80_columns_no_version_and_no_state_is_broken(
    coilflow: Coilflow, database: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output.out, "width", 80)
    version = "2026.11.20-linz-17"
    why = ("--why", "the quarterly review of the line asked for it", "--who", "anna-maria.huber")
    assert coilflow("models", "register", write_version(place, version), *why).code == 0
    listed = coilflow("models", "list").out
    assert version in listed
    assert "candidate" in listed
    assert max(map(len, listed.splitlines())) <= 80


def test_a_shadow_is_set_and_rejected(coilflow: Coilflow, database: str, place: Path) -> None:
    for version in ("v1", "v2"):
        assert coilflow("models", "register", write_version(place, version)).code == 0
    assert coilflow("models", "promote", "v1").code == 0
    assert coilflow("models", "shadow", "v2", "--plant", "linz").code == 0
    with connect(database) as connection:
        assert serving(connection)["linz"].shadow == "v2"
    assert coilflow("models", "reject", "v2", "--why", "worse").code == 0
    with connect(database) as connection:
        assert "linz" not in serving(connection)


def test_the_list_has_the_last_score_of_each_and_whether_change_is_frozen(
    coilflow: Coilflow, database: str, place: Path
) -> None:
    assert coilflow("assess", write_tables(three(), place / "line"), "--store").code == 0
    assert coilflow("models", "register", write_version(place, "v1")).code == 0
    for coil, label in {"1": "OK", "2": "NOK"}.items():
        assert coilflow("feedback", coil, label, "--plant", three()[0].plant, "--operator", "mia").code == 0
    assert coilflow("scheduler", "once", "score").code == 0
    scored, unscored = coilflow("models", "list", "--json").objects
    assert (scored["version"], scored["score"]["evaluated"], scored["score"]["role"]) == ("e1", 2, "champion")
    assert scored["score"]["agreement"]["value"] == 0.5
    assert scored["score"]["nok_recall"]["value"] == 0.0
    assert (unscored["version"], unscored["score"], unscored["frozen"]) == ("v1", None, None)
    assert "50.0%" in coilflow("models", "list").out
    assert "50.0% of 2" in coilflow("models", "show", "e1").out
    assert coilflow("models", "freeze", "--who", "anna", "--why", "audit").code == 0
    frozen = coilflow("models", "list", "--json").objects[0]["frozen"]
    assert (frozen["who"], frozen["why"]) == ("anna", "audit")
