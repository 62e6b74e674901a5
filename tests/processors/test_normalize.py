"""Laws of normalisation."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.assemble import assemble
from processors.normalize import measure_limits, normalize
from schemas.coils import FloatArray
from schemas.matrices import MATRIX_BATCH, tensor_values
from tests.processors.coils import LIMITS, coil_readings, header, rows_of
from tests.processors.literal import literal_face

Readings = tuple[FloatArray, FloatArray]


def matrix_of(*coils: Readings) -> FloatArray:
    headers = [header(str(i)) for i in range(len(coils))]
    done = normalize(assemble(rows_of(*coils), headers).coils, LIMITS)
    assert not done.rejects
    return tensor_values(done.batch).astype(np.float64)


@given(st.lists(coil_readings(), min_size=1, max_size=4))
@settings(max_examples=150)
def test_agrees_with_a_literal_reading_of_the_definition(coils: list[Readings]) -> None:
    got = matrix_of(*coils)
    for i, (top, bottom) in enumerate(coils):
        want = [literal_face(face, 100.0, 120.0, LIMITS.low, LIMITS.high) for face in (top, bottom)]
        np.testing.assert_allclose(got[i], np.hstack(want), atol=1e-6)


def test_missing_rows_leave_the_others_where_the_definition_puts_them() -> None:
    face = np.random.default_rng(1).normal(110, 30, (61, 9)).clip(6)
    rows = rows_of((face, face))
    kept = np.isin(np.arange(122), [20, 21, 61 + 40], invert=True)
    coils = assemble(replace(rows, **{f.name: getattr(rows, f.name)[kept] for f in fields(rows)}), [header()]).coils
    done = normalize(coils, LIMITS)
    want = [
        literal_face(np.delete(face, gone, axis=0), 100.0, 120.0, LIMITS.low, LIMITS.high) for gone in ([20, 21], [40])
    ]
    np.testing.assert_allclose(tensor_values(done.batch)[0], np.hstack(want), atol=1e-6)
    assert done.batch.column("observed")[0].as_py() == pytest.approx(119 / 122)
    assert done.batch.column("reasons")[0].as_py()[0] == "missing_rows: 2 of 61 top, 1 of 61 bottom"


@given(st.lists(coil_readings(), min_size=2, max_size=4))
@settings(max_examples=50)
def test_a_coil_is_the_same_alone_and_in_a_batch(coils: list[Readings]) -> None:
    together = matrix_of(*coils)
    for i, coil in enumerate(coils):
        np.testing.assert_array_equal(matrix_of(coil)[0], together[i])


@given(st.integers(2, 400), st.floats(100, 120))
@settings(max_examples=50)
def test_a_coil_inside_its_band_is_zero_everywhere(rows: int, level: float) -> None:
    face = np.full((rows, 9), level)
    assert not matrix_of((face, face)).any()


@given(coil_readings(max_rows=100), st.sampled_from([0.5, 2.0, 4.0]))
@settings(max_examples=50)
def test_twice_the_limits_give_half_the_saliency(coil: Readings, factor: float) -> None:
    coils = assemble(rows_of(coil), [header()]).coils
    wide = LIMITS.model_copy(update={"low": LIMITS.low * 1e3, "high": LIMITS.high * 1e3})  # nothing is clipped
    wider = wide.model_copy(update={"low": wide.low * factor, "high": wide.high * factor})
    once, scaled = (tensor_values(normalize(coils, limits).batch) for limits in (wide, wider))
    np.testing.assert_allclose(scaled * factor, once, rtol=1e-5, atol=1e-9)


def test_a_calibration_run_is_neither_a_defect_nor_observed() -> None:
    top = np.full((61, 9), 110.0)
    top[20:24, 4] = [60.0, 2.0, 1.0, 90.0]  # below the band, and under 5 in the middle
    done = normalize(assemble(rows_of((top, np.full((61, 9), 110.0))), [header()]).coils, LIMITS)
    assert not tensor_values(done.batch).any()
    assert done.batch.column("observed")[0].as_py() == pytest.approx(1 - 4 / (61 * 18))


def test_a_thin_face_that_a_calibration_hides_is_named() -> None:
    thin = np.full((61, 9), 70.0)  # all below the band, so that a calibration takes it for its own
    thin[30] = 1.0
    done = normalize(assemble(rows_of((np.full((61, 9), 110.0), thin)), [header()]).coils, LIMITS)
    assert not tensor_values(done.batch).any(), "the plant's rule"
    assert done.batch.column("reasons")[0].as_py() == ["little_observed: 100% of the bottom face read as calibration"]


def test_a_calibration_run_does_not_cross_from_one_face_or_coil_to_the_next() -> None:
    first, second = np.full((3, 9), 110.0), np.full((3, 9), 110.0)
    first[-1, 0] = 2.0  # a calibration at the end of one face
    second[0, 0] = 50.0  # a true defect at the start of the next
    got = matrix_of((first, second), (second, second))
    assert got[0, 0, 9] == pytest.approx(-50 / 60)
    assert got[1, 0, 0] == pytest.approx(-50 / 60)
    assert not got[0, :, :9].any()


def test_limits_are_the_extremes_after_the_calibration_rule() -> None:
    top = np.full((5, 9), 110.0)
    top[0, 0], top[1, 1], top[4, 5] = 1.0, 70.0, 150.0
    assert measure_limits(assemble(rows_of((top, top)), [header()]).coils) == (-30.0, 30.0)


def test_cells_outside_the_limits_are_clipped_counted_and_named() -> None:
    top = np.full((5, 9), 110.0)
    top[0, 3], top[0, 4] = 300.0, 20.0
    done = normalize(assemble(rows_of((top, np.full((5, 9), 110.0))), [header()]).coils, LIMITS)
    assert tensor_values(done.batch).max() == 1.0
    assert tensor_values(done.batch).min() == -1.0
    assert done.batch.column("reasons")[0].as_py() == ["clipped_cells: 2 readings outside the limits"]


def test_rows_that_are_averaged_keep_their_standard_deviation_as_spread() -> None:
    top = np.tile(np.array([[130.0], [150.0]]), (264, 9))  # 528 rows: two a chunk
    done = normalize(assemble(rows_of((top, top)), [header()]).coils, LIMITS)
    np.testing.assert_allclose(tensor_values(done.batch), 20 / 80, atol=1e-6)
    np.testing.assert_allclose(tensor_values(done.batch, "spread"), 10 / 80, atol=1e-6)


@pytest.mark.parametrize(("value", "said"), [(np.nan, "nan"), (np.inf, "inf"), (-3.0, "-3")])
def test_a_reading_that_is_no_mass_rejects_its_coil_alone_and_says_where(value: float, said: str) -> None:
    good, bad = np.full((5, 9), 110.0), np.full((5, 9), 110.0)
    bad[3, 7] = value
    rows = rows_of((good, good), (good, bad), (good, good))
    done = normalize(assemble(rows, [header(i) for i in "abc"]).coils, LIMITS)
    assert done.batch.column("coil_id").to_pylist() == ["a", "c"]
    (reject,) = done.rejects
    assert reject.key is not None
    assert reject.key.coil_id == "b"
    assert f"bottom face, row 4, sensor 8: {said} g/m²" in reject.sentence()


def test_no_coils_give_an_empty_batch() -> None:
    none = normalize(assemble(rows_of((np.zeros((0, 9)), np.zeros((0, 9)))), []).coils, LIMITS)
    assert none.batch.schema == MATRIX_BATCH
    assert none.batch.num_rows == 0
