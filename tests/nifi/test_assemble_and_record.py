"""A coil that goes through NiFi gets one verdict, whatever is lost, repeated or overtaken on its way."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

from flows.assemble_due import DueCoil
from flows.deadletters import replay
from flows.inbox import judge_due
from flows.judge import judge_each
from flows.nifi import normalize_coil
from flows.nifi.assemble_coil import MOST_TAKES, WAITING
from flows.nifi.record_verdict import NEW, NOTHING, OBSERVED, REPEATED, STALE
from flows.nifi.step import DEAD_LETTER, ERROR, FAILURE, REMEDY, SUCCESS
from flows.nifi.verdicts import verdict_rows
from flows.record_outcome import record_outcome
from flows.served import only
from processors.decode import EventFault, decode_message
from processors.normalize import Normalized, normalize
from processors.open_coils import OpenCoil
from schemas.coils import CoilBatch, CoilKey, Limits
from schemas.nifi_batches import NifiBatch, read_batch, write_batch
from schemas.rejects import LogPlace, Reject
from schemas.settings import Settings
from store.coils import counts
from store.connection import Connection
from store.deadletters import Wanted, list_dead_letters
from store.inbox import coil_state, has_inbox_coil, store_events
from store.verdicts import verdict_of
from tests.flows.given import coil, events_of, lines_of
from tests.flows.judging import MeanScorer
from tests.nifi.road import Road, lines, road
from tests.store.test_inbox import LONG_AGO, inbox_event
from tests.waiting import wait_until

LINZ = CoilKey(plant="linz", coil_id="7")
QUICK = {"COILFLOW_STREAM__SETTLE_S": "0.001", "COILFLOW_STREAM__DEADLINE_S": "0.001"}


@pytest.fixture(autouse=True)
def destination(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COILFLOW_DESTINATIONS", '["kafka:coil.verdicts"]')
    monkeypatch.setenv("COILFLOW_DATA_DIR", str(tmp_path))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)


def outbox(connection: Connection) -> list[dict[str, Any]]:
    """What the relay sends, with the keys of its messages in Kafka as `partitionkey`."""
    rows = connection.execute("select payload, key from coilflow.outbox order by outbox_id")
    return [{**row["payload"], "partitionkey": row["key"]} for row in rows]


def lease_runs_out(connection: Connection) -> None:
    connection.execute("update coilflow.inbox_coils set look_at = clock_timestamp()")


def dead_letters(connection: Connection) -> list[dict[str, Any]]:
    return connection.execute(
        "select coil_id, step, error, place, original, whole_coil, state from coilflow.dead_letters"
        " order by dead_letter_id"
    ).fetchall()


def test_coils_become_verdicts_and_the_events_that_announce_them(database: str, connection: Connection) -> None:
    names = ["1", "2", "3/4 ä"]
    with road(database) as it:
        given = it.send([event for name in names for event in events_of(coil(name))])
        assert (given.relationship, given.attributes["coilflow.coils"]) == (SUCCESS, "3")
        assert given.attributes["coilflow.plant"] == "linz"
        done = it.through(given.contents)
        assert it.tick().relationship == WAITING
    assert (done.relationship, done.attributes[NEW], done.attributes[STALE]) == (SUCCESS, "3", "0")
    assert [event["data"]["coil_id"] for event in it.events] == names
    assert it.events == outbox(connection)
    assert it.events[-1]["partitionkey"] == "linz/3%2F4%20%C3%A4"
    assert done.attributes["content-type"] == "application/cloudevents+json"
    found = counts(connection)
    assert (found.decided, found.open, found.verdicts, found.dead_letters) == (3, 0, 3, 0)
    assert not has_inbox_coil(connection, LINZ)


def test_events_come_one_by_one_in_an_array_and_in_kafkas_binary_mode(database: str, connection: Connection) -> None:
    events = events_of(coil("7"))
    with road(database) as it:
        assert it.assemble.run(orjson.dumps(events[0], option=orjson.OPT_INDENT_2), {}).relationship == WAITING
        assert it.assemble.run(orjson.dumps(events[1:5]), {}).relationship == WAITING
        for sign, event in zip("_-" * len(events), events[5:], strict=False):
            envelope = {f"ce{sign}{name}": event[name] for name in ("id", "source", "type", "specversion")}
            given = it.assemble.run(orjson.dumps(event["data"]), {**envelope, "content-type": "application/json"})
        assert given.relationship == SUCCESS
        it.through(given.contents)
    assert counts(connection).decided == 1


def test_what_a_crash_after_the_commit_repeats_is_one_verdict_with_one_event(
    database: str, connection: Connection
) -> None:
    events = events_of(coil("7"))
    with road(database) as it:
        given = it.send(events)
        assert it.send(events).relationship == WAITING  # NiFi lost that it was sent: leased
        verdicts = it.judged(given.contents)
        first, again = it.recorded(verdicts), it.recorded(verdicts)
    assert (first.attributes[NEW], again.attributes[NEW], again.attributes[REPEATED]) == ("1", "0", "1")
    assert lines(first) == lines(again) == outbox(connection)
    assert (counts(connection).verdicts, counts(connection).duplicated) == (1, 0)


def test_a_coil_lost_on_the_way_is_given_again_after_its_lease_and_gets_one_verdict(
    database: str, connection: Connection
) -> None:
    with road(database) as it:
        lost = it.send(events_of(coil("7")))
        assert it.tick().relationship == WAITING
        lease_runs_out(connection)
        again = it.tick()
        assert again.relationship == SUCCESS
        it.through(again.contents)
        it.through(lost.contents)  # it was not lost after all
    assert counts(connection).verdicts == len(outbox(connection)) == 1
    assert len({event["id"] for event in it.events}) == 1


def test_the_lease_is_the_property(database: str, connection: Connection) -> None:
    with road(database, Lease="1000") as it:
        it.send(events_of(coil("7")))
    [row] = connection.execute(
        "select extract(epoch from look_at - clock_timestamp()) as lease_s, host from coilflow.inbox_coils"
    ).fetchall()
    assert 900 < row["lease_s"] <= 1000
    assert row["host"] == "nifi"


def takes_without_a_verdict(it: Road, connection: Connection) -> int:
    """How often the coils that are due are given, where each FlowFile ends in `dead_letter` on its way."""
    taken = 0
    while taken < 2 * MOST_TAKES and it.tick().relationship == SUCCESS:
        taken += 1
        lease_runs_out(connection)
    return taken


def test_a_coil_that_never_comes_through_is_taken_a_few_times_and_then_one_dead_letter_with_what_to_do(
    database: str, connection: Connection
) -> None:
    events = events_of(coil("7"))
    with road(database) as it:
        assert it.send(events[:-1]).relationship == WAITING
        lost = it.send([events[-1]])
        lease_runs_out(connection)
        assert takes_without_a_verdict(it, connection) == MOST_TAKES - 1
        for _ in range(3):
            assert it.tick().relationship == WAITING
        [letter] = dead_letters(connection)
        assert [orjson.loads(line) for line in letter["original"].splitlines()] == events
        assert (letter["step"], letter["whole_coil"]) == ("assemble", True)
        assert f"{MOST_TAKES} times" in letter["error"]
        assert not has_inbox_coil(connection, LINZ)
        assert it.through(lost.contents).attributes[STALE] == "1"  # in the end; the dead letter stands
        [plan] = replay(connection, list_dead_letters(connection, Wanted()), Settings(), decode_message, again=False)
        assert plan.refusal is None
        it.through(it.due())
    assert counts(connection).verdicts == 1
    assert [letter["state"] for letter in dead_letters(connection)] == ["resolved"]


def test_each_take_doubles_the_lease_up_to_a_day(database: str, connection: Connection) -> None:
    leases = []
    with road(database, Lease="20000") as it:
        it.send(events_of(coil("7")))
        for _ in range(4):
            [row] = connection.execute(
                "select extract(epoch from look_at - clock_timestamp())::float8 as lease_s from coilflow.inbox_coils"
            ).fetchall()
            leases.append(row["lease_s"])
            lease_runs_out(connection)
            it.tick()
    assert leases == pytest.approx([20_000, 40_000, 80_000, 86_400], abs=60)


@pytest.mark.usefixtures("quick")
def test_what_comes_of_a_coil_late_does_not_use_up_its_takes(database: str, connection: Connection) -> None:
    events = events_of(coil("7"))
    with road(database) as it:
        it.arrived(events[:-1])
        for number in range(2 * MOST_TAKES):
            it.arrived([events[1] | {"id": f"again {number}"}])
        it.through(it.arrived([events[-1]]))
    assert dead_letters(connection) == []
    assert counts(connection).verdicts == 1


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


@pytest.mark.parametrize("late_first", [False, True])
@pytest.mark.usefixtures("quick")
def test_of_two_revisions_the_later_one_stands_in_whatever_order_they_are_recorded(
    database: str, connection: Connection, *, late_first: bool
) -> None:
    events = events_of(coil("7"))
    with road(database) as it:
        first = it.judged(it.arrived([*events[:5], *events[6:]]))
        second = it.judged(it.arrived([events[5]]))
        done = [it.recorded(verdicts) for verdicts in ((second, first) if late_first else (first, second))]
        lease_runs_out(connection)
        assert it.tick().relationship == WAITING
    stands = verdict_of(connection, LINZ)
    assert stands is not None
    assert [event["data"]["revision"] for event in it.events][-1] == stands.verdict.revision
    whole = [event["data"] for event in outbox(connection)][-1]
    assert whole["revision"] == stands.verdict.revision
    assert [one.attributes[STALE] for one in done] == (["0", "1"] if late_first else ["0", "0"])
    assert counts(connection).verdicts == (1 if late_first else 2)
    assert not has_inbox_coil(connection, LINZ)


@pytest.mark.usefixtures("quick")
def test_a_late_chunk_of_a_decided_coil_makes_a_revision(database: str, connection: Connection) -> None:
    events = events_of(coil("7"))
    with road(database) as it:
        it.through(it.arrived([*events[:5], *events[6:]]))
        it.through(it.arrived([events[5]]))
    first, second = (event["data"] for event in it.events)
    assert second["supersedes"] == first["revision"]
    assert it.events == outbox(connection)


def test_the_inbox_and_nifi_do_not_take_each_others_coils(database: str, connection: Connection) -> None:
    settings = Settings()
    store_events(connection, [inbox_event(event) for event in events_of(coil("8"))], settings.stream)
    with road(database) as it:
        given = it.send(events_of(coil("7")))
        assert given.attributes["coilflow.coils"] == "1"
        lease_runs_out(connection)
        looked = judge_due(connection, only(MeanScorer()), settings, decode=decode_message, up_since=LONG_AGO)
        assert (looked.taken, looked.judged) == (1, 1)
        assert it.tick().attributes["coilflow.coils"] == "1"
        it.through(given.contents)
    assert [event["data"]["coil_id"] for event in it.events] == ["7"]
    assert counts(connection).verdicts == 2


def by_another_host(connection: Connection, events: list[dict[str, Any]]) -> None:
    """Decide a coil as Kafka's worker does: without the inbox."""
    opened, settings = OpenCoil(key=LINZ), Settings()
    for offset, event in enumerate(events):
        line = orjson.dumps(event)
        decoded = decode_message(line)
        assert not isinstance(decoded, EventFault)
        opened.apply(decoded, (line, ()), offset=offset, now_ms=0)
    due = DueCoil(coil=opened, place="topic", silent=False, log=LogPlace(topic="t", partition=0, offset=len(events)))
    with connection.transaction():
        record_outcome(connection, judge_each([due], only(MeanScorer()), settings), settings, place="topic")


