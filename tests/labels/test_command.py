"""`coilflow feedback` and `coilflow labels`, as a person meets them."""

import getpass
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.coils import CoilKey
from store.connection import Connection
from store.feedback import record_feedback
from store.verdicts import record_verdicts
from tests.labels.conftest import Command
from tests.labels.given import minutes, word
from tests.store.given import NOON, decided


def test_a_word_is_stored_with_who_says_it_and_waits_for_a_coil_that_is_not_known(command: Command) -> None:
    ran = command("feedback", "7", "nok", "--kind", "thin_edge", "--note", "behind the weld")
    assert ran.code == 0
    assert f"{getpass.getuser()} says NOK" in ran.out
    assert "its label is NOK; nothing else is known of this coil, so it waits for it" in ran.out
    [label] = command("labels", "list", "--json").objects
    assert (label["label"], label["defect_kind"], label["voices"]) == ("NOK", "thin_edge", 1)


def test_a_dispute_is_told_listed_and_settled(command: Command, connection: Connection) -> None:
    record_verdicts(connection, [decided("7")], decided_at=NOON, destinations=())
    [first] = command("feedback", "7", "OK", "--operator", "anna", "--json").objects
    assert (first["coil_known"], first["disputed"], first["label"]) == (True, False, "OK")
    assert "it is disputed among 2" in command("feedback", "7", "NOK", "--operator", "berta").out
    assert "disputed" in command("labels", "list").out
    [dispute] = command("labels", "disputed", "--json").objects
    assert [(said["voice"], said["label"]) for said in dispute["words"]] == [("anna", "OK"), ("berta", "NOK")]
    assert first["id"] in command("labels", "disputed").out
    assert "its label is NOK, settled" in command("feedback", "7", "NOK", "--operator", "chief", "--settle").out
    assert command("labels", "disputed").code == 1
    [pair] = [row for row in command("labels", "agreement", "--json").objects if "voices" in row]
    assert (pair["voices"], pair["coils"], pair["agreed"]) == (["anna", "berta"], 1, 0)
    assert "anna and berta" in command("labels", "agreement").out
    assert command("labels", "agreement", "--blind").code == 1


def test_a_word_is_corrected_by_its_id(command: Command) -> None:
    [slip] = command("feedback", "7", "NOK", "--operator", "anna", "--json").objects
    ran = command("feedback", "7", "OK", "--operator", "berta", "--corrects", slip["id"], "--json")
    assert [(said["label"], said["voices"]) for said in ran.objects] == [("OK", 1)]


def test_wrong_use_is_told_and_stores_nothing(command: Command, connection: Connection) -> None:
    for arguments, what in (
        (("7", "BAD"), "say OK or NOK"),
        (("7", "OK", "--face", "left"), "face"),
        (("7", "NOK", "--from-m", "9", "--to-m", "3"), "from_m 9 lies past to_m 3"),
        (("7", "NOK", "--from-m", "-1"), "from_m"),
        (("7", "NOK", "--from-m", "nan"), "from_m"),
        (("7", "NOK", "--to-m", "inf"), "to_m"),
        (("7", "NOK", "--operator", "  "), "operator"),
        (("", "NOK"), "coil_id"),
        (("7", "OK", "--note", "x" * 4001), "note"),
    ):
        ran = command("feedback", *arguments)
        assert ran.code == 2, arguments
        assert what in ran.err
    assert connection.execute("select from coilflow.feedback").rowcount == 0


def test_the_queue_says_why_and_never_what_was_said(command: Command, connection: Connection) -> None:
    asked = decided("asked")
    asked = replace(asked, verdict=replace(asked.verdict, review=("alarm: 0.9",), review_probability=1.0))
    quiet, labelled = decided("quiet"), replace(asked, verdict=replace(asked.verdict, key=decided("seen").verdict.key))
    record_verdicts(connection, [asked, quiet, labelled], decided_at=NOON, destinations=())
    words = [word("NOK", coil="seen", by="anna"), word("OK", coil="two"), word("NOK", coil="two", by="berta")]
    record_feedback(connection, words)
    found = command("labels", "queue", "--json").objects
    assert [(one["why"], one["coil_id"], one["reasons"]) for one in found] == [
        ("disputed", "two", ["disputed: 2 voices"]),
        ("review", "asked", ["alarm: 0.9"]),
    ]
    assert "anna" not in command("labels", "queue").out
    left = command("labels", "queue", "--operator", "berta", "--json").objects
    assert [one["coil_id"] for one in left] == ["asked"]


