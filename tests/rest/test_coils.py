"""A coil is looked up by its names as they are, and the process says whether it works."""

import json

import httpx

from console.rest.service import Service
from store.connection import Connection
from tests.flows.given import coil, events_of
from tests.rest.test_events import STRUCTURED, post
from tests.waiting import wait_until


def test_a_coil_never_seen_is_a_problem_with_a_remedy(client: httpx.Client) -> None:
    answer = client.get("/api/v1/coils/linz/404")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "coil 404 of plant linz was never seen"
    assert client.get("/api/v1/coils/linz/%00").status_code == 404
    assert client.get("/api/v1/nothing").headers["content-type"] == "application/problem+json"


def test_names_with_slashes_and_spaces_are_found_where_the_answer_says(client: httpx.Client) -> None:
    event = events_of(coil("7"))[0]
    event["data"] |= {"plant": "linz/2 ü", "coil_id": "a/b c%2F"}
    sent = client.post("/api/v1/events", content=json.dumps(event), headers=STRUCTURED)
    found = client.get(sent.headers["location"]).json()
    assert (found["plant"], found["coil_id"], found["state"]) == ("linz/2 ü", "a/b c%2F", "open")


def test_a_refused_coil_shows_why(client: httpx.Client) -> None:
    post(client, events_of(coil("7", rows=1)))
    wait_until(lambda: client.get("/api/v1/coils/linz/7").json()["state"] == "dead_lettered")
    [letter] = client.get("/api/v1/coils/linz/7").json()["dead_letters"]
    assert "1 row" in letter["error"]


def test_it_is_healthy_and_ready_and_shows_its_metrics(client: httpx.Client, connection: Connection) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json()["status"] == "ready"
    post(client, events_of(coil("7")))
    metrics = client.get("/metrics").text
    assert 'messaging_client_consumed_messages_total{messaging_destination_name="/api/v1/events"' in metrics
    assert 'coilflow_messages_total{fate="applied",topic="http"}' in metrics


def test_it_is_not_ready_without_a_database_and_not_healthy_without_its_judge(
    client: httpx.Client, service: Service
) -> None:
    service.pool.close()
    assert client.get("/readyz").status_code == 503
    service.judge.stop()
    assert client.get("/healthz").status_code == 500
