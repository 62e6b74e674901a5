"""Drift: known by hand, found where it is, and not found where chance alone is at work."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.chi_square import chi_square_quantile
from models.drift import (
    CLIPPED,
    Drift,
    coil_quantities,
    compare,
    population_stability_index,
    reference_of,
)
from schemas.coils import FloatArray
from schemas.layout import MATRIX_SHAPE
from schemas.reference import QuantityReference, Reference


def reference(values: dict[str, FloatArray]) -> Reference:
    found = {name: reference_of(each) for name, each in values.items()}
    known = {name: one for name, one in found.items() if one is not None}
    return Reference(ensemble_version="e1", limits_version="l1", source="coils of a good month", quantities=known)


def check(good: Reference, current: dict[str, FloatArray], *, most_psi: float = 0.25) -> Drift:
    return compare(good, current, plant="linz", least_coils=100, most_psi=most_psi, most_clipped=0.01)


def campaigns(rng: np.random.Generator, coils: int) -> FloatArray:
    """Coils of one order are alike: ten after another have the same value."""
    return np.repeat(rng.normal(size=-(-coils // 10)), 10)[:coils]


def test_the_index_is_the_one_of_the_book() -> None:
    known = QuantityReference(cuts=(0.0,), shares=(0.5, 0.5), mean=0.0, coils=1000, inflation=1.0)
    values = np.repeat([-1.0, 1.0], [799, 199])  # half a coil is added to each bin: 0.8 and 0.2 of 999 to a digit
    expected = (0.8 - 0.5) * np.log(0.8 / 0.5) + (0.2 - 0.5) * np.log(0.2 / 0.5)
    assert population_stability_index(known, values) == pytest.approx(expected, abs=2e-3)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=60), st.lists(st.floats(-5, 5), min_size=1, max_size=60))
def test_an_index_is_never_negative(before: list[float], after: list[float]) -> None:
    known = reference_of(np.array(before))
    assert known is not None
    assert population_stability_index(known, np.array(after)) >= 0


def test_bins_are_deciles_and_a_common_value_is_one_bin() -> None:
    known = reference_of(np.arange(1000) / 1000)
    assert known is not None
    assert len(known.shares) == 10
    assert known.shares == pytest.approx([0.1] * 10, abs=2e-3)
    flags = reference_of(np.repeat([0.0, 1.0], [970, 30]))
    assert flags is not None
    assert flags.cuts == (0.0,)
    assert flags.shares == pytest.approx((0.97, 0.03), abs=1e-3)
    assert reference_of(np.array([np.nan])) is None


def test_what_is_watched_of_a_coil() -> None:
    matrix = np.zeros((2, *MATRIX_SHAPE), dtype=np.float32)
    matrix[0, :, :9] = 0.5
    matrix[0, :66, 9:] = -1
    found = coil_quantities(matrix, np.array([500.0, np.nan]))
    assert {name: values[0] for name, values in found.items()} == {
        "mean_top": 0.5,
        "mean_bottom": -0.25,
        "in_band": pytest.approx(3 / 8),
        "below": pytest.approx(1 / 8),
        "above": pytest.approx(1 / 2),
        CLIPPED: pytest.approx(1 / 8),
        "std": pytest.approx(matrix[0].std()),
        "face_correlation": pytest.approx(np.nan, nan_ok=True),
        "length_m": 500.0,
    }
    matrix[0, :66, :9] = 1
    assert coil_quantities(matrix, np.zeros(2))["face_correlation"][0] == pytest.approx(-1)


def test_a_hundred_coils_that_did_not_drift_do_not_alarm() -> None:
    rng, names = np.random.default_rng(3), [f"q{i}" for i in range(15)]
    good = reference({name: rng.normal(size=4500) for name in names})
    checks = [check(good, {name: rng.normal(size=100) for name in names}, most_psi=0.1) for _ in range(300)]
    assert sum(one.drifted for one in checks) <= 3
    plain = [max(figure.psi for figure in one.quantities.values()) > 0.1 for one in checks]
    assert sum(plain) > 250, "the bound of 0.1 alone would have cried wolf nearly every time"


def test_coils_that_come_in_campaigns_are_fewer_than_they_seem() -> None:
    rng = np.random.default_rng(4)
    good = reference({"band": campaigns(rng, 9000)})
    assert good.quantities["band"].inflation == pytest.approx(10, rel=0.35)
    checks = [check(good, {"band": campaigns(rng, 100)}) for _ in range(200)]
    assert sum(one.drifted for one in checks) <= 4
    blind = good.model_copy(
        update={"quantities": {"band": good.quantities["band"].model_copy(update={"inflation": 1.0})}}
    )
    assert sum(check(blind, {"band": campaigns(rng, 100)}).drifted for _ in range(200)) > 150


def test_drift_is_found_and_said() -> None:
    rng = np.random.default_rng(5)
    good = reference({"mean_top": rng.normal(size=4500), "std": rng.normal(size=4500)})
    found = check(good, {"mean_top": rng.normal(0.8, size=200), "std": rng.normal(size=200)})
    assert found.drifted
    assert found.sentence.startswith("the latest 200 coils of linz differ from coils of a good month in mean_top (PSI ")
    assert "std" not in found.sentence
    calm = check(good, {"mean_top": rng.normal(size=200), "std": rng.normal(size=200)})
    assert (calm.drifted, calm.sentence) == (False, "the latest 200 coils of linz have not drifted")


def test_cells_beyond_the_limits_are_drift_however_the_reference_looks() -> None:
    good = reference({CLIPPED: np.full(1000, 0.02)})
    found = check(good, {CLIPPED: np.full(200, 0.02)})
    assert found.drifted
    assert "cells beyond the limits (2.0% where 1.0% are allowed)" in found.sentence


def test_too_few_coils_tell_nothing() -> None:
    good = reference({"mean_top": np.random.default_rng(6).normal(size=4500)})
    few = check(good, {"mean_top": np.full(99, 9.0)})
    assert (few.drifted, few.quantities) == (False, {})
    assert few.sentence == "99 coils of linz are too few to tell whether they drifted, 100 are needed"
    sparse = check(good, {"mean_top": np.where(np.arange(300) < 99, 9.0, np.nan)})
    assert not sparse.drifted


def test_the_chi_square_quantile_is_near_the_tables() -> None:
    for degrees, probability, table in ((2, 0.975, 7.378), (9, 0.95, 16.919), (9, 0.999, 27.877), (20, 0.025, 9.591)):
        assert chi_square_quantile(degrees, probability) == pytest.approx(table, rel=0.02)