@pytest.mark.usefixtures("quick")
def test_a_coil_that_another_host_decided_gets_no_second_verdict(database: str, connection: Connection) -> None:
    by_another_host(connection, events_of(coil("7")))
    with road(database) as it:
        assert it.send(events_of(coil("7"))).relationship == WAITING
        assert it.tick().relationship == WAITING
    assert (counts(connection).verdicts, has_inbox_coil(connection, LINZ)) == (1, False)


@pytest.mark.usefixtures("quick")
def test_a_coil_decided_on_more_elsewhere_while_it_was_on_its_way_is_not_decided_on_less(
    database: str, connection: Connection
) -> None:
    events = events_of(coil("7"))
    with road(database) as it:
        verdicts = it.judged(it.arrived([*events[:5], *events[6:]]))
        by_another_host(connection, events)
        done = it.recorded(verdicts)
        assert (done.relationship, done.contents, done.attributes[STALE]) == (NOTHING, b"", "1")
        assert it.tick().relationship == WAITING  # what it came as says nothing new
    assert (counts(connection).verdicts, has_inbox_coil(connection, LINZ)) == (1, False)


@pytest.mark.usefixtures("quick")
def test_a_coil_that_is_decided_on_more_elsewhere_at_the_same_moment_is_not_decided_on_less(
    database: str, connection: Connection
) -> None:
    def waits() -> bool:
        with psycopg.connect(database) as looking:
            return bool(
                looking.execute(
                    "select from pg_stat_activity"
                    " where application_name = 'coilflow nifi record_verdict' and wait_event_type = 'Lock'"
                ).rowcount
            )

    events = events_of(coil("7"))
    with road(database) as it, ThreadPoolExecutor(1) as task:
        verdicts = it.judged(it.arrived([*events[:5], *events[6:]]))
        with connection.transaction():
            by_another_host(connection, events)
            recording = task.submit(it.recorded, verdicts)
            wait_until(waits)
        assert recording.result().attributes[STALE] == "1"
    assert counts(connection).verdicts == 1


