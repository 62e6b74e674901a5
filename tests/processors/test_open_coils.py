"""An open coil: what is new of a message, and when there is enough to decide."""

import orjson
import pytest

from processors.decode import EventFault, decode_message
from processors.open_coils import OpenCoil
from schemas.coils import CoilKey
from schemas.stream_settings import StreamSettings
from tests.streams.lines import PLANT, chunk, chunks, coil, ended, event, started

RULES = StreamSettings(deadline_s=100.0, settle_s=5.0, most_events_per_coil=50)
KEY = CoilKey(plant=PLANT, coil_id="7")


def take(coil: OpenCoil, lines: list[bytes], *, offset: int = 0, now_ms: int = 0) -> list[bool]:
    """Apply messages; for each whether it was new."""
    news = []
    for i, line in enumerate(lines):
        found = decode_message(line)
        assert not isinstance(found, EventFault)
        news.append(coil.apply(found, (line, ()), offset=offset + i, now_ms=now_ms))
    return news


def test_a_coil_is_due_with_the_last_event_of_it_whatever_their_order() -> None:
    whole = coil("7")
    for last in (whole[0], whole[3], whole[-1]):
        one = OpenCoil(key=KEY)
        take(one, [line for line in whole if line is not last])
        assert not one.is_due(4_999, RULES)
        take(one, [last])
        assert one.is_due(0, RULES)


def test_what_is_missing_is_waited_for_until_it_settles() -> None:
    one = OpenCoil(key=KEY)
    take(one, coil("7")[1:], now_ms=1_000)  # no start
    assert not one.is_due(5_999, RULES)
    assert one.is_due(6_000, RULES)


def test_a_coil_that_promised_no_rows_is_due_with_its_end() -> None:
    one = OpenCoil(key=KEY)
    take(one, [started("7"), *chunks("7", 2), ended("7", rows=None)])
    assert one.is_due(0, RULES)
    assert one.rows_per_face == 0


def test_a_coil_that_does_not_end_falls_silent_after_its_deadline_and_not_before() -> None:
    one = OpenCoil(key=KEY)
    take(one, coil("7")[:-1], now_ms=1_000)
    assert not one.is_due(100_999, RULES)
    assert one.is_due(101_000, RULES)
    assert one.is_silent(101_000, RULES)
    assert one.rows_per_face is None


def test_a_coil_that_ended_is_never_silent() -> None:
    one = OpenCoil(key=KEY)
    take(one, coil("7"))
    assert not one.is_silent(10**9, RULES)


def test_repeats_are_known_and_hold_nothing() -> None:
    one = OpenCoil(key=KEY)
    lines = coil("7")
    assert all(take(one, lines))
    assert not any(take(one, lines, offset=100, now_ms=50))
    assert (one.first_offset, one.last_offset, one.holds_from) == (0, 9, 0)
    assert len(one.messages) == len(lines)


@pytest.mark.parametrize(
    "other",
    [
        chunk("7", "top", 0, mean_g_m2=50.0),
        chunk("7", "top", 0, std_g_m2=[1.0] * 9),
        started("7", band=(90.0, 120.0)),
        ended("7", rows=5),
    ],
)
def test_what_disagrees_is_news(other: bytes) -> None:
    one = OpenCoil(key=KEY)
    take(one, coil("7"))
    assert take(one, [other]) == [True]


def test_no_spread_and_a_spread_of_zero_are_the_same() -> None:
    one = OpenCoil(key=KEY)
    take(one, coil("7"))
    assert take(one, [chunk("7", "top", 0, std_g_m2=[0.0] * 9)]) == [False]


def test_a_chunk_without_a_place_is_kept_for_assembly_to_name() -> None:
    one = OpenCoil(key=KEY)
    assert take(one, [event("coil.chunk", "7", 1, face=["top"])]) == [True]


def test_more_events_than_a_coil_may_have_make_it_due_and_wrong() -> None:
    one = OpenCoil(key=KEY)
    take(one, [chunk("7", "top", row) for row in range(51)])
    assert one.is_due(0, RULES)
    fault = one.events_so_far(place="here", rules=RULES, silent=False).fault
    assert fault is not None
    assert "more than 50 events" in fault[0]


def test_the_first_fault_of_a_coil_is_told() -> None:
    one = OpenCoil(key=KEY)
    one.fail(("first", "a"), (b"x", ()), offset=3, now_ms=0)
    one.fail(("second", "b"), (b"y", ()), offset=4, now_ms=0)
    assert one.events_so_far(place="here", rules=RULES, silent=False).fault == ("first", "a")
    assert (one.first_offset, one.last_offset) == (3, 4)


def test_its_messages_read_back_as_they_came() -> None:
    one = OpenCoil(key=KEY)
    lines = coil("7")
    take(one, lines)
    again = OpenCoil(key=KEY)
    assert all(take(again, one.original().splitlines()))
    assert [orjson.loads(line) for line in one.original().splitlines()] == [orjson.loads(line) for line in lines]
    assert again.rows == one.rows


@pytest.mark.parametrize(
    ("lines", "is_one"),
    [(coil("7"), False), (coil("7")[1:], True), ([started("7"), chunk("7", "top", 0)], True), ([ended("7")], True)],
)
def test_a_coil_without_a_start_or_with_less_than_two_rows_a_face_is_a_fragment(
    lines: list[bytes], *, is_one: bool
) -> None:
    one = OpenCoil(key=KEY)
    take(one, lines)
    assert one.is_fragment is is_one


def test_a_band_is_known_once_it_came_as_numbers() -> None:
    one = OpenCoil(key=KEY)
    assert one.band_g_m2() is None
    take(one, [started("7")])
    assert one.band_g_m2() == (100.0, 120.0)
    other = OpenCoil(key=KEY)
    take(other, [started("7", band=(None, 120.0))])  # type: ignore[arg-type]
    assert other.band_g_m2() is None
