"""Deadlines run on the broker's time: an outage lets no coil fall, silence does, and what comes late revises."""

import time

import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from flows.kafka.client import admin
from schemas.stream_settings import StreamSettings
from tests.streams.lines import chunk, chunks, coil, coils, ended, started
from tests.streams.stand import Stream, StreamMaker
from tests.waiting import wait_until

HOUR_MS = 3_600_000
RULES = StreamSettings(deadline_s=30.0, settle_s=0.3)


@pytest.fixture
def timed(stream: StreamMaker) -> Stream:
    """A stream of one partition whose messages carry the times that the test gives them."""
    it = stream(partitions=1, stream=RULES)
    topic = it.settings.kafka.chunks_topic
    with admin(it.settings.kafka) as client:
        client.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic, {"message.timestamp.type": "CreateTime"})]
        )
    return it


def ago(hours: float) -> int:
    return round(1000 * time.time() - hours * HOUR_MS)


def test_catching_up_after_an_hour_lets_no_coil_fall_to_its_deadline(timed: Stream) -> None:
    it = timed
    it.settings = it.settings.model_copy(update={"stream": StreamSettings(deadline_s=90.0, settle_s=0.3)})
    lines, cut = coils([f"c{i}" for i in range(8)]), 37
    it.send(lines[:cut], timestamp_ms=ago(4))
    it.send(lines[cut:], timestamp_ms=ago(3))
    with it.worker():
        it.drain()
    it.check(8)
    assert all(not it.verdicts(f"c{i}")[0]["reasons"] for i in range(8))


def test_a_worker_that_was_away_for_an_hour_lets_no_coil_fall_either(timed: Stream) -> None:
    it = timed
    it.settings = it.settings.model_copy(update={"stream": StreamSettings(deadline_s=90.0, settle_s=0.3)})
    it.send(coil("c")[:5], timestamp_ms=ago(4))
    with it.worker():
        wait_until(lambda: it.one("select count(*) from coilflow.coils where state = 'open'"))
    it.send(coil("c")[5:], timestamp_ms=ago(3))
    with it.worker():
        it.drain()
    it.check(1)
    assert not it.verdicts("c")[0]["reasons"]


def test_a_silent_coil_is_decided_on_what_there_is_and_says_so(timed: Stream) -> None:
    it, start_ms = timed, ago(1)
    it.send(coil("silent")[:-3], timestamp_ms=start_ms)
    for second in range(40):
        it.send(coil(f"c{second}"), timestamp_ms=start_ms + 1000 * second)
    with it.worker():
        it.drain()
    it.check(41)
    [verdict] = it.verdicts("silent")
    assert verdict["label"] == "OK"
    assert any(reason.startswith("deadline: no event for 30 s") for reason in verdict["reasons"])


def test_a_silent_fragment_is_undecided_and_what_comes_late_makes_a_revision(timed: Stream) -> None:
    it, start_ms = timed, ago(1)
    it.send(coil("torn")[3:-1], timestamp_ms=start_ms)  # neither its start nor its end
    it.send(coil("other"), timestamp_ms=start_ms + 31_000)
    with it.worker():
        it.drain()
        [fragment] = it.verdicts("torn")
        assert fragment["label"] == "UNDECIDED"
        it.send([line for line in coil("torn") if line not in coil("torn")[3:-1]], timestamp_ms=start_ms + 40_000)
        it.send(coil("last"), timestamp_ms=start_ms + 50_000)
        it.drain()
        wait_until(lambda: len(it.verdicts("torn")) == 2)
    it.check(3)
    assert it.verdicts("torn")[1]["supersedes"] == fragment["revision"]
    assert it.verdicts("torn")[1]["label"] == "OK"


def test_a_late_chunk_makes_a_revision_that_supersedes_and_is_announced(stream: StreamMaker) -> None:
    it = stream(partitions=1)
    it.send([started("c"), *chunks("c", 4)[:-1], ended("c", rows=4)])
    with it.worker():
        it.drain()
        [first] = it.verdicts("c")
        assert any(reason.startswith("missing_rows") for reason in first["reasons"])
        it.send([chunk("c", "bottom", 3)])
        wait_until(lambda: len(it.verdicts("c")) == 2)
        it.send([chunk("c", "bottom", 3), ended("c", rows=4)])  # repeats say nothing new
        it.drain()
    it.check(1)
    assert [v["supersedes"] for v in it.verdicts("c")] == [None, first["revision"]]


def test_a_late_chunk_revises_also_after_a_restart(stream: StreamMaker) -> None:
    it = stream(partitions=1)
    it.send([started("c"), *chunks("c", 4)[:-1], ended("c", rows=4)])
    with it.worker():
        it.drain()
    it.send([chunk("c", "bottom", 3)])
    with it.worker():
        wait_until(lambda: len(it.verdicts("c")) == 2)
        it.drain()
    it.check(1)


def test_producers_clocks_that_jump_forth_and_back_let_no_coil_fall(timed: Stream) -> None:
    it = timed
    it.settings = it.settings.model_copy(update={"stream": StreamSettings(deadline_s=200.0, settle_s=0.3)})
    lines = coils([f"c{i}" for i in range(6)])
    for i, hours in enumerate((24.0, 1.0, 30.0)):
        it.send(lines[20 * i : 20 * i + 20], timestamp_ms=ago(hours))
    with it.worker():
        it.drain()
    it.check(6)
    assert all(not it.verdicts(f"c{i}")[0]["reasons"] for i in range(6))


def test_a_worker_whose_clock_is_a_day_off_decides_as_the_others(stream: StreamMaker) -> None:
    it = stream(stream=StreamSettings(deadline_s=100.0, settle_s=0.3))
    it.send(coil("open")[:5])
    with it.processes(clock_off_s=86_400.0), it.processes(clock_off_s=-86_400.0):
        it.send(coils([f"c{i}" for i in range(8)]))
        wait_until(lambda: it.decided() == 8)
        it.send(coil("open")[5:])
        it.drain()
    it.check(9)
    assert not it.verdicts("open")[0]["reasons"]


def test_an_early_warning_goes_out_once_before_the_coil_ends(stream: StreamMaker) -> None:
    it = stream(partitions=1, stream=StreamSettings(deadline_s=600.0, settle_s=0.3, warn_length_m=50.0))
    warnings = "select count(*) from coilflow.outbox where payload ->> 'type' = 'coil.warning'"
    it.send([started("thin"), *chunks("thin", 4, mean_g_m2=80.0), *coil("good")])
    for _ in range(2):  # the second one reads it all again
        with it.worker():
            wait_until(lambda: it.one(warnings))
            wait_until(lambda: it.decided() == 1)
            assert it.one("select state from coilflow.coils where coil_id = 'thin'") == "open"
    it.send([ended("thin", rows=4)])
    with it.worker():
        it.drain()
    assert it.one(warnings) == 1
    it.check(2)
