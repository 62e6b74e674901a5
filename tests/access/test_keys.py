"""A key is worth what it says, until it is revoked or over, and nothing else is a key."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from schemas.access import Role, Scope
from schemas.errors import StoreError
from store.connection import connect
from store.keys import create_key, key_holder, list_keys, revoke_key
from tests.access.given import browser, session_of
from tests.access.test_sessions import NOW

ASKED = "/openapi.json"


def asks(address: str, authorization: str) -> int:
    return httpx.get(address + ASKED, headers={"authorization": authorization}, timeout=120).status_code


def test_a_key_opens_until_it_is_revoked(address: str, database: str) -> None:
    with connect(database) as connection:
        key = create_key(connection, "mes", {Scope.READ}, expires_at=None, now=NOW)
        assert asks(address, f"Bearer {key}") == 200
        assert asks(address, f"bearer  {key}") == 200
        assert revoke_key(connection, "mes", now=NOW)
        assert asks(address, f"Bearer {key}") == 401
        assert revoke_key(connection, "mes", now=NOW) is None


def test_a_key_that_is_over_opens_nothing(address: str, database: str) -> None:
    now = datetime.now(UTC)
    with connect(database) as connection:
        key = create_key(connection, "mes", {Scope.READ}, expires_at=now - timedelta(seconds=1), now=NOW)
        assert key_holder(connection, key, now=now - timedelta(seconds=2))
    assert asks(address, f"Bearer {key}") == 401


def test_what_is_no_key_opens_nothing(address: str, database: str) -> None:
    with connect(database) as connection:
        key = create_key(connection, "mes", {Scope.READ}, expires_at=None, now=NOW)
        other = create_key(connection, "other", {Scope.READ}, expires_at=None, now=NOW)
    mixed = "_".join([*key.split("_", 2)[:2], other.split("_", 2)[2]])
    wrong = (f"Basic {key}", key, "Bearer", f"Bearer {key}x", f"Bearer {key[:-1]}", f"Bearer {key.upper()}")
    for authorization in (*wrong, f"Bearer {mixed}", "Bearer cfk_' or 1=1 --", f"Bearer {key} {key}"):
        assert asks(address, authorization) == 401, authorization


def test_a_wrong_key_is_not_made_good_by_a_session(address: str, database: str) -> None:
    with browser(address, session_of(database, "anna", Role.ENGINEER)) as client:
        assert client.get(ASKED).status_code == 200
        assert client.get(ASKED, headers={"authorization": "Bearer cfk_none"}).status_code in (401, 303)


def test_a_refusal_says_how_to_be_known_and_is_a_problem(address: str) -> None:
    answer = httpx.get(address + ASKED, timeout=120)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert "coilflow keys create" in answer.json()["remedy"]


def test_the_database_knows_no_key(database: str) -> None:
    with connect(database) as connection:
        key = create_key(connection, "mes", {Scope.READ}, expires_at=None, now=NOW)
        [row] = connection.execute("select k::text as whole, encode(digest, 'escape') as kept from coilflow.api_keys k")
    secret = key.rpartition("_")[2]
    assert secret not in row["whole"] + row["kept"]


def test_its_last_use_is_written_once_a_minute(database: str) -> None:
    with connect(database) as connection:
        key = create_key(connection, "mes", {Scope.READ}, expires_at=None, now=NOW)
        seen = []
        for seconds in (1, 30, 60, 62, 90):
            assert key_holder(connection, key, now=NOW + timedelta(seconds=seconds))
            [known] = list_keys(connection)
            assert known.last_used_at
            seen.append((known.last_used_at - NOW).total_seconds())
        assert seen == [1, 1, 1, 62, 62]
        assert key_holder(connection, key[:-1] + "?", now=NOW + timedelta(hours=1)) is None
        assert list_keys(connection)[0].last_used_at == NOW + timedelta(seconds=62)


@pytest.mark.parametrize("scopes", [set(), {"everything"}])
def test_a_key_has_scopes_that_there_are(database: str, scopes: set[Scope]) -> None:
    with connect(database) as connection, pytest.raises(StoreError):
        create_key(connection, "mes", scopes, expires_at=None, now=NOW)
