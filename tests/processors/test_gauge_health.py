"""Promises of what many coils tell of the gauge."""

from dataclasses import replace

import numpy as np
import pytest

from plant.line import simulate
from plant.settings import PRODUCTION
from processors.assemble import NO_COILS, assemble
from processors.gauge_health import gauge_health
from schemas.coils import ChunkRows, CoilBatch, CoilHeader

COILS = 100


@pytest.fixture(scope="module", name="good")
def _good() -> CoilBatch:
    """Coils of a line that runs as it should."""
    headers: list[CoilHeader] = []
    coil, blocks = [], list(simulate(COILS, seed=3, line=PRODUCTION))
    for block in blocks:
        coil.append(block.rows.coil + len(headers))
        headers += block.headers
    names = ("face", "position", "mean_g_m2", "std_g_m2")
    columns = {name: np.concatenate([getattr(block.rows, name) for block in blocks]) for name in names}
    return assemble(ChunkRows(coil=np.concatenate(coil), **columns), headers).coils


def misread(coils: CoilBatch, **factors: float) -> CoilBatch:
    """The same coils where sensors, named as bottom_3, read so many times what they should."""
    mean = coils.mean_g_m2.copy()
    face = np.repeat(np.tile([0, 1], len(coils)), np.diff(coils.face_start))
    for name, factor in factors.items():
        side, _, sensor = name.partition("_")
        mean[face == ("top", "bottom").index(side), int(sensor) - 1] *= factor
    return replace(coils, mean_g_m2=mean)


def test_a_gauge_in_good_order_is_named_for_nothing(good: CoilBatch) -> None:
    found = gauge_health(good)
    assert found.coils == COILS
    assert not found.off.any()
    assert not found.noisy.any()
    assert np.abs(found.off_share).max() < 0.01
    assert found.missing_share.max() < 0.01


@pytest.mark.parametrize("factor", [0.94, 1.06, 1.2])
@pytest.mark.parametrize("sensor", ["top_1", "top_5", "bottom_3", "bottom_9"])
def test_a_sensor_that_reads_off_is_named_by_how_much_and_no_other_is(
    good: CoilBatch, sensor: str, factor: float
) -> None:
    found = gauge_health(misread(good, **{sensor: factor}))
    place = (("top", "bottom").index(sensor.partition("_")[0]), int(sensor[-1]) - 1)
    assert list(zip(*np.nonzero(found.off), strict=True)) == [place]
    assert found.off_share[place] == pytest.approx(factor - 1, abs=0.015)


def test_two_sensors_of_a_face_that_read_off_hide_neither_each_other_nor_the_rest(good: CoilBatch) -> None:
    found = gauge_health(misread(good, bottom_2=1.12, bottom_7=0.9))
    assert list(zip(*np.nonzero(found.off), strict=True)) == [(1, 1), (1, 6)]


def test_a_dead_sensor_is_named_and_hides_no_other_of_its_face(good: CoilBatch) -> None:
    dead = gauge_health(misread(good, top_4=0.0, top_8=1.08))
    assert dead.calibrating_share[0, 3] == 1
    assert np.isnan(dead.off_share[0, 3])
    assert np.isnan(dead.restless[0, 3])
    assert list(zip(*np.nonzero(dead.off), strict=True)) == [(0, 7)]


def test_a_noisy_sensor_is_named_and_no_other_is(good: CoilBatch) -> None:
    mean = good.mean_g_m2.copy()
    face = np.repeat(np.tile([0, 1], len(good)), np.diff(good.face_start))
    quiet = gauge_health(good).restless
    step = float(np.abs(np.diff(mean[face == 1, 6])).mean())
    mean[face == 1, 6] += np.random.default_rng(0).normal(0, 3 * step, (face == 1).sum())
    found = gauge_health(replace(good, mean_g_m2=mean))
    assert list(zip(*np.nonzero(found.noisy), strict=True)) == [(1, 6)]
    assert not found.off.any()
    np.testing.assert_allclose(found.restless[0], quiet[0])


def test_a_face_that_says_nothing_is_known_nothing_of(good: CoilBatch) -> None:
    names = {f"top_{number}": 0.0 for number in range(1, 10)}
    found = gauge_health(misread(good, **names))
    assert np.isnan(found.off_share[0]).all()
    assert np.isnan(found.restless[0]).all()
    assert not found.off.any()
    assert not found.noisy.any()


def test_a_strip_that_is_bent_or_wedged_is_no_fault_of_the_gauge(good: CoilBatch) -> None:
    across = np.linspace(-1, 1, 9)
    bent = replace(good, mean_g_m2=good.mean_g_m2 * (1 + 0.1 * across + 0.15 * across**2))
    assert not gauge_health(bent).off.any()


def test_a_sensor_that_sticks_and_rows_that_are_missing_are_counted(good: CoilBatch) -> None:
    mean = good.mean_g_m2.copy()
    for coil in range(4):
        first, last = good.face_start[2 * coil : 2 * coil + 2]
        mean[first:last, 4] = mean[first, 4]
    before = gauge_health(good)
    stuck = gauge_health(replace(good, mean_g_m2=mean))
    assert stuck.stuck_coils[0, 4] - before.stuck_coils[0, 4] == 4
    expected = good.expected_rows.copy()
    expected[1::2] += 5
    missing = gauge_health(replace(good, expected_rows=expected)).missing_share
    rows = np.diff(good.face_start)[1::2]
    assert missing[1] == pytest.approx(np.maximum(expected[1::2] - rows, 0).sum() / expected[1::2].sum())
    assert missing[0] == before.missing_share[0]


def test_no_coils_tell_nothing() -> None:
    found = gauge_health(NO_COILS)
    assert (found.coils, bool(found.off.any()), bool(np.isnan(found.off_share).all())) == (0, False, True)
