"""`coilflow keys` and `coilflow users`: secrets are shown once, or never."""

import io
import json
import sys

import pytest

from console.cli import run
from console.passwords import is_password
from store.connection import connect
from store.keys import key_holder
from store.users import user_to_sign_in
from tests.access.given import PASSWORD
from tests.access.test_sessions import NOW


@pytest.fixture(autouse=True)
def _configured(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COILFLOW_DATABASE_DSN", database)


@pytest.fixture(name="typed")
def _typed(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    given = io.StringIO()
    monkeypatch.setattr(sys, "stdin", given)
    return given


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_key_is_shown_once_and_works_until_it_is_revoked(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "create", "mes", "--scope", "events", "--scope", "read", "--expires-days", "30", "--json"]) == 0
    [made] = lines(capsys)
    key = str(made["key"])
    assert made["scopes"] == ["events", "read"]
    with connect(database) as connection:
        holder = key_holder(connection, key, now=NOW)
        assert holder is not None
        assert (holder.name, sorted(holder.scopes)) == ("mes", ["events", "read"])
        assert run(["keys", "list", "--json"]) == 0
        listed = capsys.readouterr().out
        assert key.split("_", 2)[2] not in listed
        assert json.loads(listed)["state"] == "valid"
        assert run(["keys", "revoke", "mes"]) == 0
        assert key_holder(connection, key, now=NOW) is None
    assert run(["keys", "revoke", "mes"]) == 1
    assert run(["keys", "create", "mes", "--scope", "read"]) == 0  # the name is free again


@pytest.mark.parametrize(
    "arguments",
    [["x y", "--scope", "read"], ["x:y", "--scope", "read"], ["mes", "--scope", "all"], ["mes"]],
    ids=" ".join,
)
def test_a_key_without_a_scope_or_with_a_wrong_name_is_wrong_use(arguments: list[str]) -> None:
    assert run(["keys", "create", *arguments]) == 2


def test_two_valid_keys_do_not_share_a_name() -> None:
    assert [run(["keys", "create", "mes", "--scope", "read"]) for _ in range(2)] == [0, 2]


def test_a_person_is_added_changed_and_disabled(
    database: str, typed: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    typed.write(f"{PASSWORD}\nanother long password\n")
    typed.seek(0)
    assert run(["users", "add", "Änne", "--role", "viewer"]) == 0
    assert run(["users", "set-role", "änne", "--role", "engineer"]) == 0
    assert run(["users", "set-password", "Änne"]) == 0
    with connect(database) as connection:
        known = user_to_sign_in(connection, "Änne")
        assert known is not None
        assert is_password("another long password", known.password_hash)
        assert not is_password(PASSWORD, known.password_hash)
        assert run(["users", "disable", "Änne"]) == 0
        assert user_to_sign_in(connection, "Änne") is None
    capsys.readouterr()
    assert run(["users", "list", "--json"]) == 0
    [person] = lines(capsys)
    assert (person["name"], person["role"]) == ("Änne", "engineer")
    assert person["disabled_at"]
    assert run(["users", "set-role", "nobody", "--role", "viewer"]) == 1


@pytest.mark.parametrize("password", ["", "elevenchars", "x" * 1025, "no text at all \udcff"])
def test_a_password_that_is_too_short_or_none_is_refused(typed: io.StringIO, password: str) -> None:
    typed.write(password + "\n")
    typed.seek(0)
    assert run(["users", "add", "anna", "--role", "viewer"]) == 2


def test_no_command_takes_a_password_as_an_argument(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("add", "set-password"):
        assert run(["users", command, "anna", "--password", PASSWORD]) == 2
        assert PASSWORD not in capsys.readouterr().err
