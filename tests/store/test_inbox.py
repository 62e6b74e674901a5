"""Events without Kafka are stored once, wait for their coil's end, and are judged by one process alone."""

import secrets
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import psycopg
import pytest
from structlog.processors import format_exc_info
from structlog.testing import capture_logs

from flows.inbox import InboxJudge, Looked, judge_due
from flows.intake import Message, Refused, read_event
from flows.limited_database import LimitedDatabase
from flows.served import always, only
from processors.decode import ChunkEvent, EventFault, decode_message
from schemas.coils import CoilKey
from schemas.errors import StoreUnavailableError
from schemas.rejects import Headers
from schemas.settings import Settings
from schemas.stream_settings import StreamSettings
from store.coils import counts
from store.connection import Connection, connect
from store.inbox import InboxEvent, coil_state, has_inbox_coil, store_events, take_coils
from store.verdicts import verdict_of
from tests.flows.given import Given, coil, events_of
from tests.flows.judging import MeanScorer
from tests.store.given import NOON
from tests.streams.scorers import FailingScorer, WaitingScorer
from tests.waiting import wait_until

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
QUICK = Settings(stream=StreamSettings(settle_s=0.001, deadline_s=0.001))
SLOW = Settings()


def inbox_event(event: dict[str, Any]) -> InboxEvent:
    return InboxEvent(
        key=CoilKey(plant=event["data"]["plant"], coil_id=event["data"]["coil_id"]),
        source=event["source"],
        event_id=event["id"],
        is_start=event["type"] == "coil.started",
        is_end=event["type"] == "coil.ended",
        event=orjson.dumps(event),
    )


def message(event: dict[str, Any]) -> Message:
    return Message(value=orjson.dumps(event))


def send(connection: Connection, events: Sequence[dict[str, Any]], settings: Settings = SLOW) -> tuple[bool, ...]:
    return store_events(connection, [inbox_event(event) for event in events], settings.stream)


def judge(connection: Connection, settings: Settings = SLOW, up_since: datetime = LONG_AGO) -> tuple[int, int, int]:
    looked = judge_due(connection, only(MeanScorer()), settings, decode=decode_message, up_since=up_since)
    return looked.judged, looked.rejected, looked.postponed


def has_ended(dsn: str, pid: int) -> bool:
    with connect(dsn) as other:
        return other.execute("select from pg_stat_activity where pid = %s", (pid,)).fetchone() is None


def state_of(connection: Connection, coil_id: str) -> str:
    state = coil_state(connection, CoilKey(plant="linz", coil_id=coil_id))
    assert state is not None
    return state.state


def judge_quickly(connection: Connection) -> Looked:
    """Judge by the quick rules, once what is there is due."""
    done: list[Looked] = []

    def look() -> bool:
        done.append(judge_due(connection, only(MeanScorer()), QUICK, decode=decode_message, up_since=LONG_AGO))
        return done[-1].taken > done[-1].postponed

    wait_until(look)
    return done[-1]


def revision(connection: Connection, given: Given) -> tuple[str, str | None]:
    stored = verdict_of(connection, CoilKey(plant="linz", coil_id=given.coil_id))
    assert stored is not None
    return stored.verdict.revision, stored.verdict.supersedes


def test_a_whole_coil_is_judged_at_once_and_leaves_the_inbox(connection: Connection) -> None:
    assert all(send(connection, events_of(coil("7"))))
    state = coil_state(connection, CoilKey(plant="linz", coil_id="7"))
    assert state is not None
    assert state.state == "open"
    assert judge(connection) == (1, 0, 0)
    found = counts(connection)
    assert (found.decided, found.open, found.verdicts) == (1, 0, 1)
    assert not has_inbox_coil(connection, CoilKey(plant="linz", coil_id="7"))


def test_an_event_sent_twice_is_stored_once_before_and_after_the_verdict(connection: Connection) -> None:
    events = events_of(coil("7"))
    assert send(connection, [events[0], events[0], events[1]]) == (True, False, True)
    assert send(connection, events[:3]) == (False, False, True)
    assert all(send(connection, events[3:]))
    judge(connection)
    assert not any(send(connection, events))
    assert not has_inbox_coil(connection, CoilKey(plant="linz", coil_id="7"))
    assert counts(connection).verdicts == 1


