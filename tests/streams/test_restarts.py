"""A restart reads again what it has to and no more, and changes nothing that was said."""

import pytest

from schemas.stream_settings import StreamSettings
from store.connection import Connection
from tests.streams.launch import POINTS
from tests.streams.lines import chunk, chunks, coil, coils, ended, started
from tests.streams.scorers import FailingScorer, LaterScorer
from tests.streams.stand import StreamMaker, running
from tests.waiting import wait_until

PARKING = StreamSettings(deadline_s=600.0, settle_s=0.3, park_after_events=40)


def test_a_coil_that_never_ends_does_not_make_a_restart_read_everything_again(stream: StreamMaker) -> None:
    it = stream(partitions=1, stream=PARKING)
    it.send([started("endless"), *chunks("endless", 2)])
    it.send(coils([f"c{i}" for i in range(30)]))
    with it.worker():
        wait_until(lambda: it.decided() == 30)
        wait_until(lambda: it.positions()[0]["next_offset"] == it.ends[0])
        assert it.one("select count(*) from coilflow.parked_coils") == 1
    it.check(31, may_be_open=["endless"])
    it.send(coils([f"d{i}" for i in range(5)]))
    it.send([chunk("endless", face, row) for row in (2, 3) for face in ("top", "bottom")])
    with it.worker():  # on what was parked
        wait_until(lambda: it.decided() == 35)
    it.send([ended("endless", rows=4)])
    with it.worker():  # and on what came after it
        it.drain()
    it.check(36)
    assert it.one("select count(*) from coilflow.parked_coils") == 0


def test_a_parked_coil_is_known_to_be_open_at_once(stream: StreamMaker) -> None:
    it = stream(partitions=1, stream=PARKING)
    it.send([started("endless"), *chunks("endless", 2), *coils([f"c{i}" for i in range(10)])])
    parked = "select (select state from coilflow.coils where coil_id = 'endless') as state from coilflow.parked_coils"
    with it.worker():
        wait_until(lambda: it.rows(parked))
        assert it.rows(parked) == [{"state": "open"}]


def test_decided_coils_behind_an_open_one_are_read_again_and_not_decided_again(stream: StreamMaker) -> None:
    it = stream(partitions=1)
    it.send([started("endless"), *chunks("endless", 2)])
    it.send(coils([f"c{i}" for i in range(10)]))
    with it.worker():
        wait_until(lambda: it.decided() == 10)
        assert it.positions()[0]["next_offset"] == 0
    with it.worker(LaterScorer()):
        it.send([*chunks("endless", 4)[4:], ended("endless", rows=4)])
        it.drain()
    it.check(11)
    versions = it.rows("select coil_id, ensemble_version from coilflow.verdicts order by coil_id")
    assert {row["coil_id"]: row["ensemble_version"] for row in versions} == {
        **{f"c{i}": "e1" for i in range(10)}, "endless": "e2",
    }  # fmt: skip


@pytest.mark.parametrize("point", [POINTS[4], POINTS[5]])
def test_models_swapped_between_a_decision_and_its_redelivery_change_no_verdict(
    stream: StreamMaker, point: str
) -> None:
    it = stream(partitions=1)
    it.send(coils(["a", "b", "c"]))
    pid = it.process(kill_at=(point, 1))  # the database has the verdicts, the worker never knew
    wait_until(lambda: not running(pid))
    wait_until(lambda: it.decided() > 0)
    first = {row["coil_id"]: row for row in it.rows("select * from coilflow.verdicts")}
    announced = it.rows("select event_id, payload from coilflow.outbox order by outbox_id")
    with it.worker(LaterScorer()):
        it.drain()
    for coil_id, row in first.items():
        assert it.verdicts(coil_id) == [row]
    assert it.rows("select event_id, payload from coilflow.outbox order by outbox_id")[: len(announced)] == announced
    it.check(3)


def test_a_coil_on_which_the_models_fail_is_refused_alone(stream: StreamMaker) -> None:
    it = stream(partitions=1)
    it.send(coils(["a", "bad", "b"]))
    with it.worker(FailingScorer()):
        it.drain()
    [letter] = it.rows("select coil_id, step, error, original from coilflow.dead_letters")
    assert (letter["coil_id"], letter["step"], letter["error"]) == ("bad", "score", "the models failed on a batch")
    assert bytes(letter["original"]).splitlines() == coil("bad")
    assert it.decided() == 2


def test_a_coil_that_cannot_be_stored_is_refused_alone(stream: StreamMaker, connection: Connection) -> None:
    it = stream(partitions=1)
    connection.execute(
        "alter table coilflow.coils add constraint no_bad check (coil_id <> 'bad' or state <> 'decided')"
    )
    it.send(coils(["a", "bad", "b"]))
    with it.worker():
        it.drain()
    [letter] = it.rows("select coil_id, step from coilflow.dead_letters")
    assert letter == {"coil_id": "bad", "step": "store"}
    assert it.decided() == 2


def test_observing_decides_and_stores_and_announces_nothing(stream: StreamMaker) -> None:
    it = stream(mode="observe")
    it.send(coils(["a", "b"]))
    it.send_raw([(b"k", b"{", [])])
    with it.worker():
        it.drain()
    it.check(2)
    assert it.one("select count(*) from coilflow.dead_letters") == 1
    assert it.one("select count(*) from coilflow.outbox") == 0


def test_a_clean_stop_hands_its_partitions_over_at_once(stream: StreamMaker) -> None:
    it = stream()
    it.settings = it.settings.model_copy(
        update={"kafka": it.settings.kafka.model_copy(update={"session_timeout_s": 60.0})}
    )
    it.send(coils(["a", "b"]))
    with it.worker():
        it.drain()
    it.send(coils(["c", "d"]))
    with it.worker():
        it.drain(20.0)  # a third of the session
    it.check(4)
