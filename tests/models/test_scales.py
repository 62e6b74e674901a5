"""Promises of the scale `self`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.scales import to_self_scale, to_self_spread
from tests.models.coils import random_matrix


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    factor=st.floats(0.01, 100.0),
    offset=st.floats(-100.0, 100.0),
)
def test_a_positive_affine_change_of_a_coil_changes_nothing(seed: int, factor: float, offset: float) -> None:
    rng = np.random.default_rng(seed)
    grey = rng.choice(np.arange(0, 256), size=(2, 264, 18), p=None)
    grey[:, 0, 0], grey[:, 0, 1] = 0, 255
    changed = (grey * factor + offset).astype(np.float32)
    np.testing.assert_array_equal(to_self_scale(changed), to_self_scale(grey.astype(np.float32)))


def test_the_commonest_level_becomes_zero_and_the_range_becomes_one() -> None:
    scaled = to_self_scale(random_matrix(5))
    assert scaled.dtype == np.float32
    assert np.mean(scaled == 0) > 0.5
    np.testing.assert_allclose(np.ptp(scaled, axis=(1, 2)), 1.0, atol=1e-6)


def test_a_grey_coil_and_the_limits_matrix_it_was_drawn_from_look_alike() -> None:
    matrix = random_matrix(3)
    low, high = matrix.min(axis=(1, 2), keepdims=True), matrix.max(axis=(1, 2), keepdims=True)
    grey = np.rint((matrix - low) / (high - low) * 255)
    as_source = (grey / 255 * 2 - 1).astype(np.float32)
    np.testing.assert_allclose(to_self_scale(as_source), to_self_scale(matrix), atol=1.01 / 255)


@pytest.mark.parametrize("value", [0.0, -1.0, 0.3])
def test_a_constant_coil_is_all_zeros(value: float) -> None:
    assert not to_self_scale(np.full((2, 264, 18), value, dtype=np.float32)).any()


def test_each_coil_is_scaled_by_itself() -> None:
    matrix = random_matrix(6)
    one_by_one = np.concatenate([to_self_scale(matrix[i : i + 1]) for i in range(6)])
    np.testing.assert_array_equal(to_self_scale(matrix), one_by_one)


def test_no_coils_give_no_coils() -> None:
    assert to_self_scale(np.empty((0, 264, 18), dtype=np.float32)).shape == (0, 264, 18)


def test_a_spread_is_a_share_of_its_coils_own_range_in_any_unit() -> None:
    matrix, spread = random_matrix(3) * np.float32(0.4), np.abs(random_matrix(3, seed=1))
    found = to_self_spread(spread, matrix)
    assert found.dtype == np.float32
    for coil in range(3):
        np.testing.assert_allclose(found[coil], spread[coil] / np.ptp(matrix[coil]), rtol=1e-5)
    np.testing.assert_allclose(to_self_spread(spread * 8, matrix * 8 + 3), found, rtol=1e-5)


def test_a_constant_coil_has_no_spread_and_no_coils_have_none() -> None:
    spread = np.ones((2, 264, 18), dtype=np.float32)
    assert not to_self_spread(spread, np.full((2, 264, 18), 0.3, dtype=np.float32)).any()
    assert to_self_spread(spread[:0], spread[:0]).shape == (0, 264, 18)
