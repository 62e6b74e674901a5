"""Dead letters are found, shown as they came, sent through again and given up by REST."""

import json
from base64 import b64decode

import httpx

from schemas.access import ROLE_SCOPES, Role
from schemas.coils import CoilKey
from store.connection import Connection
from store.deadletters import record_dead_letters
from tests.deadletters.conftest import HEADERS, TOPIC, message
from tests.flows.given import coil, events_of
from tests.rest.given import client_with
from tests.rest.test_events import STRUCTURED, post
from tests.waiting import wait_until

LETTERS = "/api/v1/dead-letters"


def letters(client: httpx.Client, **filters: object) -> list[dict[str, object]]:
    found = client.get(LETTERS, params={name: str(value) for name, value in filters.items()})
    assert found.status_code == 200, found.text
    items: list[dict[str, object]] = found.json()["items"]
    return items


def refused_coil(client: httpx.Client) -> int:
    """A coil of one row, which is refused as a whole; the id of its letter."""
    post(client, events_of(coil("7", rows=1)))
    wait_until(lambda: letters(client))
    [letter] = letters(client)
    assert isinstance(letter["id"], int)
    return letter["id"]


def test_a_message_is_shown_with_its_bytes_and_headers_as_they_came(
    client: httpx.Client, connection: Connection
) -> None:
    record_dead_letters(connection, [message(7, key=CoilKey(plant="linz", coil_id="a/b"), original=b"{\xff\x00")])
    [short] = letters(client, topic=TOPIC)
    assert (short["offset"], short["coil"], "original_base64" in short) == (7, "/api/v1/coils/linz/a%2Fb", False)
    whole = client.get(f"{LETTERS}/{short['id']}").json()
    assert b64decode(whole["original_base64"]) == b"{\xff\x00"
    assert [(one["name"], b64decode(one["value_base64"])) for one in whole["headers"]] == list(HEADERS)
    assert client.get(f"{LETTERS}/999").status_code == 404
    assert client.get(f"{LETTERS}/{2**63}").status_code == 422


def test_letters_come_page_by_page_by_any_filter(client: httpx.Client, connection: Connection) -> None:
    for offset in range(5):
        record_dead_letters(connection, [message(offset)])
    first = client.get(LETTERS, params={"limit": 2, "step": "decode", "state": "new"}).json()
    rest = client.get(LETTERS, params={"limit": 200, "step": "decode", "state": "new", "cursor": first["next"]}).json()
    assert [one["offset"] for one in first["items"] + rest["items"]] == [4, 3, 2, 1, 0]
    assert rest["next"] is None
    other_filter = client.get(LETTERS, params={"step": "score", "cursor": first["next"]})
    assert other_filter.status_code == 400
    assert letters(client, state="discarded") == letters(client, plant="graz") == []


def test_a_coil_is_sent_through_again_once_by_its_key_and_who_did_it_is_kept(client: httpx.Client) -> None:
    number = refused_coil(client)
    key = {"Idempotency-Key": "again"}
    sent = [client.post(f"{LETTERS}/{number}/replay", json={"why": "mended"}, headers=key) for _ in range(2)]
    assert [one.status_code for one in sent] == [200, 200], sent[0].text
    assert sent[0].content == sent[1].content
    told = sent[0].json()
    assert (told["letter"]["state"], told["letter"]["handled_why"]) == ("replayed", "mended")
    assert str(told["letter"]["handled_by"]).startswith("key:test-")
    assert "the inbox" in told["said"]
    refused = client.post(f"{LETTERS}/{number}/replay", json={})
    assert (refused.status_code, "it is replayed" in refused.json()["detail"]) == (409, True)
    assert client.post(f"{LETTERS}/{number}/replay", json={"again": True}).status_code == 200
    assert client.post(f"{LETTERS}/999/replay", json={}).status_code == 404


def test_a_letter_of_kafka_waits_for_the_broker(client: httpx.Client, connection: Connection) -> None:
    record_dead_letters(connection, [message(7)])
    [letter] = letters(client)
    answer = client.post(f"{LETTERS}/{letter['id']}/replay", json={})
    assert (answer.status_code, "no Kafka is configured" in answer.json()["detail"]) == (503, True)
    assert letters(client)[0]["state"] == "new"


def test_a_letter_is_given_up_with_a_reason_and_can_come_back(client: httpx.Client) -> None:
    number = refused_coil(client)
    assert client.post(f"{LETTERS}/{number}/discard", json={}).status_code == 422
    gone = client.post(f"{LETTERS}/{number}/discard", json={"why": "scrapped"}).json()
    assert (gone["letter"]["state"], gone["letter"]["handled_why"]) == ("discarded", "scrapped")
    again = client.post(f"{LETTERS}/{number}/discard", json={"why": "scrapped"})
    assert (again.status_code, "discarded already" in again.json()["detail"]) == (409, True)
    assert client.post(f"{LETTERS}/{number}/replay", json={"again": True}).json()["letter"]["state"] == "replayed"


def test_who_does_not_operate_only_looks(client: httpx.Client, database: str) -> None:
    number = refused_coil(client)
    with client_with(client, database, *ROLE_SCOPES[Role.OPERATOR]) as operator:
        assert len(letters(operator)) == 1
        assert operator.post(f"{LETTERS}/{number}/replay", json={}).status_code == 403
        assert operator.post(f"{LETTERS}/{number}/discard", json={"why": "x"}).status_code == 403


def test_an_event_that_no_one_can_read_is_refused_with_the_reason(client: httpx.Client) -> None:
    client.post("/api/v1/events", content=json.dumps({"specversion": "1.0"}), headers=STRUCTURED)
    [letter] = letters(client)
    refused = client.post(f"{LETTERS}/{letter['id']}/replay", json={})
    assert (refused.status_code, "no chunk event" in refused.json()["detail"]) == (409, True)
