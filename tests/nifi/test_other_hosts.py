"""A coil that other hosts or tasks judge too gets one verdict, and one on more readings is never replaced by less."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import psycopg
import pytest

from flows.assemble_due import DueCoil
from flows.inbox import judge_due
from flows.judge import judge_each
from flows.nifi.assemble_coil import WAITING
from flows.nifi.record_verdict import NOTHING, STALE
from flows.nifi.step import SUCCESS
from flows.record_outcome import record_outcome
from flows.served import only
from processors.decode import EventFault, decode_message
from processors.open_coils import OpenCoil
from schemas.rejects import LogPlace
from schemas.settings import Settings
from store.coils import counts
from store.connection import Connection
from store.inbox import has_inbox_coil, store_events
from store.verdicts import verdict_of
from tests.flows.given import coil, events_of
from tests.flows.judging import MeanScorer
from tests.nifi.given import LINZ, lease_runs_out, outbox
from tests.nifi.road import road
from tests.store.test_inbox import LONG_AGO, inbox_event
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("destination")


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


def test_concurrent_tasks_give_each_coil_one_verdict(database: str, connection: Connection) -> None:
    names = [str(i) for i in range(24)]
    with road(database, Batch_Coils="3") as it, ThreadPoolExecutor(4) as tasks:
        sent = list(tasks.map(lambda name: it.send(events_of(coil(name, rows=3))), names))
        given = [one.contents for one in sent if one.relationship == SUCCESS]
        list(tasks.map(it.through, [*given, *given]))
    found = counts(connection)
    assert found.verdicts == found.decided == len(outbox(connection)) == len(names)
    assert {event["id"] for event in it.events} == {event["id"] for event in outbox(connection)}
