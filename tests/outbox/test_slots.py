"""Relays share the slots, and a slot whose relay died is free at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from flows.outbox.slots import Slots, keep_slots
from store.connection import Connection
from store.relays import fair_share, relay_session, release_slots, take_slots
from tests.outbox.given import HASTY, eventually

ALL = frozenset(range(64))


def test_relays_share_all_slots_evenly_and_none_twice(database: str) -> None:
    with relay_session(database) as one:
        assert fair_share(one) == ALL
        with relay_session(database) as two, relay_session(database) as three:
            shares = [fair_share(relay) for relay in (one, two, three)]
            assert sorted(map(len, shares)) == [21, 21, 22]
            assert frozenset().union(*shares) == ALL
        eventually(lambda: fair_share(one) == ALL)


def test_a_slot_has_one_owner_until_it_is_released_or_its_owner_is_gone(database: str) -> None:
    with relay_session(database) as one:
        with relay_session(database) as two:
            assert take_slots(two, frozenset({1, 2, 3})) == {1, 2, 3}
            assert take_slots(one, ALL) == ALL - {1, 2, 3}
            release_slots(two, frozenset({1}))
            assert take_slots(one, frozenset({1, 2, 3})) == {1}
        eventually(lambda: take_slots(one, frozenset({2, 3})))


def test_relays_of_another_database_do_not_count(database: str, postgres_server: str) -> None:
    with relay_session(database) as one, relay_session(postgres_server) as elsewhere:
        assert fair_share(one) == fair_share(elsewhere) == ALL
        assert take_slots(one, ALL) == take_slots(elsewhere, ALL) == ALL


def test_a_relay_that_is_frozen_is_put_out(database: str) -> None:
    with relay_session(database) as one, relay_session(database) as frozen:
        assert take_slots(frozen, ALL) == ALL
        assert len(fair_share(one)) == 32
        assert fair_share(one, frozen_after_s=0) == ALL
        eventually(lambda: take_slots(one, frozenset({5})))


def test_a_grant_lapses_by_itself() -> None:
    slots = Slots(lease_s=0.0)
    slots.grant(ALL)
    assert slots.current() == frozenset()
    with slots.use("kafka:x") as mine:
        assert mine == frozenset()


def test_slots_are_given_up_only_when_no_batch_uses_them(database: str) -> None:
    slots, stop = Slots(HASTY.lease_s), threading.Event()
    with ThreadPoolExecutor(1) as threads:
        kept = threads.submit(keep_slots, database, slots, pace=HASTY, stop=stop)
        eventually(lambda: slots.current() == ALL)
        with relay_session(database) as other:
            with slots.use("kafka:x"):
                eventually(lambda: len(slots.current()) == 32)
                assert take_slots(other, ALL) == frozenset()
            share = fair_share(other)
            eventually(lambda: take_slots(other, share) == share)
            assert slots.current() == ALL - share
        eventually(lambda: slots.current() == ALL)
        stop.set()
        kept.result()
    assert slots.current() == frozenset()


def test_a_cut_session_owns_nothing_until_it_has_locks_again(connection: Connection, database: str) -> None:
    pace = replace(HASTY, first_retry_s=0.5, longest_retry_s=0.5)
    slots, stop = Slots(pace.lease_s), threading.Event()
    with ThreadPoolExecutor(1) as threads:
        kept = threads.submit(keep_slots, database, slots, pace=pace, stop=stop)
        eventually(lambda: slots.current() == ALL)
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where application_name = 'coilflow outbox relay' and datname = current_database()"
        )
        eventually(lambda: slots.current() == frozenset())
        eventually(lambda: slots.current() == ALL)
        stop.set()
        kept.result()
