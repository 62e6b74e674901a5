"""The log's positions: one owner a partition, and a stretch of the log stored as a whole or not at all."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from schemas.errors import NotOwnerError, StoreError
from schemas.events import CoilWarning, CoilWarningEvent
from schemas.rejects import LogPlace, Reject
from schemas.verdicts import Label
from store.connection import Connection, connect
from store.log import (
    Claim,
    Committed,
    LogBatch,
    ParkedCoil,
    claim_positions,
    commit_log,
    decided_coils,
    parked_coils,
    settled_coils,
)
from store.verdicts import Decided
from tests.store.given import KAFKA, MQTT, NOON, ORDER, decided, key_of

TOPIC = "coil.chunks"


@pytest.fixture
def rival(database: str) -> Iterator[Connection]:
    """Another worker's connection to the same database."""
    with connect(database) as opened:
        yield opened


def claimed(connection: Connection, *partitions: int, owner: str = "w1") -> dict[int, Claim]:
    return {c.partition: c for c in claim_positions(connection, TOPIC, dict.fromkeys(partitions, 0), owner=owner)}


def at(claim: Claim, next_offset: int) -> Claim:
    return replace(claim, next_offset=next_offset)


def logged(coil_id: str, *, offset: int, partition: int = 0, **more: Any) -> Decided:
    return replace(decided(coil_id, **more), log=LogPlace(topic=TOPIC, partition=partition, offset=offset))


def refused(
    coil_id: str | None, *, offset: int, partition: int = 0, whole_coil: bool = True, key: bytes = b"k"
) -> Reject:
    return Reject(
        step="decode",
        place=f"{TOPIC}[{partition}], offset {offset}",
        key=None if coil_id is None else key_of(coil_id),
        error="it is no JSON",
        remedy="send it again",
        original=b"{\xff\x00",
        whole_coil=whole_coil,
        log=LogPlace(
            topic=TOPIC, partition=partition, offset=offset, key=key, headers=(("a", b"\x00\xff"), ("b", b""))
        ),
    )


def parked(coil_id: str, *, last_offset: int, events: bytes = b"{}\n", partition: int = 0) -> ParkedCoil:
    return ParkedCoil(partition=partition, key=key_of(coil_id), last_offset=last_offset, events=events)


def commit(
    connection: Connection, *positions: Claim, destinations: tuple[str, ...] = (KAFKA,), **batch: Any
) -> Committed:
    return commit_log(
        connection,
        LogBatch(topic=TOPIC, positions=positions, **batch),
        decided_at=NOON,
        destinations=destinations,
    )


def state_of_database(connection: Connection) -> list[list[Any]]:
    tables = ("coils", "readings", "verdicts", "dead_letters", "outbox", "parked_coils", "positions")
    return [connection.execute(f"select * from coilflow.{name} order by 1, 2".encode()).fetchall() for name in tables]  # noqa: S608 - our own names


def test_a_partition_that_was_never_read_begins_where_the_log_does(connection: Connection) -> None:
    found = claim_positions(connection, TOPIC, {0: 0, 3: 17}, owner="w1")
    assert set(found) == {
        Claim(partition=0, next_offset=0, owner_epoch=1), Claim(partition=3, next_offset=17, owner_epoch=1)
    }  # fmt: skip


def test_each_claim_raises_the_epoch_and_keeps_the_position(connection: Connection) -> None:
    first = claimed(connection, 0)[0]
    commit(connection, at(first, 40))
    again = claimed(connection, 0, owner="w2")[0]
    assert (again.next_offset, again.owner_epoch) == (40, first.owner_epoch + 1)


def test_partitions_of_one_topic_are_not_those_of_another(connection: Connection) -> None:
    claimed(connection, 0)
    [other] = claim_positions(connection, "other", {0: 5}, owner="w1")
    assert other == Claim(partition=0, next_offset=5, owner_epoch=1)


def test_a_stale_owner_is_refused_and_nothing_of_its_stretch_is_stored(
    connection: Connection, rival: Connection
) -> None:
    stale = claimed(connection, 0, 1)
    fresh = claimed(rival, 1, owner="w2")[1]
    before = state_of_database(connection)
    with pytest.raises(NotOwnerError):
        commit(
            connection,
            at(stale[0], 10),
            at(stale[1], 10),
            opened=(key_of("open"),),
            decided=(logged("a", offset=9),),
            rejects=(refused("b", offset=8),),
            parked=(parked("c", last_offset=7),),
        )
    assert state_of_database(connection) == before
    assert commit(rival, at(fresh, 10), decided=(logged("a", offset=9, partition=1),)).new == 1


