"""An MES without Kafka sends events by HTTP: each counts once, and each is told what became of it."""

import json
import threading
from base64 import b64decode
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import httpx
import psycopg
import pyarrow as pa
import pytest

from console.rest.guards import LARGEST_EVENTS_BYTES
from console.rest.service import Service, running_service
from flows.served import always
from processors.decode import decode_message
from store.coils import counts
from store.connection import Connection, connect
from store.pool import borrowed
from tests.flows.given import coil, events_of
from tests.flows.judging import MeanScorer
from tests.rest.conftest import SETTINGS
from tests.waiting import wait_until

STRUCTURED = {"content-type": "application/cloudevents+json"}
LIMITS = "select current_setting('lock_timeout') lock, current_setting('idle_in_transaction_session_timeout') idle"
BATCH = {"content-type": "application/cloudevents-batch+json; charset=utf-8"}
FEEDBACK = {
    "specversion": "1.0",
    "type": "operator.feedback",
    "source": "/mes",
    "id": "f1",
    "data": {"plant": "linz", "coil_id": "7", "label": "NOK", "given_at": "2026-11-20T12:00:00Z"},
}


def post(client: httpx.Client, events: Sequence[dict[str, Any]]) -> httpx.Response:
    return client.post("/api/v1/events", content=json.dumps(list(events), indent=1), headers=BATCH)


def coil_of(client: httpx.Client, path: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(path).json()
    return found


def test_a_coil_sent_in_one_batch_is_judged_and_found_where_the_answer_says(client: httpx.Client) -> None:
    answer = post(client, events_of(coil("7")))
    assert answer.status_code == 202
    assert answer.headers["location"] == "/api/v1/coils/linz/7"
    assert (answer.json()["accepted"], answer.json()["refused"]) == (26, 0)
    wait_until(lambda: coil_of(client, "/api/v1/coils/linz/7")["state"] == "decided")
    found = coil_of(client, "/api/v1/coils/linz/7")
    assert (found["verdict"]["label"], found["verdict"]["result_evaluation"]) == ("OK", 1)
    assert found["dead_letters"] == []


def test_events_one_by_one_in_any_order_make_the_same_verdict(client: httpx.Client, connection: Connection) -> None:
    events = events_of(coil("7"))
    for event in [*reversed(events[:-1]), events[-1]]:
        assert client.post("/api/v1/events", content=json.dumps(event), headers=STRUCTURED).status_code == 202
    for event in events_of(coil("8")):
        headers = {f"ce-{name}": event[name] for name in ("id", "source", "type", "specversion")}
        headers |= {"content-type": "application/json"}
        sent = client.post("/api/v1/events", content=json.dumps(event["data"]), headers=headers)
        assert sent.status_code == 202, sent.text
    post(client, events_of(coil("9")))
    wait_until(lambda: counts(connection).decided == 3)
    labels = connection.execute("select distinct label, p_nok, observed from coilflow.verdicts").fetchall()
    assert len(labels) == 1
    assert counts(connection).duplicated == 0


def test_an_event_sent_twice_is_told_as_repeated_and_counts_once(client: httpx.Client, connection: Connection) -> None:
    events = events_of(coil("7"))
    assert [one["status"] for one in post(client, [events[0], events[0]]).json()["events"]] == ["accepted", "repeated"]
    assert post(client, events).json()["repeated"] == 1
    wait_until(lambda: counts(connection).decided == 1)
    again = post(client, events)
    assert (again.status_code, again.json()["repeated"]) == (202, 26)
    assert (counts(connection).verdicts, counts(connection).outbox) == (1, 1)


def test_a_late_chunk_supersedes_the_verdict(client: httpx.Client, connection: Connection) -> None:
    events = events_of(coil("7"))
    post(client, [*events[:5], *events[6:]])
    wait_until(lambda: counts(connection).decided == 1)
    first = coil_of(client, "/api/v1/coils/linz/7")["verdict"]
    assert any(reason.startswith("missing_rows") for reason in first["reasons"])
    post(client, [events[5]])
    wait_until(lambda: counts(connection).superseding == 1)
    second = coil_of(client, "/api/v1/coils/linz/7")["verdict"]
    assert (second["supersedes"], second["reasons"]) == (first["revision"], [])


def test_a_wrong_event_is_refused_with_its_reason_and_the_others_are_taken(
    client: httpx.Client, connection: Connection
) -> None:
    events = events_of(coil("7"))
    wrong = events[3] | {"id": "w", "data": events[3]["data"] | {"mean_g_m2": [1, 2, 3]}}
    answer = post(client, [*events[:3], wrong])
    assert answer.status_code == 202
    assert (answer.json()["accepted"], answer.json()["refused"]) == (3, 1)
    told = answer.json()["events"][3]
    assert (told["status"], told["id"]) == ("refused", "w")
    assert "mean_g_m2" in told["error"]
    assert "schemas/examples" in told["remedy"]
    [row] = connection.execute("select original, coil_id, whole_coil from coilflow.dead_letters").fetchall()
    assert json.loads(row["original"]) == wrong
    assert row["original"] in json.dumps([*events[:3], wrong], indent=1).encode()  # byte for byte
    assert (row["coil_id"], row["whole_coil"]) == ("7", False)
    found = coil_of(client, "/api/v1/coils/linz/7")
    assert (found["state"], found["verdict"], len(found["dead_letters"])) == ("open", None, 1)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"{", "no JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[1, 2]", "CloudEvent"),
        (b'{"specversion": "1.0"}', "CloudEvent"),
        (json.dumps(FEEDBACK | {"data": {"plant": "linz"}}).encode(), "coil_id"),
        (json.dumps({**events_of(coil("7"))[0], "id": ""}).encode(), "id"),
        (json.dumps({**events_of(coil("7"))[0], "source": None}).encode(), "source"),
        (json.dumps({**events_of(coil("7"))[0], "type": "coil.verdict"}).encode(), "coil.verdict"),
        (json.dumps({**events_of(coil("7"))[0], "specversion": "0.3"}).encode(), "specversion"),
        (
            json.dumps({**events_of(coil("7"))[0], "dataschema": "urn:coilflow:coil.started:2.0.0"}).encode(),
            "version 2.0.0",
        ),
    ],
)
def test_a_body_that_is_no_event_is_a_problem_and_a_dead_letter(
    client: httpx.Client, connection: Connection, body: bytes, fault: str
) -> None:
    for _ in range(2):
        answer = client.post("/api/v1/events", content=body, headers=STRUCTURED)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert fault in answer.json()["detail"]
        assert answer.json()["remedy"]
    [row] = connection.execute("select original from coilflow.dead_letters").fetchall()
    assert row["original"] == body


