from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant.defects import KINDS, Defect, draw_defects, inject
from plant.knife import coating_mass_g_m2, pressure_for_kpa, wiping_constant
from plant.line import coating_g_m2
from plant.orders import PlannedCoil, plan
from plant.streams import Purpose, stream
from plant.strip import LineState, run_strip

positive = st.floats(0.1, 100.0)


def array(value: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([value])


def passage(number: int, *, seed: int = 5, restlessness: float = 1.0) -> tuple[PlannedCoil, LineState]:
    planned = plan(seed, number)
    return planned, run_strip(stream(seed, number, Purpose.STRIP), planned, planned, restlessness=restlessness)


@given(k=positive, d=positive, v=positive, p=positive, factor=st.floats(1.1, 9.0))
def test_coating_grows_with_distance_and_with_the_roots_of_speed_over_pressure(
    k: float, d: float, v: float, p: float, factor: float
) -> None:
    base = coating_mass_g_m2(array(k), array(d), array(v), array(p))
    assert coating_mass_g_m2(array(k), array(d * factor), array(v), array(p)) == pytest.approx(base * factor)
    assert coating_mass_g_m2(array(k), array(d), array(v * factor), array(p)) == pytest.approx(base * factor**0.5)
    assert coating_mass_g_m2(array(k), array(d), array(v), array(p * factor)) == pytest.approx(base / factor**0.5)


@given(target=st.floats(40, 258), d=st.floats(10, 12), v=st.floats(0.5, 3))
def test_set_pressure_leaves_the_target_at_nominal_bath_temperature(target: float, d: float, v: float) -> None:
    pressure = pressure_for_kpa(target, d, v)
    coating = coating_mass_g_m2(wiping_constant(array(460.0)), array(d), array(v), array(pressure))
    assert coating == pytest.approx(target)


def test_a_hotter_bath_leaves_less_zinc() -> None:
    assert wiping_constant(array(465.0)) < wiping_constant(array(455.0))


def test_a_line_at_rest_coats_every_place_at_its_target() -> None:
    for number in range(20):
        planned, state = passage(number, restlessness=0.0)
        assert coating_g_m2(state) == pytest.approx(planned.target_g_m2)


def test_what_one_face_gains_off_centre_the_other_loses() -> None:
    planned, state = passage(3, restlessness=0.0)
    moved = Defect(
        kind="off_centre",
        face="top",
        start_m=0.3 * planned.length_m,
        end_m=0.7 * planned.length_m,
        first_sensor=0,
        last_sensor=8,
        severity=0.2,
    )
    top, bottom = coating_g_m2(inject(state, moved))
    assert top + bottom == pytest.approx(2 * planned.target_g_m2)
    assert top.min() == pytest.approx(0.8 * planned.target_g_m2)
    assert np.corrcoef(top.mean(axis=1), bottom.mean(axis=1))[0, 1] == pytest.approx(-1.0)


def test_faces_move_together_with_speed_and_apart_with_the_strip() -> None:
    planned, state = passage(3, restlessness=0.0)
    both = Defect(kind="overpressure", face="both", start_m=50, end_m=150, first_sensor=0, last_sensor=8, severity=0.2)
    top, bottom = coating_g_m2(inject(state, both))
    assert top == pytest.approx(bottom)
    assert top.min() == pytest.approx(0.8 * planned.target_g_m2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_changes_its_place_and_nothing_else(kind: str) -> None:
    found = 0
    for number in range(400):
        planned = plan(7, number)
        defect = draw_defects(stream(7, number, Purpose.DEFECT), planned)[0]
        if defect.kind != kind:
            continue
        found += 1
        state = run_strip(stream(7, number, Purpose.STRIP), planned, planned, restlessness=1.0)
        change = coating_g_m2(inject(state, defect)) / coating_g_m2(state) - 1.0
        face, row, sensor = np.nonzero(np.abs(change) > 1e-12)
        assert row.size, f"{defect} left no trace"
        along_m = state.along_m[row]
        assert defect.start_m <= along_m.min() <= along_m.max() <= defect.end_m
        assert defect.first_sensor <= sensor.min() <= sensor.max() <= defect.last_sensor
        assert 0.0 <= defect.start_m < defect.end_m <= planned.length_m + 0.01
        if kind in ("overpressure", "underpressure", "thin_stripe", "thick_stripe", "thin_edge", "bare_patch"):
            assert np.abs(change).max() <= defect.severity + 1e-9
            assert defect.face == "both" or set(face) == {0 if defect.face == "top" else 1}
    assert found


def test_the_head_carries_the_previous_coating_and_the_body_its_own() -> None:
    planned = plan(5, 3)
    previous = replace(planned, target_g_m2=2 * planned.target_g_m2)
    state = run_strip(stream(5, 3, Purpose.STRIP), planned, previous, restlessness=0.0)
    middle = coating_g_m2(state)[:, :, 4]
    assert middle[:, 0] == pytest.approx(previous.target_g_m2)
    assert middle[:, -1] == pytest.approx(planned.target_g_m2)