def test_a_superseded_verdict_asks_for_nothing(command: Command, connection: Connection) -> None:
    first = decided("7")
    first = replace(first, verdict=replace(first.verdict, review=("alarm: 0.9",), review_probability=1.0))
    record_verdicts(connection, [first], decided_at=NOON, destinations=())
    record_verdicts(connection, [decided("7", revision="r2")], decided_at=minutes(1), destinations=())
    assert command("labels", "queue").code == 1


def test_twins_with_opposite_labels_are_listed(
    command: Command, connection: Connection, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("simulate", "--coils", 6, "--out", tmp_path / "shift", "--seed", 1).code == 0
    ran = command("assess", tmp_path / "shift", "--store", database)
    assert ran.code == 0, ran.err
    rows = connection.execute("select plant, coil_id from coilflow.coils order by coil_id").fetchall()
    one, *others = [row["coil_id"] for row in rows]
    for coil in others:
        assert command("feedback", coil, "OK", "--plant", rows[0]["plant"]).code == 0
    assert command("feedback", one, "NOK", "--plant", rows[0]["plant"]).code == 0
    [pair] = command("labels", "twins", "--distance", 9, "--json").objects
    assert (pair["nok"]["coil_id"], pair["twins"]) == (one, len(others))
    assert command("labels", "twins", "--plant", "elsewhere").code == 1
    monkeypatch.setenv("COILFLOW_ENSEMBLE", str(tmp_path / "away"))  # the registry says what serves
    assert command("labels", "twins", "--distance", 9).code == 0


def test_a_coil_of_another_plant_is_refused_until_the_plant_is_named(command: Command, connection: Connection) -> None:
    abroad = decided("7")
    abroad = replace(abroad, verdict=replace(abroad.verdict, key=CoilKey("vienna", "7")))
    record_verdicts(connection, [abroad], decided_at=NOON, destinations=())
    ran = command("feedback", "7", "OK")
    assert (ran.code, "--plant vienna" in ran.err) == (2, True)
    assert command("labels", "list").code == 1
    assert command("feedback", "7", "OK", "--plant", "vienna").code == 0
    assert "it waits for it" in command("feedback", "7", "OK", "--plant", "linz").out


def test_a_correction_of_a_word_that_is_not_known_says_so(command: Command) -> None:
    assert "no word nonsense is known yet" in command("feedback", "7", "OK", "--corrects", "nonsense").out
    [slip] = command("feedback", "7", "NOK", "--json").objects
    assert "is known yet" not in command("feedback", "7", "OK", "--corrects", slip["id"]).out


def test_a_word_may_be_of_an_earlier_time_and_of_a_revision(command: Command, connection: Connection) -> None:
    ran = command("feedback", "7", "OK", "--at", "2026-11-20T06:00", "--revision", "r2", "--json")
    assert [(said["given_at"], said["revision"]) for said in ran.objects] == [("2026-11-20T06:00:00+00:00", "r2")]
    [row] = connection.execute("select revision, given_at from coilflow.feedback").fetchall()
    assert (row["revision"], row["given_at"]) == ("r2", datetime(2026, 11, 20, 6, tzinfo=UTC))
    wrong = command("feedback", "7", "OK", "--at", "yesterday")
    assert (wrong.code, "--at 'yesterday' is no time" in wrong.err) == (2, True)
    assert "which is yet to come" in command("feedback", "7", "OK", "--at", "2999-01-01").err


def test_blanks_around_a_name_make_no_other_voice(command: Command) -> None:
    command("feedback", "7", "OK", "--operator", "anna")
    [again] = command("feedback", "7", "NOK", "--operator", " anna ", "--json").objects
    assert (again["operator"], again["voices"], again["disputed"]) == ("anna", 1, False)
