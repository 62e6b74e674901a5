"""A coil is looked up by its names as they are, and the process says whether it works."""

import json

import httpx
import pytest

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
    nothing = client.get("/api/v1/nothing")
    assert nothing.headers["content-type"] == "application/problem+json"
    assert (nothing.json()["detail"], nothing.json()["remedy"]) == ("there is nothing at /api/v1/nothing", "see /docs")


def test_names_with_slashes_and_spaces_are_found_where_the_answer_says(client: httpx.Client) -> None:
    event = events_of(coil("7"))[0]
    event["data"] |= {"plant": "linz/2 ü", "coil_id": "a/b c%2F"}
    sent = client.post("/api/v1/events", content=json.dumps(event), headers=STRUCTURED)
    found = client.get(sent.headers["location"]).json()
    assert (found["plant"], found["coil_id"], found["state"]) == ("linz/2 ü", "a/b c%2F", "open")


@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_of_dots_is_no_folder(client: httpx.Client, name: str) -> None:
    event = events_of(coil("7"))[0]
    event["data"] |= {"coil_id": name}
    sent = client.post("/api/v1/events", content=json.dumps(event), headers=STRUCTURED)
    assert client.get(sent.headers["location"]).json()["coil_id"] == name


@pytest.mark.parametrize("path", ["/api/v1/coils", "/api/v1/coils/linz/7", "/api/v1/schedule", "/api/v1/dead-letters"])
def test_a_filter_that_does_not_exist_is_not_left_out_in_silence(client: httpx.Client, path: str) -> None:
    answer = client.get(path, params={"lable": "NOK"})
    assert (answer.status_code, answer.json()["detail"]) == (422, "there is no parameter lable")


def test_a_filter_given_twice_is_no_choice_of_ours(client: httpx.Client) -> None:
    answer = client.get("/api/v1/coils?label=OK&label=NOK")
    assert (answer.status_code, answer.json()["detail"]) == (422, "label is given more than once")


def test_a_write_that_does_not_say_that_it_is_json_is_told_so(client: httpx.Client) -> None:
    for said in ({"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}, {}):
        answer = client.post("/api/v1/coils/linz/7/feedback", content=b'{"label": "OK"}', headers=said)
        assert (answer.status_code, answer.json()["remedy"]) == (415, "send Content-Type: application/json"), said
    merge = {"content-type": "application/vnd.mes+json; charset=utf-8"}
    assert client.post("/api/v1/coils/linz/7/feedback", content=b'{"label": "OK"}', headers=merge).status_code == 201


def test_a_load_balancer_may_ask_for_the_headers_alone(client: httpx.Client) -> None:
    assert [client.head(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]


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
