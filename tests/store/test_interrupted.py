"""A recorder that dies, waits or races leaves whole verdicts, once."""

import itertools
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from schemas.errors import StoreError
from store.coils import counts
from store.connection import Connection, connect
from store.verdicts import Recorded, record_verdicts
from tests.store.given import KAFKA, NOON, decided


def backend_waiting_for(connection: Connection, database: str) -> int:
    """Process id of the backend that waits for a lock of `connection`; asks until there is one."""
    mine = connection.info.backend_pid
    with connect(database) as watcher:
        for _ in range(20_000):
            found = watcher.execute(
                "select pid from pg_stat_activity where %s = any(pg_blocking_pids(pid))",
                (mine,),
            ).fetchone()
            if found:
                pid: int = found["pid"]
                return pid
    raise AssertionError("nobody waits")


def test_a_connection_killed_in_the_middle_leaves_nothing(connection: Connection, database: str) -> None:
    def record() -> None:
        with connect(database) as other:
            record_verdicts(other, [decided(str(i)) for i in range(64)], decided_at=NOON, destinations=(KAFKA,))

    with ThreadPoolExecutor(1) as threads:
        with connection.transaction():
            connection.execute("lock table coilflow.outbox in exclusive mode")  # the last table it writes
            recorder: Future[None] = threads.submit(record)
            connection.execute("select pg_terminate_backend(%s)", (backend_waiting_for(connection, database),))
            with pytest.raises(StoreError, match="cannot record 64 verdicts") as caught:
                recorder.result()
        assert "nothing of this step was stored" in caught.value.remedy
    found = counts(connection)
    assert (found.coils, found.verdicts, found.outbox) == (0, 0, 0)
    assert connection.execute("select count(*) as n from coilflow.readings").fetchone() == {"n": 0}


def test_the_same_batch_is_recorded_after_the_kill(connection: Connection, database: str) -> None:
    batch = [decided(str(i)) for i in range(8)]
    with connect(database) as killed:
        killed.execute("begin")
        record_verdicts(killed, batch, decided_at=NOON, destinations=(KAFKA,))
        connection.execute("select pg_terminate_backend(%s)", (killed.info.backend_pid,))
        with pytest.raises(StoreError, match="cannot record 8 verdicts"):
            record_verdicts(killed, batch, decided_at=NOON, destinations=(KAFKA,))
    assert record_verdicts(connection, batch, decided_at=NOON, destinations=(KAFKA,)).new == 8
    assert counts(connection).duplicated == 0


def test_recorders_of_the_same_coils_give_one_verdict_each(connection: Connection, database: str) -> None:
    workers, coils = 4, 200
    start = threading.Barrier(workers)

    def record(worker: int) -> int:
        order = range(coils) if worker % 2 else range(coils - 1, -1, -1)
        new = 0
        with connect(database) as own:
            start.wait()
            batch = [decided(str(i)) for i in order]
            for first in range(0, coils, 50):
                new += record_verdicts(own, batch[first : first + 50], decided_at=NOON, destinations=(KAFKA,)).new
        return new

    with ThreadPoolExecutor(workers) as threads:
        assert sum(threads.map(record, range(workers))) == coils
    found = counts(connection)
    assert (found.coils, found.verdicts, found.duplicated, found.outbox) == (coils, coils, 0, coils)


def test_a_recorder_that_waited_for_another_repeats_nothing(connection: Connection, database: str) -> None:
    def record() -> Recorded:
        with connect(database) as other:
            return record_verdicts(other, [decided("2"), decided("1")], decided_at=NOON, destinations=(KAFKA,))

    with ThreadPoolExecutor(1) as threads:
        with connection.transaction():
            record_verdicts(connection, [decided("1"), decided("2")], decided_at=NOON, destinations=(KAFKA,))
            other = threads.submit(record)
            backend_waiting_for(connection, database)
        assert other.result() == Recorded(new=0, repeated=2, announced=0)


@pytest.mark.parametrize("first", [(), ("r1",)])
def test_recorders_of_different_revisions_supersede_one_another(
    connection: Connection, database: str, first: tuple[str, ...]
) -> None:
    def record(own: Connection, revision: str) -> Recorded:
        return record_verdicts(own, [decided("1", revision=revision)], decided_at=NOON, destinations=(KAFKA,))

    def record_elsewhere() -> Recorded:
        with connect(database) as other:
            return record(other, "r3")

    for revision in first:
        record(connection, revision)
    with ThreadPoolExecutor(1) as threads:
        with connection.transaction():
            record(connection, "r2")
            other = threads.submit(record_elsewhere)
            backend_waiting_for(connection, database)
        assert other.result().new == 1
    found = connection.execute("select supersedes, revision from coilflow.verdicts order by verdict_id").fetchall()
    revisions = [None, *first, "r2", "r3"]
    assert [tuple(row.values()) for row in found] == list(itertools.pairwise(revisions))
    assert counts(connection).duplicated == 0


def test_a_step_joins_the_transaction_around_it(connection: Connection) -> None:
    with connection.transaction(force_rollback=True):
        record_verdicts(connection, [decided("1")], decided_at=NOON, destinations=(KAFKA,))
        assert counts(connection).coils == 1
    assert counts(connection).coils == 0
