"""An explanation says what each part of a coil does to the score: no more, no less, and always the same."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.explain import explain_coil
from models import occlusion
from models.bundle import Bundle
from models.combine import log_odds
from models.ensemble import Ensemble, load_ensemble
from models.explain import WINDOWS, Explanation, deletion_curve, explain
from models.kinds import shipped_kinds
from models.occlusion import Occluded
from schemas.coils import BoolArray, Float32Array, FloatArray
from schemas.layout import MATRIX_SHAPE, SENSORS_PER_FACE
from schemas.matrices import Scale
from tests.explain.linear import linear_ensemble
from tests.models.coils import batch_of, random_matrix

MOST_ASKED = 57


@pytest.fixture(scope="module")
def shipped() -> Ensemble:
    return load_ensemble(None, threads=1)


@pytest.fixture(scope="module")
def weights() -> Float32Array:
    return np.random.default_rng(4).normal(0, 0.02, MATRIX_SHAPE).astype(np.float32)


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory, weights: Float32Array) -> Ensemble:
    return linear_ensemble(tmp_path_factory.mktemp("linear"), weights)


def disturbed(*places: tuple[slice, slice], by: float = -0.5, seed: int = 0) -> Float32Array:
    """A coil in its band but at some places, float32 [264, 18]."""
    rng = np.random.default_rng(seed)
    coil = np.zeros(MATRIX_SHAPE, dtype=np.float32)
    for rows, columns in places:
        coil[rows, columns] = by * rng.uniform(0.5, 1, coil[rows, columns].shape)
    return coil


def of(coil: Float32Array, ensemble: Ensemble, scale: Scale = "limits") -> Explanation:
    """Explain one matrix, by limits that are the ensemble's."""
    return explain(batch_of(coil[None], scale), ensemble)


def in_grid(cells: Float32Array | FloatArray) -> FloatArray:
    """Sums of a matrix over the grid of an explanation, float64 [2, 24, 3]."""
    summed: FloatArray = cells.astype(np.float64).reshape(WINDOWS, 11, 2, 3, 3).sum(axis=(1, 4)).transpose(1, 0, 2)
    return summed


def test_a_linear_member_is_explained_by_its_own_sums(linear: Ensemble, weights: Float32Array) -> None:
    coil = disturbed((slice(30, 60), slice(0, 9)), (slice(200, 209), slice(12, 14)))
    np.testing.assert_allclose(of(coil, linear).log_odds, in_grid(coil * weights), atol=2e-5)


def test_cells_add_up_to_what_their_part_takes_away_and_brings(shipped: Ensemble) -> None:
    coil = random_matrix(1, seed=3)[0] / 4
    found = of(coil, shipped)
    asked = occlusion.occluded(batch_of(coil[None]), shipped)
    for face, sixth in ((0, 0), (1, 2), (0, 5)):
        part = np.zeros((2, *MATRIX_SHAPE), dtype=np.bool_)
        for half in range(2):
            start = 44 * sixth + 22 * half
            part[half, start : start + 22, 9 * face : 9 * face + 9] = True
        alone = ~part.any(axis=0, keepdims=True)
        first, second, kept = asked.p_nok(np.concatenate([part, alone]))
        taken = 2 * found.base_p_nok - first - second
        brought = kept - found.undisturbed_p_nok
        summed = found.p_nok[face, 4 * sixth : 4 * sixth + 4].sum()
        assert summed == pytest.approx((taken + brought) / 2, abs=5e-6)


def test_a_defect_on_both_faces_is_seen_though_either_alone_is_enough(shipped: Ensemble) -> None:
    """Without either face the coil is as bad as it is: leaving out alone would say that nothing matters."""
    coil = disturbed((slice(40, 200), slice(0, 18)), by=-0.15)
    found = of(coil, shipped)
    assert {region.face for region in found.regions} == {"top", "bottom"}
    for region in found.regions:
        assert region.p_nok_without > found.threshold
        assert region.p_nok_alone > found.threshold
        assert region.delta_p_nok > 0.2
    assert found.p_nok_without_regions < found.threshold


def test_a_region_changes_the_score_as_the_ensemble_itself_says(linear: Ensemble) -> None:
    coil = disturbed((slice(40, 80), slice(3, 6)), (slice(150, 160), slice(9, 12)), by=3.0)
    found = of(coil, linear)
    assert found.regions
    for region in found.regions:
        without, alone = np.where(region.mask, np.float32(0), coil), np.where(region.mask, coil, np.float32(0))
        parts = batch_of(np.stack([coil, without, alone, np.zeros_like(coil)]))
        p_nok = linear.score(parts).p_nok
        assert (region.p_nok_without, region.p_nok_alone) == pytest.approx(p_nok[1:3].tolist(), abs=1e-6)
        odds = log_odds(p_nok)
        assert region.delta_p_nok == pytest.approx((p_nok[0] - p_nok[1] + p_nok[2] - p_nok[3]) / 2, abs=1e-6)
        assert region.delta_log_odds == pytest.approx((odds[0] - odds[1] + odds[2] - odds[3]) / 2, abs=1e-4)
    speaking = np.any([region.mask for region in found.regions if region.delta_p_nok > 0], axis=0)
    [rest] = linear.score(batch_of(np.where(speaking, 0, coil)[None].astype(np.float32))).p_nok
    assert found.p_nok_without_regions == pytest.approx(rest, abs=1e-6)