@pytest.mark.usefixtures("quick")
def test_a_silent_coil_is_decided_after_its_deadline_also_where_its_start_never_came(
    database: str, connection: Connection
) -> None:
    with road(database) as it:
        it.through(it.arrived(events_of(coil("7"))[:-1]))
        it.through(it.arrived(events_of(coil("8"))[1:3]))
    whole, part = (event["data"] for event in it.events)
    assert any(reason.startswith("deadline") for reason in whole["reasons"])
    assert part["label"] == "UNDECIDED"
    assert counts(connection).verdicts == 2


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


def test_in_observe_mode_verdicts_are_stored_and_nothing_is_announced(database: str, connection: Connection) -> None:
    with road(database, Mode="observe") as it:
        done = it.through(it.send(events_of(coil("7"))).contents)
    assert (done.relationship, done.attributes[NEW]) == (OBSERVED, "1")
    assert (counts(connection).verdicts, outbox(connection)) == (1, [])


def test_assesscoil_ends_a_coil_that_came_event_by_event(database: str, connection: Connection) -> None:
    with road(database) as it:
        assert it.send(events_of(coil("7"))[:-1]).relationship == WAITING
        with road(database, Content="assesscoil", Plant="linz") as asked:
            unknown = asked.assemble.run(b'{"SID": "8"}', {"mqtt.topic": "assesscoil"})
            assert (unknown.relationship, unknown.contents) == (DEAD_LETTER, None)
            given = asked.assemble.run(b'{"SID": "7"}', {"mqtt.topic": "assesscoil"})
            assert given.relationship == SUCCESS
            it.through(given.contents)
            assert asked.assemble.run(b'{"SID": "7"}', {"mqtt.topic": "assesscoil"}).relationship == WAITING
    assert counts(connection).verdicts == 1
    assert [letter["coil_id"] for letter in dead_letters(connection)] == ["8"]


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


