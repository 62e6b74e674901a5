"""Promises of the sensors that one coil tells to be faulty."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.gauge_faults import sensor_faults
from schemas.coils import FloatArray

ROWS = 60


def strip(seed: int = 0, rows: int = ROWS) -> FloatArray:
    """A face as the line gives it: a level that wanders, wedge and bow of the strip, a little noise, steps of 0.1."""
    rng = np.random.default_rng(seed)
    along, across = np.linspace(0, 1, rows)[:, None], np.linspace(-1, 1, 9)
    level = 110 + 6 * np.sin(rng.uniform(4, 9) * along + rng.uniform(0, 6))
    shape = 1 + 0.02 * rng.normal() * across + 0.02 * rng.normal() * across**2 + 0.002 * rng.normal(size=9)
    return np.round(level * shape * (1 + 0.003 * rng.normal(size=(rows, 9))), 1)


def found(*faces: FloatArray, zn_min: float = 100.0) -> dict[int, list[str]]:
    start = np.concatenate(([0], np.cumsum([len(face) for face in faces])))
    return sensor_faults(np.concatenate(faces), np.full(len(faces), zn_min), start)


def faulty(kind: str, face: FloatArray, sensor: int) -> FloatArray:
    """The face with one faulty sensor, counted from 0."""
    face, rng = face.copy(), np.random.default_rng(99)
    match kind:
        case "gauge_dead":
            face[25:, sensor] = rng.uniform(0, 3, len(face) - 25)
        case "gauge_stuck":
            face[20:, sensor] = face[20, sensor]
        case "gauge_noisy":
            face[20:, sensor] *= 1 + 0.03 * rng.normal(size=len(face) - 20)
        case "gauge_offset":
            face[:, sensor] *= 1.1
    return face.round(1)


KINDS = ("gauge_dead", "gauge_stuck", "gauge_noisy", "gauge_offset")
EACH_KIND = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.parametrize("sensor", range(2, 7))
@EACH_KIND
def test_a_faulty_sensor_is_named_with_its_fault_and_no_other(kind: str, sensor: int) -> None:
    faces = strip(1), strip(2), strip(3), faulty(kind, strip(4), sensor)
    assert found(*faces) == {1: [f"{kind}: bottom sensor {sensor + 1}"]}


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_a_sensor_in_good_order_is_not_named(seed: int) -> None:
    assert found(strip(seed), strip(seed + 1)) == {}


def test_a_quiet_coil_names_nobody() -> None:
    quiet = np.full((ROWS, 9), 110.0)
    flickers = quiet.copy()
    flickers[:, 4] += np.random.default_rng(0).integers(0, 2, ROWS)  # between two steps of the gauge
    assert found(quiet, flickers) == {}


def test_a_calibration_is_no_dead_sensor() -> None:
    face = strip()
    face[20:25, 3] = 1.0
    assert found(face, strip(1)) == {}


def test_a_dead_sensor_that_shows_one_value_is_dead_alone() -> None:
    face = strip()
    face[:, 5] = 0.0
    assert found(face, strip(1)) == {0: ["gauge_dead: top sensor 6"]}


def test_strip_with_next_to_no_zinc_is_no_dead_gauge() -> None:
    face = strip()
    face[10:40] *= 0.03
    assert found(face, strip(1)) == {}


@pytest.mark.parametrize(
    ("rows", "sensors"),
    [
        pytest.param(slice(0, 40), slice(4, 5), id="ends within the coil"),
        pytest.param(slice(20, None), slice(4, 5), id="begins within the coil"),
        pytest.param(slice(None), slice(3, 6), id="three sensors wide"),
        pytest.param(slice(None), slice(0, 1), id="at the edge"),
    ],
)
def test_a_stripe_of_the_strip_is_no_offset(rows: slice, sensors: slice) -> None:
    face = strip()
    face[rows, sensors] *= 0.88
    assert found(face, strip(1)) == {}


def test_a_bare_patch_is_no_noise() -> None:
    face = strip()
    face[30:33, 3:5] *= 0.4
    assert found(face, strip(1)) == {}


@given(power=st.integers(-2, 6), seed=st.integers(0, 1000), kind=st.sampled_from(KINDS[1:]))
@settings(max_examples=30)
def test_the_unit_of_the_readings_changes_nothing(power: int, seed: int, kind: str) -> None:
    top, bottom, scale = faulty(kind, strip(seed), 3), strip(seed + 1), 2.0**power
    assert found(top * scale, bottom * scale, zn_min=100 * scale) == found(top, bottom)


@given(seed=st.integers(0, 1000), sensor=st.integers(0, 8), kind=st.sampled_from(KINDS))
@settings(max_examples=30)
def test_a_mirrored_strip_has_its_mirrored_sensors_named(seed: int, sensor: int, kind: str) -> None:
    face = faulty(kind, strip(seed), sensor)
    named = found(face, strip(1)).get(0, [])
    mirrored = found(face[:, ::-1], strip(1)).get(0, [])
    assert mirrored == [f"{one[:-1]}{10 - int(one[-1])}" for one in named]


@given(seed=st.integers(0, 1000), kind=st.sampled_from(KINDS))
@settings(max_examples=20)
def test_a_coil_says_the_same_alone_and_among_others(seed: int, kind: str) -> None:
    faces = [strip(seed, rows=37), faulty(kind, strip(seed + 1), 4), faulty(kind, strip(seed + 2), 2), strip(seed + 3)]
    alone = {coil: found(*faces[2 * coil : 2 * coil + 2]).get(0) for coil in (0, 1)}
    assert found(*faces) == {coil: said for coil, said in alone.items() if said}


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e308, 0.0])
def test_readings_that_are_none_name_nobody(value: float) -> None:
    assert found(np.full((ROWS, 9), value), strip(1)) == {}


@pytest.mark.parametrize("rows", [2, 3, 10])
def test_short_faces_name_nobody(rows: int) -> None:
    assert found(strip(rows=rows), strip(1, rows=rows)) == {}


def test_no_rows_are_no_faults() -> None:
    assert sensor_faults(np.zeros((0, 9)), np.zeros(0), np.zeros(1, dtype=np.int64)) == {}
