"""What got no verdict can be found again, and read as it came."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.coils import CoilKey
from store.connection import Connection
from tests.deadletters.conftest import KEY, Command, from_inbox, kept, message, whole_coil


def listed(command: Command, *filters: str) -> list[int]:
    ran = command("list", "--json", *filters)
    found = [json.loads(line)["id"] for line in ran.out.splitlines()]
    assert ran.code == (0 if found else 1)
    return found


def test_each_filter_finds_what_it_names_newest_first(command: Command, connection: Connection) -> None:
    graz = replace(message(3, key=CoilKey(plant="graz", coil_id="8")), step="assemble")
    one, two, three, four = kept(connection, message(1), whole_coil(2), graz, message(4, topic="other.chunks"))
    connection.execute("update coilflow.dead_letters set state = 'replayed' where dead_letter_id = %s", [one])
    connection.execute(
        "update coilflow.dead_letters set created_at = now() - interval '5 hours' where dead_letter_id = %s", [two]
    )
    assert listed(command) == [four, three, two, one]
    assert listed(command, "--limit", "2") == [four, three]
    assert listed(command, "--plant", "graz") == [three]
    assert listed(command, "--coil", "7") == [two]
    assert listed(command, "--step", "assemble") == [three, two]
    assert listed(command, "--state", "replayed") == [one]
    assert listed(command, "--topic", "other.chunks") == [four]
    assert listed(command, "--since", "3h") == [four, three, one]
    assert listed(command, "--since", "2999-01-01") == []
    assert listed(command, "--plant", "linz", "--step", "decode") == []


def test_the_table_names_coil_step_and_error(command: Command, connection: Connection) -> None:
    assert command("list").out == "no dead letter\n"
    kept(connection, whole_coil(2))
    said = command("list").out
    for part in ("linz/7", "assemble", "two coil.started events disagree", "new"):
        assert part in said


@pytest.mark.parametrize("option", [("--since", "yesterday"), ("--state", "old"), ("--since", "999999999999d")])
def test_a_filter_that_cannot_be_is_wrong_use(command: Command, option: tuple[str, str]) -> None:
    assert command("list", *option).code == 2


def test_all_of_a_message_is_shown_and_its_bytes_are_written_as_they_came(
    command: Command, connection: Connection, tmp_path: Path
) -> None:
    [letter] = kept(connection, message(5))
    ran = command("show", letter, "--original", tmp_path / "bytes")
    assert ran.code == 0
    assert (tmp_path / "bytes").read_bytes() == b"{\xff"
    for part in ("the message is no JSON", "header ce_type", "coil.chunk", "0x00ff", "linz/7", "offset", "7b ff"):
        assert part in ran.out


def test_events_are_shown_as_text(command: Command, connection: Connection) -> None:
    [letter] = kept(connection, from_inbox())
    said = command("show", letter).out
    assert '"type": "coil.started"' in said
    assert "more signs; --original FILE writes all" in said
    assert KEY.coil_id in said


def test_a_dead_letter_that_is_not_there_is_said(command: Command) -> None:
    ran = command("show", 99)
    assert ran.code == 1
    assert "there is no dead letter 99" in ran.err


def test_what_is_given_up_says_who_did_it_and_why(command: Command, connection: Connection) -> None:
    one, two = kept(connection, message(1), message(2))
    ran = command("discard", one, 999, "--why", "scrapped", "--who", "anna")
    assert (ran.code, ran.out) == (0, f"dead letter {one}: discarded\n")
    assert "there is no dead letter 999" in ran.err
    assert listed(command, "--state", "discarded") == [one]
    shown = command("show", one).out
    for part in ("anna", "scrapped"):
        assert part in shown
    again = command("discard", one, "--why", "scrapped")
    assert (again.code, "not discarded: it is discarded" in again.out) == (1, True)
    assert command("discard", two).code == 2