def test_the_same_id_from_another_source_is_another_event(connection: Connection) -> None:
    event = events_of(coil("7"))[1]
    assert send(connection, [event, event | {"source": "/plants/graz"}]) == (True, True)


def test_a_line_that_counts_its_ids_anew_for_every_coil_loses_nothing(connection: Connection) -> None:
    for name in ("7", "8"):
        events = [event | {"id": str(number)} for number, event in enumerate(events_of(coil(name)))]
        assert all(send(connection, events))
    assert judge(connection) == (2, 0, 0)
    assert counts(connection).decided == 2


def test_the_longest_names_and_ids_are_stored(connection: Connection) -> None:
    def long(signs: int) -> str:
        return "".join(chr(0x20000 + secrets.randbelow(0x5000)) for _ in range(signs))  # four bytes each

    event = events_of(coil("7"))[1] | {"source": long(100), "id": long(50)}
    assert isinstance(read_event(message(event), decode=decode_message, place="here", now=NOON), InboxEvent)
    event["data"] |= {"plant": long(200), "coil_id": long(200)}
    assert send(connection, [event]) == (True,)
    for name, bytes_ in (("source", 401), ("id", 201)):
        refused = read_event(message(event | {name: "x" * bytes_}), decode=decode_message, place="here", now=NOON)
        assert isinstance(refused, Refused)
        assert name in refused.reject.error


def test_a_coil_without_its_end_waits_for_its_deadline(connection: Connection) -> None:
    send(connection, events_of(coil("7"))[:-1])
    assert judge(connection) == (0, 0, 0)
    send(connection, events_of(coil("8"))[:-1], QUICK)
    listening = datetime.now(UTC) + timedelta(hours=1)
    wait_until(lambda: judge(connection, QUICK, up_since=listening) == (0, 0, 1))  # silence before it does not count
    assert counts(connection).open == 2


def test_a_silent_coil_is_judged_after_its_deadline_and_says_so(connection: Connection) -> None:
    send(connection, events_of(coil("7"))[:-1], QUICK)
    assert judge_quickly(connection).judged == 1
    stored = verdict_of(connection, CoilKey(plant="linz", coil_id="7"))
    assert stored is not None
    assert any(reason.startswith("deadline") for reason in stored.verdict.reasons)


def test_an_ended_coil_that_lacks_rows_settles_first(connection: Connection) -> None:
    events = events_of(coil("7"))
    send(connection, [*events[:5], *events[6:]])
    assert judge(connection) == (0, 0, 1)
    assert judge(connection) == (0, 0, 0)  # postponed
    send(connection, [events[5]])
    assert judge(connection) == (1, 0, 0)


def test_a_late_chunk_makes_a_superseding_revision(connection: Connection) -> None:
    events = events_of(coil("7"))
    send(connection, [*events[:5], *events[6:]], QUICK)
    assert judge_quickly(connection).judged == 1
    first, _ = revision(connection, coil("7"))
    assert send(connection, [events[5]], QUICK) == (True,)
    assert judge_quickly(connection).judged == 1
    second, supersedes = revision(connection, coil("7"))
    assert (supersedes, counts(connection).duplicated) == (first, 0)
    assert second != first


def test_a_late_chunk_that_says_nothing_new_changes_nothing(connection: Connection) -> None:
    events = events_of(coil("7"))
    send(connection, events, QUICK)
    judge_quickly(connection)
    assert send(connection, [events[5] | {"id": "another"}], QUICK) == (True,)
    assert judge_quickly(connection).unchanged == 1
    assert counts(connection).verdicts == 1
    assert not has_inbox_coil(connection, CoilKey(plant="linz", coil_id="7"))