def test_the_base_is_the_score_of_the_verdict(shipped: Ensemble) -> None:
    batch = batch_of(random_matrix(1, seed=8))
    found = explain(batch, shipped)
    assert found.base_p_nok == pytest.approx(float(shipped.score(batch).p_nok[0]), abs=1e-6)
    assert (found.threshold, found.ensemble_version) == (shipped.threshold("limits"), shipped.version)


def test_the_only_defect_is_the_largest_region(shipped: Ensemble) -> None:
    coil = disturbed((slice(110, 150), slice(9, 18)), by=-0.12)
    found = of(coil, shipped)
    largest = found.regions[0]
    assert (largest.face, largest.first_row, largest.last_row) == ("bottom", 110, 154)
    assert largest.delta_p_nok > 0.1
    assert not np.any(found.p_nok[0]), "the other face is undisturbed"
    assert found.p_nok_without_regions < found.base_p_nok / 2


@given(
    places=st.lists(st.tuples(st.integers(0, 250), st.integers(0, 15)), min_size=1, max_size=4), seed=st.integers(0, 99)
)
@settings(max_examples=25)
def test_a_mirrored_coil_has_the_mirrored_explanation(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[int, int]], seed: int
) -> None:
    weights = np.random.default_rng(seed).normal(0, 0.05, MATRIX_SHAPE).astype(np.float32)
    coil = disturbed(*((slice(row, row + 14), slice(column, column + 3)) for row, column in places), seed=seed)
    folder = tmp_path_factory.mktemp("mirror")
    found = of(coil, linear_ensemble(folder / "a", weights))
    # Reversed along the strip, mirrored across it, and turned over: each half of the columns is a face.
    turned = of(coil[::-1, ::-1].copy(), linear_ensemble(folder / "b", weights[::-1, ::-1].copy()))
    np.testing.assert_allclose(turned.log_odds[::-1, ::-1, ::-1], found.log_odds, atol=2e-5)
    np.testing.assert_allclose(turned.p_nok[::-1, ::-1, ::-1], found.p_nok, atol=2e-6)


def test_one_coil_is_explained_alike_every_time(shipped: Ensemble) -> None:
    first, again = (of(random_matrix(1, seed=5)[0], shipped) for _ in range(2))
    np.testing.assert_array_equal(first.p_nok, again.p_nok)
    assert (first.regions, first.p_nok_without_regions) == (again.regions, again.p_nok_without_regions)