def test_concurrent_tasks_give_each_coil_one_verdict(database: str, connection: Connection) -> None:
    names = [str(i) for i in range(24)]
    with road(database, Batch_Coils="3") as it, ThreadPoolExecutor(4) as tasks:
        sent = list(tasks.map(lambda name: it.send(events_of(coil(name, rows=3))), names))
        given = [one.contents for one in sent if one.relationship == SUCCESS]
        list(tasks.map(it.through, [*given, *given]))
    found = counts(connection)
    assert found.verdicts == found.decided == len(outbox(connection)) == len(names)
    assert {event["id"] for event in it.events} == {event["id"] for event in outbox(connection)}


def test_a_wrong_event_that_names_its_coil_rejects_it_as_in_kafka(database: str, connection: Connection) -> None:
    events = events_of(coil("7"))
    wrong = {**events[3], "data": events[3]["data"] | {"mean_g_m2": [1.0] * 8}}
    with road(database) as it:
        given = it.send([*events[:3], wrong, *events[4:], *events_of(coil("8"))])
        assert (given.attributes["coilflow.coils"], given.attributes["coilflow.rejects"]) == ("1", "1")
    [letter] = dead_letters(connection)
    assert (letter["coil_id"], letter["whole_coil"]) == ("7", True)
    assert len(letter["original"].splitlines()) == len(events)


def test_events_without_an_id_are_known_again_by_what_they_say(database: str, connection: Connection) -> None:
    events = [{name: value for name, value in event.items() if name != "id"} for event in events_of(coil("7"))]
    with road(database) as it:
        given = it.send([*events[:9], *events])
        it.through(given.contents)
        assert it.send(events).relationship == WAITING
    assert counts(connection).verdicts == 1
    assert dead_letters(connection) == []