def test_a_refused_coil_is_a_dead_letter_with_its_events_and_may_be_sent_again(connection: Connection) -> None:
    events = events_of(coil("7"))
    other = {**events[1], "id": "x", "data": events[1]["data"] | {"mean_g_m2": [1.0] * 9}}
    send(connection, [*events, other])
    assert judge(connection) == (0, 1, 0)
    state = coil_state(connection, CoilKey(plant="linz", coil_id="7"))
    assert state is not None
    assert state.state == "dead_lettered"
    assert "disagree" in state.dead_letters[0].error
    [row] = connection.execute("select original from coilflow.dead_letters").fetchall()
    assert row["original"] == b"".join(orjson.dumps(event) + b"\n" for event in [*events, other])
    assert all(send(connection, events))
    assert judge(connection) == (1, 0, 0)


def test_what_comes_late_of_a_refused_coil_is_a_dead_letter_and_no_verdict(connection: Connection) -> None:
    events = events_of(coil("7"))
    other = {**events[1], "id": "x", "data": events[1]["data"] | {"mean_g_m2": [1.0] * 9}}
    send(connection, [*events[:5], *events[6:], other], QUICK)
    assert judge_quickly(connection).rejected == 1
    send(connection, [events[5]], QUICK)
    assert state_of(connection, "7") == "dead_lettered"
    assert judge_quickly(connection).rejected == 1
    assert (counts(connection).verdicts, counts(connection).dead_letters) == (0, 2)
    assert state_of(connection, "7") == "dead_lettered"
    send(connection, events[1:], QUICK)  # sent again, its start last
    assert state_of(connection, "7") == "dead_lettered"
    send(connection, events[:1], QUICK)
    assert state_of(connection, "7") == "open"
    assert judge_quickly(connection).judged == 1
    assert state_of(connection, "7") == "decided"


def test_a_coil_in_other_hands_is_passed_over(connection: Connection, database: str) -> None:
    for name in ("7", "8"):
        send(connection, events_of(coil(name)))
    with connect(database) as other, other.transaction():
        assert take_coils(other, most=1) == (CoilKey(plant="linz", coil_id="7"),)
        assert judge(connection) == (1, 0, 0)
    assert judge(connection) == (1, 0, 0)
    assert (counts(connection).verdicts, counts(connection).duplicated) == (2, 0)


def test_several_judges_judge_each_coil_once(connection: Connection, database: str) -> None:
    names = [str(i) for i in range(30)]
    small = Settings(batch_coils=3, destinations=("kafka:coil.verdicts",))
    for name in names:
        send(connection, events_of(coil(name, rows=3)))
    judged: list[int] = []

    def work() -> None:
        with connect(database) as mine:
            while (
                looked := judge_due(mine, only(MeanScorer()), small, decode=decode_message, up_since=LONG_AGO)
            ).taken:
                judged.append(looked.judged)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = counts(connection)
    assert sum(judged) == found.verdicts == found.outbox == found.decided == len(names)


def test_an_event_that_comes_while_its_coil_is_judged_is_not_lost(connection: Connection, database: str) -> None:
    events = events_of(coil("7"))
    send(connection, [*events[:5], *events[6:]], QUICK)
    sent = threading.Event()

    def late() -> None:
        with connect(database) as other:
            send(other, [events[5]], QUICK)
        sent.set()

    thread = threading.Thread(target=late)
    with connection.transaction():
        assert judge_quickly(connection).judged == 1
        thread.start()  # it waits for the coil
        assert not sent.is_set()
    thread.join()
    assert judge_quickly(connection).judged == 1
    _, supersedes = revision(connection, coil("7"))
    assert supersedes is not None


def test_a_coil_that_the_database_refuses_is_a_dead_letter_and_the_others_are_judged(connection: Connection) -> None:
    for name in ("7", "8"):
        send(connection, events_of(coil(name)))
    connection.execute("alter table coilflow.readings add check (coil_id <> '7')")
    assert judge(connection) == (1, 1, 0)
    [row] = connection.execute("select coil_id, step from coilflow.dead_letters").fetchall()
    assert row == {"coil_id": "7", "step": "store"}