@pytest.mark.parametrize("body", [b"{}", b"[{}", b"[{} {}]", b"[{},]", b"[1]x", b"\xff", b"[" * 5000])
def test_a_batch_that_is_no_array_is_refused_as_a_whole(
    client: httpx.Client, connection: Connection, body: bytes
) -> None:
    answer = client.post("/api/v1/events", content=body, headers=BATCH)
    assert answer.status_code == 422, answer.text
    [row] = connection.execute("select original from coilflow.dead_letters").fetchall()
    assert row["original"] == body


def test_a_reading_that_is_no_number_is_named_with_its_event(client: httpx.Client, connection: Connection) -> None:
    event = events_of(coil("7"))[1] | {"id": "nan"}
    event["data"] |= {"mean_g_m2": [float("nan")] * 9}
    answer = post(client, [event])
    assert answer.status_code == 422
    [told] = answer.json()["events"]
    assert (told["status"], told["id"]) == ("refused", "nan")
    assert "mean_g_m2" in told["error"]
    [row] = connection.execute("select original, coil_id from coilflow.dead_letters").fetchall()
    assert (b"NaN" in row["original"], row["coil_id"]) == (True, "7")


def test_an_id_that_cannot_be_stored_is_refused(client: httpx.Client) -> None:
    body = json.dumps(events_of(coil("7"))[0] | {"id": "\ud800", "note": float("nan")})
    answer = client.post("/api/v1/events", content=body, headers=STRUCTURED)
    assert answer.status_code == 422
    assert "id is no text" in answer.json()["events"][0]["error"]


def test_an_empty_batch_is_taken(client: httpx.Client) -> None:
    answer = client.post("/api/v1/events", content=b" [ ] ", headers=BATCH)
    assert (answer.status_code, answer.json()["events"]) == (202, [])


def test_a_binary_event_that_is_refused_keeps_its_headers(client: httpx.Client, connection: Connection) -> None:
    headers = {"ce-id": "1", "ce-source": "/mes", "ce-type": "coil.chunk", "ce-specversion": "1.0"}
    headers |= {"content-type": "application/json"}
    assert client.post("/api/v1/events", content=b"\x00\xff", headers=headers).status_code == 422
    [row] = connection.execute("select original from coilflow.dead_letters").fetchall()
    kept = json.loads(row["original"])
    assert (kept["id"], kept["type"], b64decode(kept["data_base64"])) == ("1", "coil.chunk", b"\x00\xff")


def test_what_is_neither_structured_nor_binary_is_told_what_to_send(client: httpx.Client) -> None:
    answer = client.post("/api/v1/events", content=b"SID=7", headers={"content-type": "text/plain"})
    assert answer.status_code == 415
    assert "application/cloudevents+json" in answer.json()["remedy"]


def test_a_body_over_the_limit_is_not_read_to_its_end(client: httpx.Client, connection: Connection) -> None:
    answer = client.post("/api/v1/events", content=b" " * (LARGEST_EVENTS_BYTES + 1), headers=BATCH)
    assert answer.status_code == 413
    assert counts(connection).dead_letters == 0


