"""The short form of `make chaos`: what a thousand kills do to a night's coils, thirty do to a minute's."""

from tests.streams.chaos import STREAM, report, torment
from tests.streams.stand import StreamMaker


def test_thirty_killed_workers_lose_and_double_nothing(stream: StreamMaker) -> None:
    it = stream(partitions=5, stream=STREAM)
    result = torment(it, kills=30, seed=30, patience=0.2)
    report(result)
    assert len(result.kills) >= 30
    assert result.clean
