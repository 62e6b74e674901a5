"""A relay that runs: nothing is lost and no coil's order broken, whoever dies, is cut off or is down."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count

import pytest

from flows.outbox.metrics import LAG_SECONDS, RETRIES, SET_ASIDE, WAITING
from flows.outbox.outcomes import Publish
from flows.outbox.relay import Relay
from store.connection import Connection
from tests.outbox.given import HASTY, MEMORY, Memory, announce, eventually, relaying, running, unpublished

LABELS = ("kafka", "coil.verdicts")
OTHER = "webhook:mes"
REVISIONS = ("r1", "r2", "r3")

DIES = """
import os, signal, sys, threading
from tests.outbox.given import HASTY, MEMORY, Memory
from flows.outbox.relay import Relay

class Dying(Memory):
    def publish(self, rows):
        for row in rows:
            print(row.event_id, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

memory = Dying()
Relay(sys.argv[1], destinations=frozenset({MEMORY}), open_publisher=memory.opened, pace=HASTY).run(threading.Event())
"""


def cut_all(connection: Connection) -> None:
    """Cut every connection to this database but our own."""
    connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'"
    )


def test_what_was_recorded_before_and_what_comes_later_is_published(connection: Connection, database: str) -> None:
    memory = Memory()
    announce(connection, "1")
    with relaying(database, memory):
        eventually(lambda: unpublished(connection) == 0)
        announce(connection, "2")
        eventually(lambda: unpublished(connection) == 0)
    assert memory.coils == ["1", "2"]


def test_a_relay_killed_between_publishing_and_marking_repeats_the_same_ids_and_loses_nothing(
    connection: Connection, database: str
) -> None:
    announce(connection, "1", "2", "3")
    died = subprocess.run([sys.executable, "-c", DIES, database], capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert unpublished(connection) == 3
    memory = Memory()
    with relaying(database, memory):
        eventually(lambda: unpublished(connection) == 0)
    assert sorted(str(row.event_id) for row in memory.got) == sorted(died.stdout.split())


def test_several_relays_share_the_work_and_take_over_from_one_that_leaves(
    connection: Connection, database: str
) -> None:
    memories = [Memory() for _ in range(3)]
    numbers = count()

    def some() -> None:
        announce(connection, *(str(next(numbers)) for _ in range(100)))
        eventually(lambda: unpublished(connection) == 0)

    with ExitStack() as others:
        with ExitStack() as first:
            first.enter_context(relaying(database, memories[0]))
            for memory in memories[1:]:
                others.enter_context(relaying(database, memory))
            while not all(memory.got for memory in memories):
                some()
        before = len(memories[0].got)
        some()
        assert len(memories[0].got) == before
    ids = [row.event_id for memory in memories for row in memory.got]
    assert len(set(ids)) == next(numbers)


def test_a_destination_that_is_down_holds_back_no_other_and_gets_everything_once_it_is_up(
    connection: Connection, database: str
) -> None:
    memories = {MEMORY: Memory(), OTHER: Memory(down=True)}

    @contextmanager
    def opened(destination: str) -> Iterator[Publish]:
        with memories[destination].opened(destination) as publish:
            yield publish

    retries = RETRIES.labels("webhook", "mes")
    before = retries._value.get()
    with running(Relay(database, destinations=frozenset(memories), open_publisher=opened, pace=HASTY)):
        for revision in REVISIONS:
            announce(connection, "1", "2", to=(MEMORY, OTHER), revision=revision)
        eventually(lambda: len(memories[MEMORY].got) == 6)
        eventually(lambda: retries._value.get() > before + 1)
        eventually(lambda: WAITING.labels("webhook", "mes")._value.get() == 6)
        assert LAG_SECONDS.labels("webhook", "mes")._value.get() > 0
        memories[OTHER].down = False
        eventually(lambda: unpublished(connection) == 0)
        eventually(lambda: WAITING.labels("webhook", "mes")._value.get() == 0)
    assert memories[OTHER].revisions("1") == memories[OTHER].revisions("2") == list(REVISIONS)


def test_a_row_that_is_refused_is_set_aside_counted_and_blocks_nobody(connection: Connection, database: str) -> None:
    memory = Memory(refuses={"1"})
    announce(connection, "1", "2")
    with relaying(database, memory):
        eventually(lambda: SET_ASIDE.labels(*LABELS)._value.get() == 1)
        eventually(lambda: unpublished(connection) == 1)
    assert memory.coils == ["2"]


def test_a_destination_that_no_setting_names_is_found_by_its_rows(connection: Connection, database: str) -> None:
    memory = Memory()
    with running(Relay(database, destinations=frozenset(), open_publisher=memory.opened, pace=HASTY)):
        announce(connection, "1", to=("kafka:old.topic",))
        eventually(lambda: memory.coils == ["1"])


def test_connections_that_are_cut_lose_nothing_and_break_no_order(connection: Connection, database: str) -> None:
    memory = Memory()
    coils = [str(number) for number in range(20)]
    with relaying(database, memory), relaying(database, memory):
        for revision in REVISIONS:
            announce(connection, *coils, revision=revision)
            cut_all(connection)
        eventually(lambda: unpublished(connection) == 0)
    assert all(memory.revisions(coil) == list(REVISIONS) for coil in coils)


def test_a_fault_of_the_relay_itself_ends_it_and_is_shown(connection: Connection, database: str) -> None:
    @contextmanager
    def opened(_destination: str) -> Iterator[Publish]:
        yield lambda rows: [][len(rows)]

    announce(connection, "1")
    relay = Relay(database, destinations=frozenset({MEMORY}), open_publisher=opened, pace=HASTY)
    with pytest.raises(IndexError):
        relay.run(threading.Event())
