"""Without faults: every coil once, whatever the order of its events, with as many workers as there are partitions."""

import random

from tests.streams.lines import coil, coils
from tests.streams.stand import StreamMaker


def test_every_coil_gets_one_verdict(stream: StreamMaker) -> None:
    it = stream()
    it.send(coils([f"c{i}" for i in range(20)]))
    with it.worker():
        it.drain()
    it.check(20)


def test_disorder_and_repeats_change_nothing(stream: StreamMaker) -> None:
    it = stream()
    lines = [line for i in range(10) for line in coil(f"c{i}")] * 2
    random.Random(1).shuffle(lines)  # noqa: S311 - no secret
    it.send(lines)
    with it.worker():
        it.drain()
    it.check(10)