def test_a_position_of_a_partition_that_nobody_claimed_is_refused(connection: Connection) -> None:
    with pytest.raises(NotOwnerError):
        commit(connection, Claim(partition=7, next_offset=1, owner_epoch=1))


def test_one_call_is_one_transaction_that_no_frozen_worker_can_hold_open(connection: Connection) -> None:
    claim = claimed(connection, 0)[0]
    before = transaction(connection)
    commit(connection, at(claim, 1), decided=(logged("a", offset=0),), rejects=(refused("b", offset=0),))
    assert transaction(connection) == before + 2  # that of the stretch, and this question's own
    assert connection.info.transaction_status.name == "IDLE"


def transaction(connection: Connection) -> int:
    [row] = connection.execute("select pg_current_xact_id()::text::bigint as number").fetchall()
    return int(row["number"])


def test_a_stretch_whose_answer_was_lost_may_be_given_again(connection: Connection) -> None:
    claim = claimed(connection, 0)[0]
    batch: dict[str, Any] = {
        "decided": (logged("a", offset=3),),
        "rejects": (refused(None, offset=2, whole_coil=False),),
    }
    assert commit(connection, at(claim, 4), **batch) == Committed(
        new=1, repeated=0, announced=1, dead=1, dead_repeated=0
    )
    before = state_of_database(connection)[:5]
    assert commit(connection, at(claim, 4), **batch) == Committed(
        new=0, repeated=1, announced=0, dead=0, dead_repeated=1
    )
    assert state_of_database(connection)[:5] == before


def test_coils_at_or_past_the_position_are_settled_and_earlier_ones_need_not_be_known(connection: Connection) -> None:
    claims = claimed(connection, 0, 1)
    commit(
        connection,
        at(claims[0], 10),
        at(claims[1], 0),
        decided=(logged("past", offset=9), logged("at", offset=10), logged("later", offset=50, partition=1)),
        rejects=(refused("dead", offset=11), refused("message", offset=12, whole_coil=False)),
    )
    assert settled_coils(connection, TOPIC, [0, 1]) == {
        0: {key_of("at"): 10, key_of("dead"): 11},
        1: {key_of("later"): 50},
    }


def test_a_coil_with_two_revisions_is_settled_up_to_the_later_one(connection: Connection) -> None:
    claim = claimed(connection, 0)[0]
    commit(connection, at(claim, 0), decided=(logged("a", offset=5),))
    commit(connection, at(claim, 0), decided=(logged("a", offset=9, revision="r2"),))
    assert settled_coils(connection, TOPIC, [0]) == {0: {key_of("a"): 9}}


def test_a_parked_coil_is_kept_until_it_is_decided(connection: Connection) -> None:
    claim = claimed(connection, 0)[0]
    commit(connection, at(claim, 5), parked=(parked("a", last_offset=3), parked("b", last_offset=4)))
    commit(connection, at(claim, 9), parked=(parked("a", last_offset=8, events=b"more\n"),))
    assert parked_coils(connection, TOPIC, [0]) == (
        parked("a", last_offset=8, events=b"more\n"), parked("b", last_offset=4)
    )  # fmt: skip
    assert parked_coils(connection, TOPIC, [1]) == ()
    commit(connection, at(claim, 20), decided=(logged("a", offset=19),), rejects=(refused("b", offset=18),))
    assert parked_coils(connection, TOPIC, [0]) == ()


def test_a_refused_message_that_names_a_parked_coil_leaves_it_parked(connection: Connection) -> None:
    claim = claimed(connection, 0)[0]
    commit(connection, at(claim, 5), opened=(key_of("a"),), parked=(parked("a", last_offset=3),))
    commit(connection, at(claim, 9), rejects=(refused("a", offset=8, whole_coil=False),))
    assert parked_coils(connection, TOPIC, [0]) == (parked("a", last_offset=3),)


def test_open_coils_are_noted_and_end_as_what_becomes_of_them(connection: Connection) -> None:
    claim = claimed(connection, 0)[0]
    commit(connection, at(claim, 0), opened=(key_of("a"), key_of("b"), key_of("c")))
    commit(connection, at(claim, 9), decided=(logged("a", offset=7),), rejects=(refused("b", offset=8),))
    commit(connection, at(claim, 9), opened=(key_of("a"),))  # a late chunk: the coil has its verdict
    states = connection.execute("select coil_id, state from coilflow.coils order by coil_id").fetchall()
    assert [(row["coil_id"], row["state"]) for row in states] == [
        ("a", "decided"), ("b", "dead_lettered"), ("c", "open")
    ]  # fmt: skip


