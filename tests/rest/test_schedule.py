"""A run that is asked for by HTTP, as NiFi's flow *retrain* does."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import pytest

from store.connection import Connection, connect
from store.decisions import record_decision
from store.leadership import leader_session, take_over
from store.schedule import last_fires
from store.schedules import pause_job, register_schedules
from tests.waiting import wait_until

RETRAIN = "/api/v1/schedule/retrain/requests"
WHY = {"why": "the weekly flow in NiFi asks for it"}


@pytest.fixture(name="led")
def _led(database: str) -> str:
    """A database whose scheduler knows the job."""
    with leader_session(database) as session:
        taken = take_over(session, "given", silent_after_s=60)
        assert taken is not None
        register_schedules(session, {"retrain": "0 3 * * 0"}, epoch=taken.epoch, now=datetime.now(UTC))
    return database


def test_a_run_is_asked_for_once_however_often_nifi_repeats_it(client: httpx.Client, led: str) -> None:
    first, again = client.post(RETRAIN, json=WHY), client.post(RETRAIN, json=WHY)
    assert (first.status_code, first.json()) == (202, {"job": "retrain", "asked": True})
    assert (again.status_code, again.json()) == (202, {"job": "retrain", "asked": False})
    with connect(led) as connection:
        (fire,) = last_fires(connection, "retrain", most=5)
    assert fire.requested_by == "http"
    assert fire.why is not None
    assert fire.why.startswith(f"{WHY['why']} (key:test-")


def test_of_two_requests_at_once_one_waits(client: httpx.Client, led: str) -> None:
    with connect(led) as gate, connect(led) as watching, ThreadPoolExecutor(2) as senders:
        gate.execute(
            "create function held_back() returns trigger language plpgsql as"
            " $$ begin perform pg_advisory_xact_lock_shared(7); return new; end $$"
        )
        gate.execute(
            "create trigger held_back before insert on coilflow.fires for each row execute function held_back()"
        )
        gate.execute("select pg_advisory_lock(7)")
        answers = [senders.submit(client.post, RETRAIN, json=WHY) for _ in range(2)]
        wait_until(lambda: _waiting(watching) == len(answers))  # neither saw the other's
        gate.execute("select pg_advisory_unlock(7)")
        told = sorted(answer.result().json()["asked"] for answer in answers)
    assert {answer.result().status_code for answer in answers} == {202}
    assert told == [False, True]
    with connect(led) as connection:
        assert len(last_fires(connection, "retrain", most=5)) == 1


def _waiting(connection: Connection) -> int:
    [row] = connection.execute(
        "select count(*) as sessions from pg_locks where locktype = 'advisory' and objid = 7 and not granted"
        " and database = (select oid from pg_database where datname = current_database())"
    ).fetchall()
    sessions: int = row["sessions"]
    return sessions


def test_a_paused_job_is_not_asked_for(client: httpx.Client, led: str) -> None:
    with connect(led) as connection:
        assert pause_job(connection, "retrain", cron="0 3 * * 0", who="a", why=None, now=datetime.now(UTC))
    answer = client.post(RETRAIN, json=WHY)
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert "resume" in answer.json()["remedy"]


def test_nobody_waits_for_a_scheduler_that_never_ran(client: httpx.Client) -> None:
    answer = client.post(RETRAIN, json=WHY)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert "coilflow scheduler run" in answer.json()["remedy"]


def test_an_unknown_job_and_a_request_without_reason_are_named(client: httpx.Client) -> None:
    unknown = client.post("/api/v1/schedule/bake/requests", json=WHY)
    assert (unknown.status_code, "retrain" in unknown.json()["remedy"]) == (404, True)
    for body in ({}, {"why": ""}, {"why": "a\u0000b"}, {"why": "x", "who": "y"}):
        assert client.post(RETRAIN, json=body).status_code == 422


def test_the_schedule_shows_jobs_leader_and_alarms(client: httpx.Client, led: str) -> None:
    found = client.get("/api/v1/schedule").json()
    jobs = {one["job"]: one for one in found["items"]}
    assert (jobs["retrain"]["cron"], jobs["retrain"]["paused"], jobs["retrain"]["last"]) == ("0 3 * * 0", None, None)
    assert jobs["retrain"]["next"] is not None
    assert found["leader"]["holder"] == "given"
    assert found["alarms"] == []


def test_a_job_says_what_it_did_and_why_not(client: httpx.Client, led: str) -> None:
    client.post(RETRAIN, json=WHY)
    with connect(led) as connection:
        record_decision(
            connection,
            "retrain",
            at=datetime.now(UTC),
            subject="every plant: ensemble e1",
            act=False,
            why=("cooldown: 3 days left",),
            evidence={"recall": 0.93},
        )
    told = client.get("/api/v1/schedule/retrain").json()
    [run], [decision] = told["runs"], told["decisions"]
    assert (run["state"], run["requested_by"]) == ("due", "http")
    assert (decision["act"], decision["why"], decision["evidence"]) == (
        False,
        ["cooldown: 3 days left"],
        {"recall": 0.93},
    )
    assert client.get("/api/v1/schedule/bake").status_code == 404


@pytest.mark.parametrize("what", ["runs", "decisions"])
def test_every_run_and_decision_comes_page_by_page(client: httpx.Client, led: str, what: str) -> None:
    moments = [datetime(2026, 11, 20, hour, tzinfo=UTC) for hour in range(5)]
    with connect(led) as connection:
        for at in moments:
            connection.execute(
                "insert into coilflow.fires (job, fire_at, state, recorded_at) values ('retrain', %s, 'missed', %s)",
                (at, at),
            )
            record_decision(connection, "retrain", at=at, subject="", act=False, why=("no",), evidence={})
    told, cursor = list[str](), None
    while True:
        given = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = client.get(f"/api/v1/schedule/retrain/{what}", params=given).json()
        told += [one["fire_at" if what == "runs" else "at"] for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
        with connect(led) as connection:  # what comes meanwhile moves no page
            record_decision(
                connection, "retrain", at=datetime.now(UTC), subject="", act=False, why=("new",), evidence={}
            )
        client.post(RETRAIN, json=WHY)
    assert [datetime.fromisoformat(one) for one in told] == moments[::-1]
    assert client.get(f"/api/v1/schedule/score/{what}", params={"cursor": "bm8"}).status_code == 400
    assert client.get(f"/api/v1/schedule/bake/{what}").status_code == 404


def test_a_job_is_paused_with_who_and_why_and_goes_on(client: httpx.Client, led: str) -> None:
    def change(what: str) -> httpx.Response:
        return client.post(f"/api/v1/schedule/retrain/{what}", json=WHY if what == "pause" else None)

    assert change("pause").json() == {"job": "retrain", "paused": True, "changed": True}
    assert change("pause").json()["changed"] is False
    paused = client.get("/api/v1/schedule/retrain").json()["job"]
    assert (paused["paused"]["why"], paused["next"]) == (WHY["why"], None)
    assert paused["paused"]["by"].startswith("key:test-")
    assert change("resume").json() == {"job": "retrain", "paused": False, "changed": True}
    assert client.get("/api/v1/schedule/retrain").json()["job"]["paused"] is None
    assert client.post("/api/v1/schedule/bake/pause", json=WHY).status_code == 404


def test_a_request_repeated_under_its_key_is_answered_as_before(client: httpx.Client, led: str) -> None:
    key = {"Idempotency-Key": "sunday"}
    told = [client.post(RETRAIN, json=WHY, headers=key).json() for _ in range(2)]
    assert told == [{"job": "retrain", "asked": True}] * 2
