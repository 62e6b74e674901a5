"""A coil that goes through NiFi gets one verdict, whatever is lost or repeated on its way."""

import orjson
import pytest

from flows.deadletters import replay
from flows.nifi.assemble_coil import MOST_TAKES, WAITING
from flows.nifi.record_verdict import NEW, OBSERVED, REPEATED, STALE
from flows.nifi.step import DEAD_LETTER, SUCCESS
from processors.decode import decode_message
from schemas.settings import Settings
from store.coils import counts
from store.connection import Connection
from store.deadletters import Wanted, list_dead_letters
from store.inbox import has_inbox_coil
from tests.flows.given import coil, events_of
from tests.nifi.given import LINZ, dead_letters, lease_runs_out, outbox
from tests.nifi.road import Road, lines, road

pytestmark = pytest.mark.usefixtures("destination")


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


def test_events_without_an_id_are_known_again_by_what_they_say(database: str, connection: Connection) -> None:
    events = [{name: value for name, value in event.items() if name != "id"} for event in events_of(coil("7"))]
    with road(database) as it:
        given = it.send([*events[:9], *events])
        it.through(given.contents)
        assert it.send(events).relationship == WAITING
    assert counts(connection).verdicts == 1
    assert dead_letters(connection) == []
