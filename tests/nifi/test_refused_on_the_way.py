"""What is wrong becomes a dead letter with what came, wherever on the way it is found, and stops no other coil."""

import orjson
import psycopg
import pytest

from flows.deadletters import replay
from flows.nifi import normalize_coil
from flows.nifi.assemble_coil import WAITING
from flows.nifi.record_verdict import NEW, NOTHING
from flows.nifi.step import DEAD_LETTER, ERROR, FAILURE, REMEDY, SUCCESS
from flows.nifi.verdicts import verdict_rows
from processors.decode import decode_message
from processors.normalize import Normalized, normalize
from schemas.coils import CoilBatch, Limits
from schemas.nifi_batches import NifiBatch, read_batch, write_batch
from schemas.rejects import Reject
from schemas.settings import Settings
from store.coils import counts
from store.connection import Connection
from store.deadletters import Wanted, list_dead_letters
from store.inbox import coil_state, has_inbox_coil
from tests.flows.given import coil, events_of, lines_of
from tests.nifi.given import LINZ, dead_letters, lease_runs_out
from tests.nifi.road import road

pytestmark = pytest.mark.usefixtures("destination")


def test_a_coil_that_normalising_breaks_on_is_refused_alone(
    database: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks_on_seven(coils: CoilBatch, limits: Limits) -> Normalized:
        if LINZ in [header.key for header in coils.headers]:
            raise ZeroDivisionError("seven")
        return normalize(coils, limits)

    monkeypatch.setattr(normalize_coil, "normalize", breaks_on_seven)
    with road(database) as it:
        done = it.through(it.arrived([event for name in ("6", "7", "8") for event in events_of(coil(name))]))
        lease_runs_out(connection)
        assert it.tick().relationship == WAITING
    assert (done.attributes[NEW], done.attributes["coilflow.rejects"]) == ("2", "1")
    [letter] = dead_letters(connection)
    assert (letter["coil_id"], letter["step"]) == ("7", "normalize")
    assert len(letter["original"].splitlines()) == len(events_of(coil("7")))


def test_damaged_events_are_dead_letters_and_stop_no_coil(database: str, connection: Connection) -> None:
    content = b"no event\n" + lines_of(events_of(coil("7"))) + b'{"specversion": "1.0"}\n'
    with road(database) as it:
        given = it.assemble.run(content, {"kafka.topic": "t", "kafka.partition": "0", "kafka.offset": "9"})
        assert (given.relationship, given.attributes["coilflow.rejects"]) == (SUCCESS, "2")
        it.through(given.contents)
    letters = dead_letters(connection)
    assert [letter["original"] for letter in letters] == [b"no event", b'{"specversion": "1.0"}']
    assert {letter["place"] for letter in letters} == {"NiFi, topic t partition 0 offset 9"}
    assert counts(connection).decided == 1


@pytest.mark.parametrize("content", [b"no event", b"[1, 2", b"\xff\xfe", b"\n\nnull\n", b'["a", {}]'])
def test_a_flowfile_of_which_nothing_can_be_read_is_a_dead_letter_once(
    database: str, connection: Connection, content: bytes
) -> None:
    with road(database) as it:
        for _ in range(2):
            done = it.assemble.run(content, {"uuid": "u"})
            assert (done.relationship, done.contents) == (DEAD_LETTER, None)
            assert done.attributes[ERROR]
            assert done.attributes[REMEDY]
    letters = dead_letters(connection)
    assert b"".join(letter["original"] for letter in letters)
    assert len(letters) == len({letter["original"] for letter in letters})


def test_a_coil_refused_while_it_is_assembled_is_a_dead_letter_with_its_events_and_leaves_the_inbox(
    database: str, connection: Connection
) -> None:
    events = events_of(coil("7"))
    other = {**events[1], "id": "x", "data": events[1]["data"] | {"mean_g_m2": [1.0] * 9}}
    with road(database) as it:
        given = it.send([*events[:-1], other, events[-1], *events_of(coil("8"))])
        assert (given.attributes["coilflow.coils"], given.attributes["coilflow.rejects"]) == ("1", "1")
        it.through(given.contents)
    [letter] = dead_letters(connection)
    assert letter["original"] == lines_of([*events[:-1], other, events[-1]]).replace(b": ", b":").replace(b", ", b",")
    state = coil_state(connection, LINZ)
    assert state is not None
    assert (state.state, has_inbox_coil(connection, LINZ)) == ("dead_lettered", False)


def test_where_the_database_is_away_a_flowfile_is_tried_again_and_says_why(database: str) -> None:
    away = "postgresql://coilflow@127.0.0.1:1/coilflow"
    with road(away) as it:
        for done in (it.send(events_of(coil("7"))), it.recorded(b"")):
            assert (done.relationship, done.contents) == (FAILURE, None)
            assert "cannot be reached" in done.attributes[ERROR]
            assert done.attributes[REMEDY]
    with road(database) as it:
        given = it.send(events_of(coil("7")))
        with psycopg.connect(database, autocommit=True) as other:
            other.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        done = it.through(given.contents)
        assert (done.relationship, done.attributes[NEW]) == (SUCCESS, "1")  # connections are made anew


def test_content_that_is_no_batch_of_verdicts_is_a_dead_letter(database: str) -> None:
    with road(database) as it:
        given = it.send(events_of(coil("7")))
        for content in (b"", b"no arrow", given.contents or b""):
            done = it.recorded(content)
            assert (done.relationship, done.contents) == (DEAD_LETTER, None)
            assert done.attributes[REMEDY]


def refused_on_the_way(coils: bytes) -> bytes:
    """VERDICTS as ScoreCoil gives them where a step refused the coil."""
    [row] = read_batch("coils", coils).rows.to_pylist()
    reject = Reject(step="score", place="NiFi", key=LINZ, error="it breaks", remedy="mend it", original=b"its readings")
    batch = NifiBatch(rows=verdict_rows([], []), rejects=(reject,), refused={LINZ: row["inbox_id"]})
    return write_batch("verdicts", batch)


def test_a_coil_refused_on_the_way_is_one_dead_letter_with_the_messages_that_came(
    database: str, connection: Connection
) -> None:
    events = events_of(coil("7"))
    with road(database) as it:
        verdicts = refused_on_the_way(it.arrived(events))
        for _ in range(2):
            done = it.recorded(verdicts)
            assert (done.relationship, done.contents) == (NOTHING, b"")
        lease_runs_out(connection)
        assert it.tick().relationship == WAITING
    [letter] = dead_letters(connection)
    assert [orjson.loads(line) for line in letter["original"].splitlines()] == events
    assert letter["place"].startswith("NiFi, events ")
    state = coil_state(connection, LINZ)
    assert state is not None
    assert state.state == "dead_lettered"


def test_a_coil_that_was_refused_goes_through_nifi_again_when_it_is_replayed(
    database: str, connection: Connection
) -> None:
    with road(database) as it:
        it.recorded(refused_on_the_way(it.arrived(events_of(coil("7")))))
        letters = list_dead_letters(connection, Wanted())
        [plan] = replay(connection, letters, Settings(), decode_message, again=False)
        assert plan.refusal is None
        it.through(it.due())
    assert counts(connection).decided == 1
    assert [letter["state"] for letter in dead_letters(connection)] == ["resolved"]


@pytest.mark.usefixtures("quick")
def test_what_comes_while_a_coil_is_on_its_way_is_not_lost_with_it(database: str, connection: Connection) -> None:
    events = events_of(coil("7"))
    extra = events_of(coil("7", rows=13))[13] | {"id": "more"}  # a row beyond those promised
    with road(database) as it:
        verdicts = it.judged(it.arrived(events))
        assert it.send([extra]).relationship == SUCCESS  # whole: given at once
        it.recorded(verdicts)
        assert has_inbox_coil(connection, LINZ)
        lease_runs_out(connection)
        it.through(it.due())
    assert [event["data"].get("supersedes") for event in it.events] == [None, it.events[0]["data"]["revision"]]
    assert not has_inbox_coil(connection, LINZ)


def test_a_coil_that_the_database_refuses_is_a_dead_letter_and_the_others_are_stored(
    database: str, connection: Connection
) -> None:
    connection.execute("alter table coilflow.verdicts add check (coil_id <> '7')")
    with road(database) as it:
        done = it.through(it.arrived([event for name in ("6", "7", "8") for event in events_of(coil(name))]))
    assert (done.attributes[NEW], done.attributes["coilflow.rejects"]) == ("2", "1")
    assert [event["data"]["coil_id"] for event in it.events] == ["6", "8"]
    [letter] = dead_letters(connection)
    assert (letter["coil_id"], letter["step"]) == ("7", "store")
    assert not has_inbox_coil(connection, LINZ)


def test_a_wrong_event_that_names_its_coil_rejects_it_as_in_kafka(database: str, connection: Connection) -> None:
    events = events_of(coil("7"))
    wrong = {**events[3], "data": events[3]["data"] | {"mean_g_m2": [1.0] * 8}}
    with road(database) as it:
        given = it.send([*events[:3], wrong, *events[4:], *events_of(coil("8"))])
        assert (given.attributes["coilflow.coils"], given.attributes["coilflow.rejects"]) == ("1", "1")
    [letter] = dead_letters(connection)
    assert (letter["coil_id"], letter["whole_coil"]) == ("7", True)
    assert len(letter["original"].splitlines()) == len(events)
