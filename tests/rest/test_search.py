"""Coils are listed newest first by any filter, and a list keeps its place while new coils come in."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from schemas.coils import CoilKey, Truth
from schemas.verdicts import Label
from store.connection import Connection
from store.feedback import Feedback, record_feedback
from store.inbox import InboxEvent, store_events
from store.verdicts import Decided, record_verdicts
from tests.flows.given import coil, events_of
from tests.rest.conftest import SETTINGS
from tests.rest.test_events import post
from tests.store.given import decided
from tests.waiting import wait_until

LIST = "/api/v1/coils"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def judge(
    connection: Connection, coil_id: str, minute: int, *, plant: str = "linz", review: tuple[str, ...] = (), **what: Any
) -> None:
    """A verdict so many minutes past noon."""
    one = decided(coil_id, **what)
    verdict = replace(one.verdict, key=CoilKey(plant, coil_id), review=review)
    of_plant: Decided = replace(one, verdict=verdict)
    record_verdicts(connection, [of_plant], decided_at=NOON + timedelta(minutes=minute), destinations=())


def open_coil(connection: Connection, coil_id: str, *, plant: str = "linz") -> None:
    key = CoilKey(plant, coil_id)
    event = InboxEvent(key=key, source="/mes", event_id="1", is_start=True, is_end=False, event=b"{}")
    store_events(connection, [event], SETTINGS.stream)


def say(connection: Connection, coil_id: str, label: Truth, *, operator: str = "anna") -> None:
    key = CoilKey("linz", coil_id)
    word = Feedback(
        key=key,
        source="/mes",
        event_id=f"{coil_id} {operator}",
        label=label,
        given_at=NOON,
        operator=operator,
    )
    record_feedback(connection, [word])


def ids(client: httpx.Client, **parameters: str) -> list[str]:
    """Coil ids of the first page."""
    answer = client.get(LIST, params=parameters)
    assert answer.status_code == 200, answer.text
    return [item["coil_id"] for item in answer.json()["items"]]


def pages(client: httpx.Client, **parameters: str) -> list[str]:
    """Coil ids of every page."""
    found, cursor = [], None
    while True:
        answer = client.get(LIST, params=parameters | ({"cursor": cursor} if cursor else {})).json()
        found += [item["coil_id"] for item in answer["items"]]
        cursor = answer["next"]
        if cursor is None:
            return found


def test_an_empty_database_has_an_empty_list(client: httpx.Client) -> None:
    assert client.get(LIST).json() == {"items": [], "next": None}


def test_an_item_says_what_a_screen_shows(client: httpx.Client, connection: Connection) -> None:
    judge(connection, "1", 0, label=Label.NOK, p_nok=0.8, reasons=("doubt: near",), review=("doubt: near",))
    say(connection, "1", "OK")
    [item] = client.get(LIST).json()["items"]
    del item["seen_at"]
    assert item == {
        "plant": "linz", "coil_id": "1", "state": "decided", "at": "2026-11-20T12:00:00Z", "zn_min_g_m2": 100.0,
        "zn_max_g_m2": 120.0, "length_m": 542.5, "material": None, "customer": None, "revision": "r1", "label": "NOK",
        "p_nok": 0.8, "threshold": 0.5, "observed": 0.98, "reasons": ["doubt: near"], "review": ["doubt: near"],
        "decided_at": "2026-11-20T12:00:00Z", "ensemble_version": "e1", "said": "OK", "early_warning": None,
    }  # fmt: skip
    say(connection, "1", "NOK", operator="ben")
    assert client.get(LIST).json()["items"][0]["said"] == "disputed"


def test_every_filter_finds_its_coils_newest_first(client: httpx.Client, connection: Connection) -> None:
    judge(connection, "10", 0)
    judge(connection, "11", 1, label=Label.NOK, reasons=("doubt: near", "missing_rows: 2"))
    judge(connection, "12", 2, plant="graz", label=Label.UNDECIDED, reasons=("doubt: near",), p_nok=float("nan"))
    judge(connection, "13", 3, review=("doubt: near",))
    judge(connection, "14", 4, review=("draw: at random",))
    say(connection, "14", "OK")
    open_coil(connection, "15")
    open_coil(connection, "2%")
    found: dict[str, tuple[dict[str, str], Sequence[str]]] = {
        "nothing": ({}, ("2%", "15", "14", "13", "12", "11", "10")),
        "plant": ({"plant": "graz"}, ("12",)),
        "label": ({"label": "NOK"}, ("11",)),
        "undecided": ({"label": "UNDECIDED"}, ("12",)),
        "OK": ({"label": "OK"}, ("14", "13", "10")),
        "doubt": ({"doubt": "doubt"}, ("12", "11")),
        "doubt and label": ({"doubt": "doubt", "label": "NOK"}, ("11",)),
        "another doubt": ({"doubt": "missing_rows"}, ("11",)),
        "a doubt nobody has": ({"doubt": "anomaly"}, ()),
        "open": ({"state": "open"}, ("2%", "15")),
        "decided": ({"state": "decided", "plant": "linz"}, ("14", "13", "11", "10")),
        "dead-lettered": ({"state": "dead_lettered"}, ()),
        "asked": ({"review": "asked"}, ("14", "13")),
        "waiting": ({"review": "waiting"}, ("13",)),
        "waiting elsewhere": ({"review": "waiting", "plant": "graz"}, ()),
        "name": ({"q": "1"}, ("15", "14", "13", "12", "11", "10")),
        "name and label": ({"q": "1", "label": "OK"}, ("14", "13", "10")),
        "a sign of LIKE": ({"q": "2%"}, ("2%",)),
        "another sign of LIKE": ({"q": "1_"}, ()),
        "name and doubt": ({"q": "12", "doubt": "doubt"}, ("12",)),
        "from": ({"from": "2026-11-20T12:04:00Z", "state": "decided"}, ("14",)),
        "from, in another zone": ({"from": "2026-11-20T13:04:00+01:00", "state": "decided"}, ("14",)),
        "to": ({"to": "2026-11-20T12:01:00Z"}, ("10",)),
        "what contradicts itself": ({"state": "open", "label": "NOK"}, ()),
    }
    assert {name: tuple(ids(client, **asked)) for name, (asked, _) in found.items()} == {
        name: tuple(wanted) for name, (_, wanted) in found.items()
    }
    for name, (asked, wanted) in found.items():
        assert pages(client, **asked, limit="1") == list(wanted), name


def test_a_superseded_verdict_is_nowhere_to_be_found(client: httpx.Client, connection: Connection) -> None:
    judge(connection, "1", 0, label=Label.NOK, reasons=("doubt: near",), review=("doubt: near",))
    judge(connection, "1", 1, revision="r2")
    for gone in ({"label": "NOK"}, {"doubt": "doubt"}, {"review": "asked"}, {"review": "waiting"}):
        assert ids(client, **gone) == []
    assert ids(client) == ids(client, q="1") == ids(client, label="OK") == ["1"]


def test_pages_keep_their_place_while_coils_come_in_and_are_decided(
    client: httpx.Client, connection: Connection
) -> None:
    for nth in range(9):
        judge(connection, str(nth), nth // 3)  # three of one moment
    first = client.get(LIST, params={"limit": "4"}).json()
    judge(connection, "new", 60)
    judge(connection, "0", 61, revision="r2")  # moves to the top
    second = client.get(LIST, params={"limit": "4", "cursor": first["next"]}).json()
    assert [item["coil_id"] for item in first["items"]] == ["8", "7", "6", "5"]
    assert [item["coil_id"] for item in second["items"]] == ["4", "3", "2", "1"]
    assert second["next"] is None


def test_a_cursor_that_is_forged_or_of_other_filters_is_a_problem(client: httpx.Client, connection: Connection) -> None:
    for nth in range(3):
        judge(connection, str(nth), nth)
    cursor = client.get(LIST, params={"limit": "1"}).json()["next"]
    forged = [cursor[:-2], "A" + cursor[1:], cursor + "!", cursor + "AAAA", "", "é", "{}", "../..", "0" * 1999]
    for one in forged[:4] + forged[5:]:
        answer = client.get(LIST, params={"cursor": one})
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json"), one
    assert client.get(LIST, params={"cursor": cursor, "plant": "linz"}).status_code == 400
    assert client.get(LIST, params={"cursor": cursor, "limit": "2"}).status_code == 200


@pytest.mark.parametrize(
    "wrong", [{"limit": "0"}, {"limit": "201"}, {"label": "ok"}, {"from": "yesterday"}, {"from": "2026-11-20T12:00:00"},
              {"doubt": "x"}, {"plant": ""}, {"plant": "\x00"}, {"state": "closed"}, {"review": "no"}]
)  # fmt: skip
def test_a_wrong_filter_is_a_problem(client: httpx.Client, wrong: dict[str, str]) -> None:
    answer = client.get(LIST, params=wrong)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


def test_a_plus_that_was_not_encoded_is_named(client: httpx.Client) -> None:
    answer = client.get(f"{LIST}?from=2026-11-20T12:00:00+01:00")
    assert (answer.status_code, "%2B" in answer.json()["detail"]) == (422, True)


def test_a_broad_name_is_found_by_going_through_all(
    client: httpx.Client, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for nth in range(6):
        judge(connection, f"2{nth}", nth)
    judge(connection, "3", 9)
    monkeypatch.setattr("store.search._SORTED", 3)
    assert pages(client, q="2", limit="2") == ["25", "24", "23", "22", "21", "20"]


def test_a_coil_that_comes_by_http_is_first_open_and_then_decided(client: httpx.Client, connection: Connection) -> None:
    judge(connection, "1", 0)
    events = events_of(coil("7"))
    post(client, events[:3])
    assert [item["state"] for item in client.get(LIST).json()["items"]] == ["open", "decided"]
    post(client, events[3:])
    wait_until(lambda: [item["state"] for item in client.get(LIST).json()["items"]] == ["decided", "decided"])
