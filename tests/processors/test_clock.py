"""A partition's clock: silence counts only where a coil was free to speak."""

from hypothesis import given
from hypothesis import strategies as st

from processors.clock import LONGEST_GAP_MS, PartitionClock

HOUR_MS = 3_600_000


def read(*timestamps_ms: int) -> PartitionClock:
    clock = PartitionClock()
    for timestamp_ms in timestamps_ms:
        clock.read(timestamp_ms)
    return clock


def test_it_runs_on_the_brokers_timestamps() -> None:
    assert read(5_000, 5_400, 7_000).now_ms == 2_000


def test_an_outage_of_an_hour_counts_as_a_minute() -> None:
    assert read(0, HOUR_MS, HOUR_MS + 10).now_ms == LONGEST_GAP_MS + 10


def test_a_clock_set_back_stands_still_and_goes_on_from_there() -> None:
    assert read(HOUR_MS, 0, 500).now_ms == 500


def test_a_clock_set_forth_and_back_moves_it_by_a_minute_at_most() -> None:
    assert read(0, 24 * HOUR_MS, 1_000, 2_000).now_ms == LONGEST_GAP_MS + 1_000


def test_at_the_end_of_the_log_it_runs_on_and_the_same_time_counts_once() -> None:
    clock = read(0)
    clock.idle(1_000)
    clock.idle(1_000)
    assert clock.now_ms == 2_000
    clock.read(2_500)
    assert clock.now_ms == 2_500
    clock.read(3_000)
    assert clock.now_ms == 3_000


def test_idle_time_longer_than_the_timestamps_say_does_not_turn_it_back() -> None:
    clock = read(0)
    clock.idle(5_000)
    clock.read(3_000)
    assert clock.now_ms == 5_000


@given(
    st.lists(
        st.one_of(st.tuples(st.just("read"), st.integers(0, 10**13)), st.tuples(st.just("idle"), st.integers(0, 10**6)))
    )
)
def test_it_never_goes_back_and_never_by_more_than_a_minute_a_message(steps: list[tuple[str, int]]) -> None:
    clock = PartitionClock()
    for kind, value in steps:
        before = clock.now_ms
        (clock.read if kind == "read" else clock.idle)(value)
        assert before <= clock.now_ms <= before + (LONGEST_GAP_MS if kind == "read" else value)