def test_a_hundred_thousand_words_at_once_are_refused_with_the_reason_and_none_is_stored(
    client: httpx.Client, connection: Connection
) -> None:
    word = json.dumps(FEEDBACK).encode()
    answer = client.post("/api/v1/events", content=b"[" + b",".join([word] * 100_000) + b"]", headers=BATCH)
    assert (answer.status_code, "larger than 8 MiB" in answer.json()["detail"]) == (413, True)
    assert answer.json()["remedy"] == "send fewer events at once"
    answer = client.post("/api/v1/events", content=b"[" + b",".join([word] * 5_001) + b"]", headers=BATCH)
    assert (answer.status_code, "5001 events, at most 5000" in answer.json()["detail"]) == (413, True)
    assert (counts(connection).feedback, counts(connection).dead_letters) == (0, 0)


def test_feedback_is_stored_once(client: httpx.Client, connection: Connection) -> None:
    answers = [client.post("/api/v1/events", content=json.dumps(FEEDBACK), headers=STRUCTURED) for _ in range(2)]
    assert [a.json()["events"][0]["status"] for a in answers] == ["accepted", "repeated"]
    assert answers[0].headers["location"] == "/api/v1/coils/linz/7"
    assert counts(connection).feedback == 1


def test_feedback_whose_place_ends_before_it_begins_is_refused(client: httpx.Client) -> None:
    data = {**FEEDBACK["data"], "from_m": 5, "to_m": 4}  # type: ignore[dict-item]
    answer = client.post("/api/v1/events", content=json.dumps(FEEDBACK | {"data": data}), headers=STRUCTURED)
    assert (answer.status_code, "from_m" in answer.json()["detail"]) == (422, True)


def test_an_exhausted_pool_says_when_to_come_again_and_nothing_is_lost(
    client: httpx.Client, service: Service, connection: Connection
) -> None:
    events = events_of(coil("7"))
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(borrowed(service.pool))
        answer = post(client, events)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.headers["content-type"] == "application/problem+json"
    assert post(client, events).status_code == 202
    wait_until(lambda: counts(connection).decided == 1)


def test_a_coil_that_another_holds_too_long_says_when_to_come_again(
    client: httpx.Client, service: Service, connection: Connection, database: str
) -> None:
    with ExitStack() as stack:
        for _ in range(2):
            pooled = stack.enter_context(borrowed(service.pool))
            assert pooled.execute(LIMITS).fetchone() == {"lock": "15s", "idle": "30s"}
            pooled.execute("set lock_timeout = '50ms'")
    events = events_of(coil("7"))
    assert post(client, events[:1]).status_code == 202
    with connect(database) as other, other.transaction():
        other.execute("select from coilflow.inbox_coils for update")
        answer = post(client, events)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
    assert post(client, events).status_code == 202
    wait_until(lambda: counts(connection).decided == 1)


def test_connections_cut_at_any_time_lose_and_double_nothing(
    client: httpx.Client, connection: Connection, database: str
) -> None:
    def cut() -> None:
        with psycopg.connect(database, autocommit=True) as mine:
            mine.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
                " and application_name in ('coilflow console', 'coilflow inbox')"
            )

    for name in range(20):
        cutting = threading.Thread(target=cut)
        cutting.start()
        events = events_of(coil(str(name), rows=3))
        while (answer := post(client, events)).status_code != 202:
            assert answer.status_code == 503, answer.text
        cutting.join()
    wait_until(lambda: counts(connection).decided == 20)
    found = counts(connection)
    assert (found.verdicts, found.outbox, found.duplicated, found.open) == (20, 20, 0, 0)


def test_two_consoles_judge_each_coil_once(client: httpx.Client, connection: Connection, database: str) -> None:
    with running_service(
        database, always(MeanScorer()), SETTINGS, decode=decode_message, connections=2, wait_s=1.0
    ) as other:
        for name in range(20):
            post(client, events_of(coil(str(name), rows=3)))
            other.judge.wake()
        wait_until(lambda: counts(connection).decided == 20)
    found = counts(connection)
    assert (found.verdicts, found.outbox, found.superseding) == (20, 20, 0)


def test_a_coil_as_one_arrow_body_makes_the_verdict_of_its_events(client: httpx.Client, connection: Connection) -> None:
    started, *chunks, ended = events_of(coil("7"))
    batch = pa.RecordBatch.from_pylist(
        [chunk["data"] | {"position": float(chunk["data"]["position"])} for chunk in chunks]
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    headers = {"ce-id": "rows", "ce-source": "/mes", "ce-type": "coil.chunk", "ce-specversion": "1.0"}
    headers |= {"content-type": "application/vnd.apache.arrow.stream"}
    assert post(client, [started]).status_code == 202
    for status in ("accepted", "repeated"):
        answer = client.post("/api/v1/events", content=sink.getvalue().to_pybytes(), headers=headers)
        assert (answer.status_code, answer.json().get("events", [{}])[0].get("status")) == (202, status), answer.text
    post(client, [ended, *events_of(coil("8"))])
    wait_until(lambda: counts(connection).decided == 2)
    rows = connection.execute("select distinct p_nok, observed, revision from coilflow.verdicts").fetchall()
    assert len(rows) == 1