def test_a_coil_that_the_models_fail_on_is_a_dead_letter_and_the_others_are_judged(connection: Connection) -> None:
    for name in ("7", "bad", "8"):
        send(connection, events_of(coil(name)))
    looked = judge_due(connection, only(FailingScorer()), SLOW, decode=decode_message, up_since=LONG_AGO)
    assert (looked.judged, looked.rejected, looked.postponed) == (2, 1, 0)
    [row] = connection.execute("select coil_id, step, error from coilflow.dead_letters").fetchall()
    assert row == {"coil_id": "bad", "step": "score", "error": "the models failed on a batch"}
    assert not has_inbox_coil(connection, CoilKey(plant="linz", coil_id="bad"))


def test_a_judge_that_something_unforeseen_happens_to_tells_it_and_judges_on(
    connection: Connection, database: str
) -> None:
    failed = threading.Event()

    def decode(value: bytes | None, headers: Headers = ()) -> tuple[ChunkEvent, ...] | EventFault:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("unforeseen")
        return decode_message(value, headers)

    send(connection, events_of(coil("7")))
    with capture_logs([format_exc_info]) as logged:
        service = InboxJudge(database, always(MeanScorer()), SLOW, decode=decode)
        service.start()
        try:
            wait_until(lambda: counts(connection).decided == 1)
            assert service.alive
        finally:
            service.stop()
    [told] = [entry["exception"] for entry in logged if "exception" in entry]
    assert "Traceback" in told
    assert "RuntimeError: unforeseen" in told


def test_a_judge_stopped_in_its_transaction_holds_nobody_up_for_ever(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.waits.IDLE_IN_TRANSACTION_S", 0.2)
    send(connection, events_of(coil("7")))
    scorer = WaitingScorer()
    stopped = InboxJudge(database, always(scorer), SLOW, decode=decode_message)
    stopped.start()
    try:
        assert scorer.began.wait(20)
        wait_until(lambda: judge(connection) == (1, 0, 0))
    finally:
        scorer.go_on.set()
        stopped.stop()
    assert (counts(connection).verdicts, counts(connection).duplicated) == (1, 0)


def test_a_session_that_the_server_ended_is_told_from_a_value_that_is_refused(database: str) -> None:
    with connect(database) as connection:
        connection.execute("set idle_in_transaction_session_timeout = '1ms'")
        with suppress(psycopg.OperationalError), connection.transaction():
            wait_until(lambda: has_ended(database, connection.info.backend_pid))
            with pytest.raises(StoreUnavailableError):
                take_coils(connection, most=1)


def test_the_judge_and_its_callers_wait_for_a_lock_so_long_and_no_longer(connection: Connection, database: str) -> None:
    limited = LimitedDatabase(database, application_name="coilflow test")
    try:
        session = limited.connection()
        limits = session.execute(
            "select current_setting('lock_timeout') as lock,"
            " current_setting('idle_in_transaction_session_timeout') as idle"
        ).fetchone()
        assert limits == {"lock": "15s", "idle": "30s"}
        session.execute("set lock_timeout = '10ms'")
        send(connection, events_of(coil("7")))
        with connection.transaction():
            take_coils(connection, most=1)
            with pytest.raises(StoreUnavailableError, match="lock timeout"):
                send(session, events_of(coil("7")))
    finally:
        limited.close()


def test_a_judge_cut_off_from_the_database_judges_on_when_it_is_back(connection: Connection, database: str) -> None:
    service = InboxJudge(database, always(MeanScorer()), SLOW, decode=decode_message)
    service.start()
    try:
        for name in range(20):
            send(connection, events_of(coil(str(name), rows=3)))
            service.wake()
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and application_name = 'coilflow inbox'"
            )
        wait_until(lambda: counts(connection).decided == 20)
    finally:
        service.stop()
    found = counts(connection)
    assert (found.verdicts, found.duplicated, found.open) == (20, 0, 0)


def test_a_connection_that_breaks_is_told_from_a_value_that_is_refused(database: str) -> None:
    with connect(database) as connection:
        connection.close()
        with pytest.raises(StoreUnavailableError):
            send(connection, events_of(coil("7")))
    with connect(database) as connection, psycopg.connect(database, autocommit=True) as other:
        send(connection, events_of(coil("7")))
        other.execute("select pg_terminate_backend(%s)", (connection.info.backend_pid,))
        with pytest.raises(StoreUnavailableError):
            judge(connection)
