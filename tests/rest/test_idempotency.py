"""A write that is sent again under its key is done once, whoever dies in between."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from textwrap import dedent

import httpx
import pytest
from pydantic import BaseModel

from console.rest.access import Caller
from console.rest.idempotency import REPLAYED, Asked, Done, once, once_prepared
from console.rest.problems import ProblemError
from schemas.access import Scope
from store.coils import counts
from store.connection import Connection, connect
from store.idempotency import KEPT, prune_requests
from store.pool import Pool, connection_pool
from tests.rest.given import client_with
from tests.waiting import wait_until

WORD = "/api/v1/coils/linz/7/feedback"
KEY = {"Idempotency-Key": "4711"}
CALLER = Caller(name="anna", kind="person", scopes=frozenset())
ASKED = Asked(key="4711", route="POST /here", body_sha256=b"1" * 32)


class Told(BaseModel):
    """An answer."""

    number: int


@pytest.fixture(name="pool")
def _pool(database: str) -> Iterator[Pool]:
    with connection_pool(database, size=4, wait_s=2.0, application_name="test") as opened:
        with connect(database) as connection:
            connection.execute("create table done (number serial)")
        yield opened


def act(connection: Connection, _: None = None) -> Done:
    """Something that is to be done once."""
    [row] = connection.execute("insert into done default values returning number").fetchall()
    return Done(body=Told(number=row["number"]))


def done(pool: Pool) -> int:
    with pool.connection() as connection:
        [row] = connection.execute("select count(*) as times from done").fetchall()
    times: int = row["times"]
    return times


def test_the_same_request_again_gets_the_same_answer_and_does_nothing(
    client: httpx.Client, connection: Connection
) -> None:
    first, again = (client.post(WORD, json={"label": "OK"}, headers=KEY) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"]
    assert (REPLAYED in first.headers, again.headers[REPLAYED]) == (False, "true")
    assert counts(connection).feedback == 1


def test_quotes_around_a_key_are_not_part_of_it(client: httpx.Client, connection: Connection) -> None:
    for key in ("4711", '"4711"'):
        client.post(WORD, json={"label": "OK"}, headers={"Idempotency-Key": key})
    assert counts(connection).feedback == 1


def test_another_body_under_the_key_is_refused(client: httpx.Client, connection: Connection) -> None:
    assert client.post(WORD, json={"label": "OK"}, headers=KEY).status_code == 201
    other = client.post(WORD, json={"label": "NOK"}, headers=KEY)
    assert (other.status_code, "another body" in other.json()["detail"]) == (422, True)
    assert counts(connection).feedback == 1


def test_a_key_is_its_callers_own_and_its_routes(client: httpx.Client, database: str, connection: Connection) -> None:
    with client_with(client, database, *Scope) as other:
        assert REPLAYED not in client.post(WORD, json={"label": "OK"}, headers=KEY).headers
        assert REPLAYED not in other.post(WORD, json={"label": "OK"}, headers=KEY).headers
    assert REPLAYED not in client.post("/api/v1/coils/linz/8/feedback", json={"label": "OK"}, headers=KEY).headers
    assert counts(connection).feedback == 3


def test_what_was_refused_is_looked_at_anew(client: httpx.Client, connection: Connection) -> None:
    settle = "/api/v1/reviews/linz/7/settle"
    assert client.post(settle, json={"label": "OK"}, headers=KEY).status_code == 409
    for label, who in (("OK", "anna"), ("NOK", "ben")):
        client.post(WORD, json={"label": label, "operator": who})
    assert client.post(settle, json={"label": "OK"}, headers=KEY).status_code == 201


def test_of_two_at_once_one_is_done_and_the_other_is_told_to_wait(
    client: httpx.Client, database: str, connection: Connection
) -> None:
    with connect(database) as gate, connect(database) as watching, ThreadPoolExecutor(2) as senders:
        _hold_back(gate, "coilflow.feedback")
        first = senders.submit(client.post, WORD, json={"label": "OK"}, headers=KEY)
        wait_until(lambda: _waiting(watching) == 1)
        second = client.post(WORD, json={"label": "OK"}, headers=KEY)
        assert (second.status_code, "under way" in second.json()["detail"]) == (409, True)
        gate.execute("select pg_advisory_unlock(7)")
        assert first.result().status_code == 201
    assert client.post(WORD, json={"label": "OK"}, headers=KEY).content == first.result().content
    assert counts(connection).feedback == 1


@pytest.mark.parametrize("how", ["once", "once_prepared"])
def test_many_at_once_do_it_once(pool: Pool, how: str) -> None:
    def ask(_: int) -> bytes | str:
        try:
            answer = (
                once(pool, ASKED, CALLER, act)
                if how == "once"
                else once_prepared(pool, ASKED, CALLER, prepare=lambda _: None, act=act)
            )
        except ProblemError as refused:
            return str(refused)
        return bytes(answer.body)

    with ThreadPoolExecutor(4) as senders:
        told = set(senders.map(ask, range(40)))
    assert told - {"a request with the idempotency key '4711' is under way"} == {b'{"number":1}'}
    assert done(pool) == 1


def test_what_fails_under_a_lease_may_be_asked_for_again_at_once(pool: Pool) -> None:
    def fail(_: Connection) -> None:
        raise ConnectionError("the broker is away")

    with pytest.raises(ConnectionError):
        once_prepared(pool, ASKED, CALLER, prepare=fail, act=act)
    assert bytes(once_prepared(pool, ASKED, CALLER, prepare=lambda _: None, act=act).body) == b'{"number":1}'


def test_who_lost_the_lease_stores_nothing(pool: Pool) -> None:
    def overtaken(connection: Connection) -> None:
        connection.execute("update coilflow.idempotent_requests set leased_until = '2000-01-01'")
        assert once(pool, ASKED, CALLER, act).status_code == 200

    with pytest.raises(ProblemError, match="overtaken"):
        once_prepared(pool, ASKED, CALLER, prepare=overtaken, act=act)
    assert done(pool) == 1


@contextmanager
def killed_while(dsn: str, how: str) -> Iterator[None]:
    """A process that was killed once it had begun, and had done its part."""
    script = dedent(
        f"""
        import sys, time
        from console.rest.idempotency import once, once_prepared
        from store.pool import connection_pool
        from tests.rest.test_idempotency import ASKED, CALLER, act

        def hang(connection, _=None):
            answer = act(connection)
            print("begun", flush=True)
            sys.stdin.read()
            return answer

        with connection_pool({dsn!r}, size=2, wait_s=2.0, application_name="killed") as pool:
            if {how!r} == "once":
                once(pool, ASKED, CALLER, hang)
            else:
                once_prepared(pool, ASKED, CALLER, prepare=lambda _: None, act=hang)
        """
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
        finally:
            process.kill()
    yield


def test_a_kill_between_doing_and_answering_undoes_both(pool: Pool, database: str) -> None:
    with killed_while(database, "once"):
        wait_until(lambda: _sessions(pool, "killed") == 0)
        assert done(pool) == 0
        assert bytes(once(pool, ASKED, CALLER, act).body) == b'{"number":2}'
    assert done(pool) == 1


def test_a_kill_under_a_lease_lets_a_repeat_do_it_once_the_lease_is_over(pool: Pool, database: str) -> None:
    with killed_while(database, "once_prepared"), pool.connection() as connection:
        wait_until(lambda: _sessions(pool, "killed") == 0)
        with pytest.raises(ProblemError, match="under way"):
            once_prepared(pool, ASKED, CALLER, prepare=lambda _: None, act=act)
        connection.execute("update coilflow.idempotent_requests set leased_until = clock_timestamp()")
        other = Asked(key=ASKED.key, route=ASKED.route, body_sha256=b"2" * 32)
        with pytest.raises(ProblemError, match="another body"):
            once(pool, other, CALLER, act)
        assert once_prepared(pool, ASKED, CALLER, prepare=lambda _: None, act=act).status_code == 200
    assert done(pool) == 1


def test_after_a_day_a_key_is_new_and_housekeeping_forgets_it(pool: Pool) -> None:
    once(pool, ASKED, CALLER, act)
    with pool.connection() as connection:
        connection.execute("update coilflow.idempotent_requests set asked_at = asked_at - interval '24 hours'")
        assert bytes(once(pool, ASKED, CALLER, act).body) == b'{"number":2}'
        now = datetime.now(UTC)
        assert prune_requests(connection, before=now - KEPT, rows=10) == 0
        assert prune_requests(connection, before=now + timedelta(seconds=60), rows=10) == 1


def _hold_back(gate: Connection, table: str) -> None:
    gate.execute(
        "create function held_back() returns trigger language plpgsql as"
        " $$ begin perform pg_advisory_xact_lock_shared(7); return new; end $$"
    )
    gate.execute(f"create trigger held_back before insert on {table} for each row execute function held_back()")
    gate.execute("select pg_advisory_lock(7)")


def _waiting(connection: Connection) -> int:
    [row] = connection.execute(
        "select count(*) as sessions from pg_locks where locktype = 'advisory' and objid = 7 and not granted"
        " and database = (select oid from pg_database where datname = current_database())"
    ).fetchall()
    sessions: int = row["sessions"]
    return sessions


def _sessions(pool: Pool, name: str) -> int:
    with pool.connection() as connection:
        [row] = connection.execute(
            "select count(*) as sessions from pg_stat_activity"
            " where datname = current_database() and application_name = %s",
            [name],
        ).fetchall()
    sessions: int = row["sessions"]
    return sessions