def test_a_dead_letter_goes_out_with_its_own_bytes_key_and_headers(connection: Connection) -> None:
    claim = claimed(connection, 0)[0]
    commit(connection, at(claim, 9), rejects=(refused(None, offset=8, whole_coil=False, key=b"\xff"),))
    [row] = connection.execute(
        "select o.destination, o.payload, d.original, d.headers, d.kafka_key, d.kafka_offset "
        "from coilflow.outbox o join coilflow.dead_letters d using (dead_letter_id)"
    ).fetchall()
    assert row == {
        "destination": f"kafka:{TOPIC}.dead-letter",
        "payload": None,
        "original": b"{\xff\x00",
        "headers": [["a", "AP8="], ["b", ""]],
        "kafka_key": b"\xff",
        "kafka_offset": 8,
    }


def test_observing_announces_nothing_at_all(connection: Connection) -> None:
    claim = claimed(connection, 0)[0]
    done = commit(
        connection,
        at(claim, 9),
        decided=(logged("a", offset=7),),
        rejects=(refused(None, offset=8, whole_coil=False),),
        warnings=(warning("b"),),
        destinations=(),
    )
    assert (done.new, done.dead, done.announced) == (1, 1, 0)
    assert connection.execute("select 1 from coilflow.outbox").fetchall() == []


def warning(coil_id: str) -> CoilWarningEvent:
    return CoilWarningEvent(
        specversion="1.0",
        type="coil.warning",
        id="0b7d3f52-6a50-5c5e-8f0e-0d6f6e0c0a01",
        source="/plants/linz",
        subject=coil_id,
        time=NOON,
        data=CoilWarning(
            plant="linz", coil_id=coil_id, face="top", side="below", bound_g_m2=100, worst_g_m2=80,
            from_position=0, to_position=50, out_of_band_m=50, warned_at=NOON,
        ),
    )  # fmt: skip


def test_a_warning_goes_out_once_and_not_to_the_plants_own_topic(connection: Connection) -> None:
    claim = claimed(connection, 0)[0]
    for _ in range(2):
        commit(connection, at(claim, 9), warnings=(warning("a"),), destinations=(KAFKA, MQTT))
    rows = connection.execute("select destination, payload ->> 'type' as type from coilflow.outbox").fetchall()
    assert rows == [{"destination": KAFKA, "type": "coil.warning"}]


def test_what_a_verdict_was_given_on_can_be_read_back(connection: Connection) -> None:
    claim = claimed(connection, 0)[0]
    commit(connection, at(claim, 0), decided=(replace(logged("a", offset=5), rows_per_face=4),))
    commit(connection, at(claim, 0), decided=(logged("a", offset=9, revision="r2"),), rejects=(refused("b", offset=7),))
    found = decided_coils(connection, [key_of("a"), key_of("b"), key_of("c")])
    assert found.keys() == {key_of("a")}
    stored = found[key_of("a")]
    assert (stored.revision, stored.rows_per_face, stored.order, stored.started_at) == ("r2", 4, ORDER, NOON)


def test_a_value_that_cannot_be_stored_stores_nothing_of_its_stretch(connection: Connection) -> None:
    claim = claimed(connection, 0)[0]
    before = state_of_database(connection)
    with pytest.raises(StoreError):
        commit(connection, at(claim, 9), decided=(logged("a", offset=1), logged("b", offset=2, supersedes="r1")))
    assert state_of_database(connection) == before


@pytest.mark.parametrize(("observed", "state"), [(0.0, "new"), (0.1, "resolved")])
def test_a_dead_letter_is_resolved_by_a_verdict_and_not_by_a_fragment(
    connection: Connection, observed: float, state: str
) -> None:
    claim = claimed(connection, 0)[0]
    commit(connection, at(claim, 9), rejects=(refused("a", offset=8),))
    late = logged("a", offset=10, label=Label.UNDECIDED)
    commit(connection, at(claim, 11), decided=(replace(late, verdict=replace(late.verdict, observed=observed)),))
    [row] = connection.execute("select state from coilflow.dead_letters").fetchall()
    assert row["state"] == state
