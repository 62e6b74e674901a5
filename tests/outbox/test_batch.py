"""A batch goes out in order, and what is marked was acknowledged."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from flows.outbox.batch import Batch, send_batch
from flows.outbox.outcomes import SENT, Outcome, failed
from schemas.errors import StoreUnavailableError
from store import outbox
from store.connection import Connection, connect
from store.outbox import OutboxRow, backlog, prune_outbox, retry_refused, waiting_destinations, waiting_rows
from tests.outbox.given import MEMORY, Memory, announce, unpublished

ALL = frozenset(range(64))


def batch_of(connection: Connection, memory: Memory, *, slots: frozenset[int] = ALL, most_attempts: int = 2) -> Batch:
    return send_batch(
        connection,
        MEMORY,
        memory.publish,
        slots=slots,
        may_publish=lambda: True,
        without=frozenset(),
        most_attempts=most_attempts,
    )


def test_verdicts_on_a_coil_go_out_oldest_first_and_once(connection: Connection) -> None:
    memory = Memory()
    for revision in ("r1", "r2", "r3"):
        announce(connection, "1", "2", revision=revision)
    assert batch_of(connection, memory).sent == 6
    assert memory.revisions("1") == memory.revisions("2") == ["r1", "r2", "r3"]
    assert batch_of(connection, memory) == Batch()
    assert len(memory.got) == 6


def test_no_two_events_of_a_coil_are_under_way_at_once(connection: Connection) -> None:
    calls: list[list[str]] = []

    def publish(rows: Sequence[OutboxRow]) -> Sequence[Outcome]:
        calls.append([row.key for row in rows])
        return [SENT for _ in rows]

    for revision in ("r1", "r2"):
        announce(connection, "1", "2", revision=revision)
    send_batch(connection, MEMORY, publish, slots=ALL, may_publish=lambda: True, without=frozenset(), most_attempts=2)
    assert calls == [["linz/1", "linz/2"], ["linz/1", "linz/2"]]


def test_nothing_of_a_coil_overtakes_what_failed(connection: Connection) -> None:
    memory = Memory()

    def publish(rows: Sequence[OutboxRow]) -> Sequence[Outcome]:
        return [failed("timeout") if row.key == "linz/1" else memory.publish([row])[0] for row in rows]

    for revision in ("r1", "r2"):
        announce(connection, "1", "2", revision=revision)
    result = send_batch(
        connection, MEMORY, publish, slots=ALL, may_publish=lambda: True, without=frozenset(), most_attempts=2
    )
    assert (result.sent, result.failure) == (1, "timeout")
    assert memory.coils == ["2"]
    batch_of(connection, memory)
    assert memory.revisions("1") == memory.revisions("2") == ["r1", "r2"]


def test_a_refused_event_is_set_aside_after_its_attempts_and_what_follows_goes_on(connection: Connection) -> None:
    memory = Memory(refuses={"1"})
    announce(connection, "1", "2")
    first = batch_of(connection, memory)
    assert (first.sent, first.refused, first.set_aside) == (1, {"linz/1": 1}, ())
    second = batch_of(connection, memory)
    assert [row.key for row in second.set_aside] == ["linz/1"]
    found = backlog(connection)[MEMORY]
    assert (found.waiting, found.refused) == (0, 1)
    memory.refuses.clear()
    announce(connection, "1", revision="r2")
    batch_of(connection, memory)
    assert memory.revisions("1") == ["r2"]
    assert retry_refused(connection) == 1
    batch_of(connection, memory)
    assert memory.revisions("1") == ["r2", "r1"]
    assert unpublished(connection) == 0


def test_what_a_destination_said_is_kept_even_with_signs_that_no_text_column_takes(connection: Connection) -> None:
    announce(connection, "1")
    [row] = waiting_rows(connection, MEMORY, slots=ALL)
    outbox.mark_refused(connection, {row.outbox_id: "no\x00pe"}, most_attempts=1)
    [kept] = connection.execute("select refusal, attempts, refused_at from coilflow.outbox").fetchall()
    assert (kept["refusal"], kept["attempts"]) == ("no\\x00pe", 1)
    assert kept["refused_at"] is not None


def test_rows_of_other_slots_and_destinations_are_left_alone(connection: Connection) -> None:
    announce(connection, *map(str, range(40)), to=(MEMORY, "mqtt:coilready"))
    even = frozenset(range(0, 64, 2))
    memory = Memory()
    batch_of(connection, memory, slots=even)
    left = waiting_rows(connection, MEMORY, slots=ALL)
    assert len(memory.got) + len(left) == 40
    assert waiting_rows(connection, MEMORY, slots=even) == ()
    assert len(waiting_rows(connection, "mqtt:coilready", slots=ALL)) == 40
    assert waiting_destinations(connection) == {MEMORY, "mqtt:coilready"}


def test_a_batch_holds_few_enough_bytes_and_always_a_first_row(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(connection, *map(str, range(5)))
    monkeypatch.setattr(outbox, "BATCH_BYTES", 1)
    sizes = []
    memory = Memory()
    while sent := batch_of(connection, memory).sent:
        sizes.append(sent)
    assert sizes == [1] * 5


def test_a_relay_that_lost_its_slots_publishes_no_further(connection: Connection) -> None:
    memory = Memory()
    for revision in ("r1", "r2"):
        announce(connection, "1", revision=revision)
    result = send_batch(
        connection,
        MEMORY,
        memory.publish,
        slots=ALL,
        may_publish=lambda: not memory.got,
        without=frozenset(),
        most_attempts=2,
    )
    assert (result.sent, memory.revisions("1")) == (1, ["r1"])


def test_a_connection_cut_between_publishing_and_marking_repeats_the_same_ids(
    connection: Connection, database: str
) -> None:
    announce(connection, "1", "2")
    memory = Memory()
    with connect(database) as cut:

        def publish(rows: Sequence[OutboxRow]) -> Sequence[Outcome]:
            connection.execute("select pg_terminate_backend(%s)", (cut.info.backend_pid,))
            return memory.publish(rows)

        with pytest.raises(StoreUnavailableError, match="cannot mark 2 rows as published"):
            send_batch(cut, MEMORY, publish, slots=ALL, may_publish=lambda: True, without=frozenset(), most_attempts=2)
    batch_of(connection, memory)
    ids = [row.event_id for row in memory.got]
    assert ids[:2] == ids[2:]
    assert unpublished(connection) == 0


def test_published_rows_are_deleted_after_their_time_and_waiting_ones_never(connection: Connection) -> None:
    announce(connection, "1")
    batch_of(connection, Memory())
    announce(connection, "2")
    connection.execute("update coilflow.outbox set created_at = now() - interval '1 year'")
    week_ago = datetime.now(UTC) - timedelta(days=7)
    assert prune_outbox(connection, before=week_ago) == 0
    assert connection.execute("select count(*) as n from coilflow.outbox").fetchone() == {"n": 2}
    connection.execute("update coilflow.outbox set published_at = now() - interval '8 days' where published_at < now()")
    assert prune_outbox(connection, before=week_ago) == 1
    assert connection.execute("select key from coilflow.outbox").fetchall() == [{"key": "linz/2"}]
