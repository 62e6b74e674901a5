"""What people say by REST takes the road of Kafka's and the command line's feedback, and its fate is told."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from console.rest.access import Caller
from console.rest.feedback import refuse_to_correct_others, voice_of
from console.rest.problems import ProblemError
from schemas.access import ROLE_SCOPES, Role
from schemas.coils import CoilKey
from store.coils import counts
from store.connection import Connection
from tests.flows.given import coil, events_of
from tests.rest.given import client_with
from tests.rest.test_events import post
from tests.waiting import wait_until

COIL = "/api/v1/coils/linz/7"
WORD = f"{COIL}/feedback"


def say(client: httpx.Client, label: str = "NOK", **more: Any) -> dict[str, Any]:
    """Feedback on coil 7; what the console answers."""
    answer = client.post(WORD, json={"label": label, **more})
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


@pytest.fixture(name="decided")
def _decided(client: httpx.Client) -> httpx.Client:
    """A console whose coil 7 has its verdict."""
    post(client, events_of(coil("7")))
    wait_until(lambda: client.get(COIL).json()["state"] == "decided")
    return client


@pytest.fixture(name="viewer")
def _viewer(client: httpx.Client, database: str) -> Iterator[httpx.Client]:
    """Somebody who may only look."""
    with client_with(client, database, *ROLE_SCOPES[Role.VIEWER]) as looking:
        yield looking


def test_each_word_is_told_its_fate(client: httpx.Client) -> None:
    early = say(client, operator="anna")
    assert (early["fate"], early["coil_label"]["label"]) == ("waits_for_coil", "NOK")
    post(client, events_of(coil("7"))[:1])
    assert say(client, operator="anna")["fate"] == "waits_for_verdict"
    post(client, events_of(coil("7")))
    wait_until(lambda: client.get(COIL).json()["state"] == "decided")
    assert say(client, operator="anna", kind="thin_edge", face="top", from_m=1, to_m=2.5)["fate"] == "counts"
    differs = say(client, "OK", operator="ben")
    assert (differs["fate"], differs["coil_label"]) == (
        "disputed",
        {"label": None, "disputed": True, "settled": False, "voices": 2},
    )
    corrected = say(client, operator="ben", corrects=differs["id"])
    assert (corrected["fate"], corrected["corrected_known"]) == ("counts", True)
    unknown = say(client, operator="ben", corrects="no such word")
    assert unknown["corrected_known"] is False


def test_a_coil_shows_every_word_with_its_place_and_what_they_come_to(decided: httpx.Client) -> None:
    first = say(decided, operator="anna", kind="thin_edge", face="top", from_m=1, to_m=2.5, note="seen at the shear")
    say(decided, "OK", operator="anna", corrects=first["id"])
    found = decided.get(WORD).json()
    assert [(one["voice"], one["label"], one["valid"]) for one in found["items"]] == [
        ("anna", "NOK", False),
        ("anna", "OK", True),
    ]
    place = {name: found["items"][0][name] for name in ("defect_kind", "face", "from_m", "to_m", "note")}
    assert place == {
        "defect_kind": "thin_edge",
        "face": "top",
        "from_m": 1.0,
        "to_m": 2.5,
        "note": "seen at the shear",
    }
    assert found["coil_label"]["label"] == "OK"
    assert decided.get("/api/v1/coils/linz/8/feedback").status_code == 404


def test_a_machine_speaks_for_whom_it_names_and_else_for_itself(decided: httpx.Client) -> None:
    assert say(decided, operator="anna")["operator"] == "anna"
    assert say(decided)["operator"].startswith("key:test-")


def test_a_person_speaks_for_himself_only() -> None:
    anna = Caller(name="anna", kind="person", scopes=ROLE_SCOPES[Role.OPERATOR])
    assert voice_of(anna, None) == voice_of(anna, "anna") == "anna"
    with pytest.raises(ProblemError, match="cannot speak for ben"):
        voice_of(anna, "ben")


def test_a_person_takes_back_words_of_his_own_alone_and_a_machine_any(
    decided: httpx.Client, connection: Connection
) -> None:
    word, key = say(decided, operator="anna")["id"], CoilKey(plant="linz", coil_id="7")
    scopes = ROLE_SCOPES[Role.OPERATOR]
    anna, ben = (Caller(name=name, kind="person", scopes=scopes) for name in ("anna", "ben"))
    mes = Caller(name="mes", kind="key", scopes=scopes)
    for caller in (anna, mes):
        refuse_to_correct_others(connection, key=key, corrects=word, caller=caller)
    with pytest.raises(ProblemError, match="no word of yours"):
        refuse_to_correct_others(connection, key=key, corrects=word, caller=ben)


def test_a_coil_whose_names_have_slashes_gets_its_word(client: httpx.Client, connection: Connection) -> None:
    answer = client.post("/api/v1/coils/linz%2F2/a%2Fb%20%C3%BC%2Ffeedback/feedback", json={"label": "OK"})
    assert (answer.status_code, answer.json()["plant"], answer.json()["coil_id"]) == (
        201,
        "linz/2",
        "a/b ü/feedback",
    )
    assert client.get(answer.headers["location"]).json()["items"][0]["label"] == "OK"


def test_what_breaks_the_contract_is_named_and_nothing_is_stored(client: httpx.Client, connection: Connection) -> None:
    for body in (
        {"label": "ok"},
        {"label": "OK", "from_m": 5, "to_m": 4},
        {"label": "OK", "face": "left"},
        {"label": "OK", "note": "a\u0000b"},
        {"label": "OK", "operator": " "},
        {"label": "OK", "who": "x"},
        {"label": "OK", "given_at": "2999-01-01T00:00:00Z"},
        {},
    ):
        answer = client.post(WORD, json=body)
        assert answer.status_code == 422, body
        assert answer.headers["content-type"] == "application/problem+json"
    assert counts(connection).feedback == 0


def test_who_may_only_look_says_nothing(viewer: httpx.Client, connection: Connection) -> None:
    assert viewer.post(WORD, json={"label": "OK"}).status_code == 403
    assert viewer.post("/api/v1/reviews/linz/7/settle", json={"label": "OK"}).status_code == 403
    assert counts(connection).feedback == 0


def test_a_dispute_is_in_the_queue_until_somebody_settles_it(decided: httpx.Client) -> None:
    settle = "/api/v1/reviews/linz/7/settle"
    assert decided.post(settle, json={"label": "OK"}).status_code == 409
    say(decided, "OK", operator="anna")
    say(decided, "NOK", operator="ben")
    [asked] = decided.get("/api/v1/reviews", params={"why": "disputed"}).json()["items"]
    assert (asked["why"], asked["coil"], asked["reasons"][0]) == ("disputed", COIL, "disputed: 2 voices")
    told = decided.post(settle, json={"label": "NOK", "operator": "foreman", "note": "cut open"}).json()
    assert (told["fate"], told["coil_label"]["label"], told["coil_label"]["settled"]) == ("counts", "NOK", True)
    assert decided.get("/api/v1/reviews", params={"why": "disputed"}).json()["items"] == []


def test_the_queue_comes_page_by_page_without_gap_or_repeat(client: httpx.Client) -> None:
    for name in range(5):
        for label, who in (("OK", "anna"), ("NOK", "ben")):
            body = {"label": label, "operator": who}
            assert client.post(f"/api/v1/coils/linz/{name}/feedback", json=body).status_code == 201
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = client.get("/api/v1/reviews", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [one["coil_id"] for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == ["0", "1", "2", "3", "4"]
    assert client.get("/api/v1/reviews", params={"cursor": "bm8"}).status_code == 400
