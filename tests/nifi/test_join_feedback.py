"""JoinFeedback: what operators say is stored once, and comes out beside the verdict that it is about."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

from flows.nifi.join_feedback import open_step
from flows.nifi.step import DEAD_LETTER, ERROR, FAILURE, SUCCESS, Hosted, StepResult
from schemas.verdicts import Label
from store.connection import Connection
from store.verdicts import record_verdicts
from tests.scores.given import decided

EVENT = {
    "specversion": "1.0",
    "type": "operator.feedback",
    "id": "f1",
    "source": "/mes",
    "data": {"plant": "linz", "coil_id": "a", "label": "NOK", "given_at": "2026-11-20T12:00:00Z"},
}


@pytest.fixture
def hosted(database: str, tmp_path: Path) -> Iterator[Hosted]:
    """The step as a processor opens it."""
    opened = Hosted("join_feedback", open_step)
    opened.start({"Database DSN": database, "Data Directory": str(tmp_path), "Plant": "linz"})
    try:
        yield opened
    finally:
        opened.stop()


def told(done: StepResult) -> list[dict[str, Any]]:
    assert done.relationship == SUCCESS, done.attributes
    assert done.contents is not None
    return [orjson.loads(line) for line in done.contents.splitlines()]


def judged(connection: Connection, *coils: tuple[str, float]) -> None:
    record_verdicts(
        connection,
        [decided(name, p_nok) for name, p_nok in coils],
        decided_at=datetime(2026, 11, 20, 12, tzinfo=UTC),
        destinations=(),
    )


def said(connection: Connection) -> list[tuple[str, str]]:
    rows = connection.execute("select coil_id, label from coilflow.feedback order by feedback_id").fetchall()
    return [(row["coil_id"], row["label"]) for row in rows]


def test_a_payload_of_the_plant_is_joined_with_the_verdict(hosted: Hosted, connection: Connection) -> None:
    judged(connection, ("a", 0.9))
    done = hosted.run(b'{"COILID": "a", "LABEL": 2}', {"uuid": "u1"})
    assert told(done) == [
        {
            "plant": "linz",
            "coil_id": "a",
            "label": "NOK",
            "ensemble_version": "e1",
            "verdict": "NOK",
            "agrees": True,
            "state": "joined",
        }
    ]
    assert done.attributes["coilflow.feedback.joined"] == "1"
    assert said(connection) == [("a", "NOK")]


def test_a_word_before_its_coil_waits_and_one_on_an_undecided_coil_agrees_with_nothing(
    hosted: Hosted, connection: Connection
) -> None:
    undecided = decided("b", undecided=True)
    assert undecided.verdict.label is Label.UNDECIDED
    record_verdicts(connection, [undecided], decided_at=datetime.now(UTC), destinations=())
    done = hosted.run(b'{"COILID": "a", "LABEL": 1}\n{"COILID": "b", "LABEL": 1}\n', {"uuid": "u1"})
    waiting, joined = told(done)
    assert (waiting["state"], waiting["verdict"], waiting["agrees"]) == ("waiting", None, None)
    assert (joined["state"], joined["verdict"], joined["agrees"]) == ("joined", "UNDECIDED", None)


@pytest.mark.parametrize("uuid", ["u1", None])
def test_the_same_flowfile_again_changes_nothing(hosted: Hosted, connection: Connection, uuid: str | None) -> None:
    attributes = {} if uuid is None else {"uuid": uuid}
    content = json.dumps([EVENT, {"COILID": "a", "LABEL": 1}, {"COILID": "b", "LABEL": 2}]).encode()
    assert [one["state"] for one in told(hosted.run(content, attributes))] == ["waiting"] * 3
    before = said(connection)
    assert [one["state"] for one in told(hosted.run(content, attributes))] == ["repeated"] * 3
    assert said(connection) == before


def test_an_operator_who_changes_his_mind_twice_in_a_flowfile_is_stored_once_when_it_comes_again(
    hosted: Hosted, connection: Connection
) -> None:
    content = b'{"COILID": "a", "LABEL": 1}\n{"COILID": "a", "LABEL": 2}\n{"COILID": "a", "LABEL": 1}\n'
    hosted.run(content, {"uuid": "u1"})
    assert said(connection) == [("a", "OK"), ("a", "NOK"), ("a", "OK")]
    hosted.run(content, {"uuid": "u1"})
    assert said(connection) == [("a", "OK"), ("a", "NOK"), ("a", "OK")]


BORN = "0d9f1c7e-5a43-4c8e-9a55-0c5c7d3b2f10"  # uuid of a FlowFile, which NiFi makes its filename too
BACK_AND_FORTH = b'{"COILID": "a", "LABEL": 1}\n{"COILID": "a", "LABEL": 2}\n{"COILID": "a", "LABEL": 1}\n'
PIECE = {"fragment.identifier": "s1", "fragment.index": "1"}
KAFKA = {"kafka.topic": "said", "kafka.partition": "3", "kafka.offset": "7", "kafka.max.offset": "9"}


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ({"uuid": "u1", "filename": "u1", **KAFKA}, {"uuid": "u2", "filename": "u2", **KAFKA}),  # read again
        (
            {"uuid": BORN, "filename": BORN, **KAFKA},
            {"uuid": "u2", "filename": BORN, "flowfile.replay": "true", **KAFKA},
        ),
        (
            {"uuid": "u1", "filename": BORN, **PIECE},
            {"uuid": "u2", "filename": BORN, "flowfile.replay": "true", **PIECE},
        ),
        ({"uuid": BORN, "filename": BORN}, {"uuid": "u2", "filename": BORN, "flowfile.replay": "true"}),
        ({"uuid": "u1"}, {"uuid": "u1"}),  # tried again
    ],
)
def test_a_flowfile_replayed_after_later_words_does_not_say_its_own_again(
    hosted: Hosted, connection: Connection, first: dict[str, str], again: dict[str, str]
) -> None:
    hosted.run(BACK_AND_FORTH, first)
    hosted.run(b'{"COILID": "a", "LABEL": 2}', {"uuid": "later"})
    done = hosted.run(BACK_AND_FORTH, again)
    assert [one["state"] for one in told(done)] == ["repeated"] * 3
    assert said(connection) == [("a", "OK"), ("a", "NOK"), ("a", "OK"), ("a", "NOK")]


def test_a_flowfile_that_nothing_identifies_says_nothing_new_where_it_repeats_what_was_said_last(
    hosted: Hosted, connection: Connection
) -> None:
    for attributes in ({}, {}, {"uuid": "u2", "mqtt.topic": "opfeedback"}):
        hosted.run(BACK_AND_FORTH, attributes)
    assert said(connection) == [("a", "OK"), ("a", "NOK"), ("a", "OK")]
    hosted.run(b'{"COILID": "a", "LABEL": 2}', {})
    hosted.run(BACK_AND_FORTH, {})  # as an operator who says it again
    assert said(connection)[3:] == [("a", "NOK"), ("a", "OK"), ("a", "NOK"), ("a", "OK")]


def test_kafka_reads_a_word_again_in_another_batch(hosted: Hosted, connection: Connection) -> None:
    hosted.run(BACK_AND_FORTH, {"uuid": "u1", "filename": "u1", **KAFKA})
    after = {**KAFKA, "kafka.offset": "10", "kafka.max.offset": "10"}
    hosted.run(b'{"COILID": "a", "LABEL": 2}', {"uuid": "u2", "filename": "u2", **after})
    last_two = b"".join(BACK_AND_FORTH.splitlines(keepends=True)[1:])
    hosted.run(last_two, {"uuid": "u3", "filename": "u3", **KAFKA, "kafka.offset": "8"})
    assert [label for _, label in said(connection)] == ["OK", "NOK", "OK", "NOK"]


@pytest.mark.parametrize(
    ("split_by", "place"),
    [("SplitText", {}), ("SplitText", {**KAFKA, "flowfile.replay": "true"}), ("a script", {}), ("a script", KAFKA)],
)
def test_pieces_of_one_flowfile_that_kept_its_name_and_place_are_words_of_their_own(
    hosted: Hosted, connection: Connection, split_by: str, place: dict[str, str]
) -> None:
    for number, line in enumerate(BACK_AND_FORTH.splitlines()):
        piece = {} if split_by == "a script" else {**PIECE, "fragment.index": str(number)}
        hosted.run(line, {"uuid": f"piece {number}", "filename": BORN, **place, **piece})
    assert [label for _, label in said(connection)] == ["OK", "NOK", "OK"]


def test_an_event_whose_envelope_stands_in_attributes_is_read(hosted: Hosted, connection: Connection) -> None:
    attributes = {f"ce_{name}": str(text) for name, text in EVENT.items() if name != "data"}
    done = hosted.run(json.dumps(EVENT["data"]).encode(), {**attributes, "content-type": "application/json"})
    assert [one["label"] for one in told(done)] == ["NOK"]
    again = hosted.run(json.dumps(EVENT).encode(), {})
    assert [one["state"] for one in told(again)] == ["repeated"]


def test_what_is_refused_among_others_becomes_a_dead_letter_and_the_others_are_stored(
    hosted: Hosted, connection: Connection
) -> None:
    done = hosted.run(b'{"COILID": "a", "LABEL": 7}\n{"COILID": "b", "LABEL": 2}\n', {"mqtt.topic": "opfeedback"})
    assert [one["coil_id"] for one in told(done)] == ["b"]
    assert done.attributes["coilflow.rejects"] == "1"
    [letter] = connection.execute("select place, original from coilflow.dead_letters").fetchall()
    assert letter["place"] == "NiFi, mqtt opfeedback"
    assert letter["original"] == b'{"COILID": "a", "LABEL": 7}'


@pytest.mark.parametrize(
    "content", [b"", b"\n \n", b"no json", b"[1, 2]", b'[{"COILID": "a"', b'{"COILID": "a"}', b"\xff"]
)
def test_what_cannot_be_read_at_all_stays_as_it_came(hosted: Hosted, connection: Connection, content: bytes) -> None:
    done = hosted.run(content, {})
    assert (done.relationship, done.contents) == (DEAD_LETTER, None)
    assert done.attributes[ERROR]
    assert said(connection) == []
    assert connection.execute("select 1 from coilflow.dead_letters").fetchall() == []


def test_a_label_that_stands_in_the_plants_table_is_read_there(
    empty_database: str, hosted: Hosted, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(empty_database) as plant:
        plant.execute('create table feedback ("COILID" varchar(20), "Label" integer, "Descrip" text, ts timestamp)')
        plant.execute("insert into feedback values ('a', 2, 'stripes', '2026-11-20 12:00')")
    monkeypatch.setenv("COILFLOW_PLANT_DSN", empty_database)
    hosted.start({"Database DSN": database, "Data Directory": str(tmp_path), "Plant": "linz"})
    assert [one["label"] for one in told(hosted.run(b'{"COILID": "a"}', {}))] == ["NOK"]
    assert [one["state"] for one in told(hosted.run(b'{"COILID": "a"}', {}))] == ["repeated"]
    monkeypatch.setenv("COILFLOW_PLANT_DSN", f"host={tmp_path} dbname=none connect_timeout=2")
    hosted.start({"Database DSN": database, "Data Directory": str(tmp_path), "Plant": "linz"})
    assert hosted.run(b'{"COILID": "a"}', {}).relationship == FAILURE


def test_a_database_whose_sessions_end_loses_no_word(hosted: Hosted, connection: Connection) -> None:
    told(hosted.run(b'{"COILID": "a", "LABEL": 1}', {"uuid": "u1"}))
    connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name like 'coilflow nifi%' and datname = current_database()"
    )
    assert [one["state"] for one in told(hosted.run(b'{"COILID": "b", "LABEL": 1}', {"uuid": "u2"}))] == ["waiting"]


def test_without_its_database_a_flowfile_is_tried_again(tmp_path: Path) -> None:
    away = Hosted("join_feedback", open_step)
    away.start({"Database DSN": f"host={tmp_path} dbname=none connect_timeout=2", "Data Directory": str(tmp_path)})
    done = away.run(b'{"COILID": "a", "LABEL": 1}', {})
    away.stop()
    assert (done.relationship, done.contents) == (FAILURE, None)
