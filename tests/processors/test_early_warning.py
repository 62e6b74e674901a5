"""Early warning: a face out of its band over a length, and not a gauge that calibrates."""

import json

import pytest

from processors.decode import EventFault, decode_message
from processors.early_warning import OutOfBand, out_of_band
from processors.open_coils import OpenCoil
from schemas.coils import CoilKey
from schemas.stream_settings import StreamSettings
from tests.streams.lines import PLANT, chunk, event, started

RULES = StreamSettings(warn_length_m=50.0)


def open_coil(*lines: bytes) -> OpenCoil:
    coil = OpenCoil(key=CoilKey(plant=PLANT, coil_id="7"))
    for offset, line in enumerate(lines):
        found = decode_message(line)
        assert not isinstance(found, EventFault)
        coil.apply(found, (line, ()), offset=offset, now_ms=0)
    return coil


def rows(*levels_g_m2: float, face: str = "top") -> list[bytes]:
    return [chunk("7", face, row, mean_g_m2=level) for row, level in enumerate(levels_g_m2)]


def test_a_stretch_below_the_band_is_found_once_it_is_long_enough() -> None:
    assert out_of_band(open_coil(started("7"), *rows(110, 90, 85)), RULES) is None  # 28 m of it
    found = out_of_band(open_coil(started("7"), *rows(110, 90, 85, 92)), RULES)
    assert found == OutOfBand(
        face="top", side="below", bound_g_m2=100.0, worst_g_m2=86.1,
        from_position=28.0, to_position=84.0, length_m=56.0,
    )  # fmt: skip


def test_a_stretch_above_the_band_of_the_other_face_is_found_too() -> None:
    found = out_of_band(open_coil(started("7"), *rows(130, 135, 131, face="bottom")), RULES)
    assert found is not None
    assert (found.face, found.side, found.bound_g_m2, found.worst_g_m2) == ("bottom", "above", 120.0, 136.0)


def test_rows_in_the_band_or_on_its_other_side_end_a_stretch() -> None:
    assert out_of_band(open_coil(started("7"), *rows(90, 90, 110, 90, 90, 110, 90)), RULES) is None
    assert out_of_band(open_coil(started("7"), *rows(90, 90, 130, 130, 90, 90)), RULES) is None


def test_order_of_arrival_does_not_matter() -> None:
    assert out_of_band(open_coil(*reversed([started("7"), *rows(90, 90, 90)])), RULES) is not None


def test_a_sensor_that_calibrates_warns_of_nothing() -> None:
    zero = [0.0, 1.0, 2.0, 110.0, 110.0, 110.0, 110.0, 110.0, 110.0]
    lines = [event("coil.chunk", "7", i, face="top", position=28.0 * i, mean_g_m2=zero) for i in range(9)]
    assert out_of_band(open_coil(started("7"), *lines), RULES) is None


@pytest.mark.parametrize("band", [None, "100", True])
def test_without_a_band_or_a_length_there_is_nothing_to_warn_of(band: object) -> None:
    lines = rows(10, 10, 10, 10)
    start = event("coil.started", "7", 0, zn_min_g_m2=band, zn_max_g_m2=120.0)
    assert out_of_band(open_coil(*lines), RULES) is None
    if band is not True:
        assert out_of_band(open_coil(start, *lines), RULES) is None
    assert out_of_band(open_coil(started("7"), *lines), StreamSettings()) is None


@pytest.mark.parametrize("readings", [None, "9", [1, 2], [None] * 9, ["1"] * 9, [[1]] * 9, [{}] * 9, 7])
def test_readings_that_are_none_warn_of_nothing_and_break_nothing(readings: object) -> None:
    lines = [event("coil.chunk", "7", i, face="top", position=28.0 * i, mean_g_m2=readings) for i in range(9)]
    assert out_of_band(open_coil(started("7"), *lines), RULES) is None


def test_positions_that_are_none_break_nothing() -> None:
    odd = [event("coil.chunk", "7", i, face="top", position=p, mean_g_m2=[1] * 9) for i, p in enumerate((0, "x", None))]
    assert out_of_band(open_coil(started("7"), *odd), RULES) is None


@pytest.mark.parametrize("level_g_m2", [-3.0, 1e9, 10**400], ids=["negative", "heavy", "no float"])
def test_readings_that_are_no_coating_warn_of_nothing(level_g_m2: float) -> None:
    lines = [row(28.0 * i, [level_g_m2] * 9) for i in range(4)]
    assert out_of_band(open_coil(started("7"), *lines), RULES) is None


def test_positions_past_any_strip_warn_of_nothing() -> None:
    lines = [row(10 ** (400 + i), [90.0] * 9) for i in range(4)]
    assert out_of_band(open_coil(started("7"), *lines), RULES) is None


@pytest.mark.parametrize("band", [(-9.0, -1.0), (120.0, 100.0), (100.0, 1e9)])
def test_a_band_that_is_none_warns_of_nothing(band: tuple[float, float]) -> None:
    assert out_of_band(open_coil(started("7", band=band), *rows(50, 50, 50, 50)), RULES) is None


def row(position: float, mean_g_m2: list[float]) -> bytes:
    """As Python writes it, with a NaN and integers of any size."""
    data = {"plant": PLANT, "coil_id": "7", "face": "top", "position": position, "mean_g_m2": mean_g_m2}
    envelope = {"specversion": "1.0", "id": "1", "source": "/x", "type": "coil.chunk"}
    return json.dumps(envelope | {"data": data | {"note": float("nan")}}).encode()
