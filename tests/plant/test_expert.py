from dataclasses import replace

import numpy as np
import pytest

from plant.expert import badness
from plant.orders import PlannedCoil, plan
from plant.settings import ExpertSettings
from schemas.coils import FloatArray

EXPERT = ExpertSettings()
ALONG_M: FloatArray = np.arange(5.0, 800.0, 10.0)


def coil() -> PlannedCoil:
    planned = plan(1, 0)
    order = planned.order.model_copy(update={"zn_min_g_m2": 100.0, "zn_max_g_m2": 120.0, "length_m": 800.0})
    return replace(planned, order=order, length_m=800.0)


def seen(*, g_m2: float, rows: slice, sensors: slice) -> float:
    """Badness of a coil at 110 g/m² whose top face differs at one place."""
    coating = np.full((2, ALONG_M.size, 9), 110.0)
    coating[0, rows, sensors] = g_m2
    return badness(coating, ALONG_M, coil(), EXPERT, head_m=35.0)


ALL, MIDDLE, LONG = slice(0, 9), slice(3, 6), slice(20, 70)


def test_a_coil_in_its_band_is_not_bad() -> None:
    assert seen(g_m2=110.0, rows=LONG, sensors=ALL) == 0.0


def test_a_long_thin_stretch_is_worse_than_a_short_one_as_deep() -> None:
    assert seen(g_m2=85.0, rows=LONG, sensors=ALL) > 2.0 * seen(g_m2=85.0, rows=slice(20, 25), sensors=ALL) > 0.0


def test_thin_over_most_of_a_face_is_worse_than_a_stripe_as_deep() -> None:
    assert seen(g_m2=85.0, rows=LONG, sensors=ALL) > 1.5 * seen(g_m2=85.0, rows=LONG, sensors=MIDDLE) > 0.0


def test_a_long_face_somewhat_thin_is_worse_than_a_deep_narrow_place() -> None:
    assert seen(g_m2=85.0, rows=LONG, sensors=ALL) > seen(g_m2=60.0, rows=slice(30, 33), sensors=MIDDLE) > 0.0


def test_too_much_zinc_hardly_counts() -> None:
    assert seen(g_m2=150.0, rows=LONG, sensors=ALL) < 0.1 * seen(g_m2=70.0, rows=LONG, sensors=ALL)


def test_the_head_is_forgiven() -> None:
    assert seen(g_m2=85.0, rows=slice(0, 4), sensors=ALL) < 0.3 * seen(g_m2=85.0, rows=slice(20, 24), sensors=ALL)


@pytest.mark.parametrize("edge", [0, 8])
def test_an_edge_counts_less_than_the_middle(edge: int) -> None:
    at_edge = seen(g_m2=70.0, rows=LONG, sensors=slice(edge, edge + 1))
    assert 0.0 < at_edge < seen(g_m2=70.0, rows=LONG, sensors=slice(4, 5))
