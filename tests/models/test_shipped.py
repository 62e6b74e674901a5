"""Promises of the ensemble that comes with coilflow."""

import re
from collections.abc import Sequence

import numpy as np
import pytest

from models.bundle import MODEL
from models.ensemble import SHIPPED, Ensemble, load_ensemble
from schemas.matrices import Scale
from tests.models.coils import batch_of, random_matrix

MAX_BYTES = 15_000_000


@pytest.fixture(scope="module")
def shipped() -> Ensemble:
    return load_ensemble(None, threads=2)


def test_golden_outputs_of_every_member_are_met(shipped: Ensemble) -> None:
    assert max(shipped.verify().values()) <= 1e-4


def test_there_are_three_kinds_and_a_member_for_grey_levels(shipped: Ensemble) -> None:
    manifests = [member.manifest for member in shipped.members]
    assert {"yolov8n-cls", "cnn10", "cnn1d"} <= {m.kind for m in manifests if m.scale == "limits"}
    assert any(m.scale == "self" for m in manifests)
    assert next(m.input_form for m in manifests if m.kind == "yolov8n-cls") == "native_288x32"


def test_it_is_small_enough_to_come_with_the_wheel() -> None:
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*") if file.is_file()) <= MAX_BYTES


def test_its_members_beat_chance_on_their_holdout_with_an_interval(shipped: Ensemble) -> None:
    for member in shipped.members:
        low, high = member.manifest.metrics["ci95"]["roc_auc"]
        assert 0.8 < low <= member.manifest.metrics["roc_auc"] <= high


def test_its_models_tell_nothing_of_the_machine_they_were_built_on() -> None:
    for file in SHIPPED.rglob(MODEL):
        assert re.search(rb"[\w/]{4,}\.py", file.read_bytes()) is None


@pytest.mark.parametrize("scale", ["limits", "self"])
@pytest.mark.parametrize("sizes", [[1] * 40, [16, 16, 8], [7, 33]])
def test_a_score_does_not_depend_on_the_coils_beside_it(shipped: Ensemble, scale: Scale, sizes: Sequence[int]) -> None:
    batch = batch_of(random_matrix(40), scale)
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    parts = [shipped.score(batch.slice(start, size)).p_nok for start, size in zip(starts, sizes, strict=True)]
    np.testing.assert_allclose(np.concatenate(parts), shipped.score(batch).p_nok, rtol=0, atol=1e-6)


def test_extreme_matrices_get_a_probability(shipped: Ensemble) -> None:
    matrix = np.stack([np.full((264, 18), value, dtype=np.float32) for value in (-1.0, 0.0, 1.0)])
    p_nok = shipped.score(batch_of(matrix)).p_nok
    assert np.isfinite(p_nok).all()
    assert ((p_nok >= 0) & (p_nok <= 1)).all()
    assert p_nok[1] < shipped.threshold("limits") <= p_nok[0]