@pytest.mark.parametrize("at_once", [1, 5, 64])
def test_how_many_are_scored_at_once_changes_nothing(
    shipped: Ensemble, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    coil = disturbed((slice(20, 120), slice(0, 9)), by=-0.2)
    usual = of(coil, shipped)
    monkeypatch.setattr(occlusion, "COILS_AT_ONCE", at_once)
    found = of(coil, shipped)
    np.testing.assert_allclose(found.p_nok, usual.p_nok, atol=2e-5)
    assert [region.mask.tolist() for region in found.regions] == [region.mask.tolist() for region in usual.regions]


def test_an_undisturbed_coil_has_nothing_to_explain(shipped: Ensemble) -> None:
    found = of(np.zeros(MATRIX_SHAPE, dtype=np.float32), shipped)
    assert not np.any(found.p_nok)
    assert not np.any(found.log_odds)
    assert (found.regions, found.scored) == ((), 2)
    assert found.p_nok_without_regions == found.base_p_nok


def test_a_member_that_nothing_moves_has_contributions_of_exactly_zero(tmp_path: Path) -> None:
    unmoved = linear_ensemble(tmp_path, np.zeros(MATRIX_SHAPE, dtype=np.float32), bias=1.0)
    found = of(random_matrix(1)[0], unmoved)
    assert not np.any(found.p_nok)
    assert not np.any(found.log_odds)
    assert found.regions == ()


def test_however_disturbed_a_coil_is_the_ensemble_is_asked_so_often_and_no_more(
    shipped: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    ask = Occluded.p_nok

    def counted(self: Occluded, masks: BoolArray) -> FloatArray:
        nonlocal asked
        asked += len(masks)
        return ask(self, masks)

    monkeypatch.setattr(Occluded, "p_nok", counted)
    for seed in range(6):
        asked = 0
        found = of(random_matrix(1, seed=seed)[0] / (seed + 1), shipped)
        assert asked == found.scored <= MOST_ASKED


def test_a_coil_of_its_own_scale_is_explained_whatever_its_unit(tmp_path: Path, shipped: Ensemble) -> None:
    grey = np.rint(random_matrix(1, seed=2)[0] * 127.5) / 127.5
    first = of(grey, shipped, "self")
    other = of(grey * 0.5 + 0.25, shipped, "self")
    np.testing.assert_allclose(other.p_nok, first.p_nok, atol=1e-6)
    assert first.threshold == shipped.threshold("self")


def test_what_lies_all_along_a_grey_coil_is_not_taken_for_undisturbed_strip(tmp_path: Path) -> None:
    """Without any of it the coil is a flat one: else nothing could be left out of a wedge, and it would stay NOK."""
    member = linear_ensemble(tmp_path, np.full(MATRIX_SHAPE, -0.01, dtype=np.float32), bias=-3.0, scales=("self",))
    grey = np.zeros(MATRIX_SHAPE, dtype=np.float32)
    grey[:, :6] = -1.0
    grey[0, 17] = 1.0
    found = of(grey, member, "self")
    flat = of(np.zeros(MATRIX_SHAPE, dtype=np.float32), member, "self")
    assert found.undisturbed_p_nok == pytest.approx(flat.base_p_nok)
    assert found.p_nok_without_regions < 0.5 < found.base_p_nok
    assert found.p_nok[0, :, 0].min() > 0


def test_a_long_disturbance_of_a_grey_coil_is_not_taken_for_its_band(tmp_path: Path) -> None:
    """A sensor that is disturbed for most of the coil."""
    member = linear_ensemble(tmp_path, np.full(MATRIX_SHAPE, -0.01, dtype=np.float32), scales=("self",))
    grey = np.zeros(MATRIX_SHAPE, dtype=np.float32)
    grey[40:220, 4] = -1.0
    grey[0, 17] = 1.0
    found = of(grey, member, "self")
    assert found.p_nok[0, 4:19, 1].min() > 0
    assert not np.any(found.p_nok[1, 1:])


def test_a_member_of_its_own_scale_sees_the_rest_of_a_coil_as_it_was(tmp_path: Path) -> None:
    """The deepest place sets the stretch of the whole coil: what it does must not be told as what the others do."""
    weights = np.zeros(MATRIX_SHAPE, dtype=np.float32)
    weights[:, SENSORS_PER_FACE:] = -0.01  # looks at the bottom face only
    member = linear_ensemble(tmp_path, weights, scales=("self",))
    coil = disturbed((slice(30, 40), slice(0, 3)), by=-0.9) + disturbed((slice(150, 160), slice(9, 12)), by=-0.2)
    found = of(coil, member)
    assert not np.any(found.p_nok[0])
    assert found.p_nok[1, 13:15, 0].max() > 0


def test_the_score_falls_sooner_in_the_order_of_the_explanation(shipped: Ensemble) -> None:
    coil = disturbed((slice(110, 150), slice(9, 18)), (slice(20, 40), slice(0, 9)), by=-0.1)
    coil += np.random.default_rng(1).normal(0, 0.002, MATRIX_SHAPE).astype(np.float32)
    batch = batch_of(coil[None])
    order = np.argsort(-explain(batch, shipped).p_nok, axis=None, kind="stable")
    falls, backwards = (deletion_curve(batch, shipped, one) for one in (order, order[::-1]))
    assert falls[0] == pytest.approx(backwards[0])
    assert falls[-1] == pytest.approx(backwards[-1], abs=1e-6)
    assert falls.mean() < backwards.mean() - 0.1


def test_a_combination_other_than_the_mean_is_explained_too(linear: Ensemble, weights: Float32Array) -> None:
    one = linear.members[0]
    union = linear.manifest.model_copy(update={"combine": "union", "member_thresholds": (0.25,)})
    stricter = dataclasses.replace(linear, manifest=union)
    coil = disturbed((slice(30, 60), slice(0, 9)), by=2.0)
    found = of(coil, stricter)
    assert isinstance(one, Bundle)
    assert found.base_p_nok == pytest.approx(float(stricter.score(batch_of(coil[None])).p_nok[0]), abs=1e-6)
    np.testing.assert_array_equal(np.sign(found.p_nok), np.sign(of(coil, linear).p_nok))


def test_several_coils_are_refused(linear: Ensemble) -> None:
    with pytest.raises(ValueError, match="expected one coil, got 2"):
        explain(batch_of(random_matrix(2)), linear)


def test_places_that_do_not_decide_are_not_told_as_if_they_did(tmp_path: Path) -> None:
    """Without them the coil may be NOK all the same: whoever reads the first sentence has to know."""
    weights = np.full(MATRIX_SHAPE, -0.02, dtype=np.float32)
    coil = disturbed((slice(30, 60), slice(0, 9)), by=-0.5)
    said = {}
    for bias in (1.0, -1.0):
        ensemble = linear_ensemble(tmp_path / str(bias), weights, bias=bias)
        said[bias] = explain_coil(batch_of(coil[None]), ensemble, shipped_kinds()).text
    assert said[1.0].endswith(" with undisturbed strip at this place, NOK still: the rest speaks for it too")
    assert said[-1.0].endswith(" with undisturbed strip at this place")
