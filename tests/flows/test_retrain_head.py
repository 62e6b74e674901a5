"""Promises of a head that is retrained from features alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from rich.progress import Progress

from flows.population import Population, simulated
from flows.retrain_head import retrain_head
from flows.split import Split, split
from flows.train import train_on
from models.bundle import Bundle, load_bundle
from models.data_spec import DataSpec, SimulatedData
from models.ensemble import load_ensemble
from models.spec import TrainSpec
from schemas.coils import Limits
from schemas.errors import BundleError, SpecError
from schemas.matrices import tensor_values
from tests.models.coils import LIMITS, write_mean_bundle

DATA = SimulatedData(coils=120, seed=3)
SPEC = TrainSpec(name="tiny", kind="cnn5", data=DataSpec(simulate=DATA), epochs=2, batch=16, seed=1)


@pytest.fixture(scope="module")
def population() -> Population:
    return simulated(DATA, LIMITS)


@pytest.fixture(scope="module")
def later() -> Population:
    """Coils of another day."""
    return simulated(SimulatedData(coils=120, seed=4), LIMITS)


@pytest.fixture(scope="module")
def parent(population: Population, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    torch.set_num_threads(1)
    return load_bundle(train_on(SPEC, population, tmp_path_factory.mktemp("parents") / "tiny"), threads=1)


@pytest.fixture(scope="module")
def child(parent: Bundle, later: Population, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("children") / "tiny"
    return load_bundle(retrain_head(parent.folder, later, out, seed=5), threads=1)


def _coils(population: Population) -> tuple[np.ndarray, np.ndarray]:
    return tensor_values(population.batch), tensor_values(population.batch, "spread")


def _parts(population: Population) -> Split:
    """As full training of the parent's specification divides the coils."""
    return split(population, validation_share=SPEC.validation_share, holdout_share=SPEC.holdout_share)


def test_the_features_are_the_parents_and_the_verdicts_are_not(
    parent: Bundle, child: Bundle, later: Population
) -> None:
    coils = _coils(later)
    np.testing.assert_array_equal(child.features(*coils), parent.features(*coils))
    assert np.abs(child.p_nok(*coils) - parent.p_nok(*coils)).max() > 0.01
    assert child.verify() <= 1e-6


def test_the_manifest_says_whose_features_and_which_coils(parent: Bundle, child: Bundle, later: Population) -> None:
    before, after = parent.manifest, child.manifest
    assert after.parent == f"tiny@{before.version}"
    assert after.version != before.version
    assert after.training.weights == f"head on features of tiny@{before.version}"
    assert after.training.data_digest == later.digest()
    assert after.training.spec == {**before.training.spec, "seed": 5, "data": {"source": later.source}}
    assert after.training.device == "cpu"
    assert (after.name, after.kind, after.scale, after.limits_version) == (
        before.name,
        before.kind,
        before.scale,
        before.limits_version,
    )
    assert "torch" not in after.libraries


def test_the_metrics_are_those_of_the_graph_on_the_holdout(child: Bundle, later: Population) -> None:
    holdout = _parts(later).holdout
    called = child.p_nok(*_coils(later))[holdout] >= child.manifest.threshold
    assert child.manifest.metrics["n"] == len(holdout)
    assert child.manifest.metrics["accuracy"] == pytest.approx(np.mean(called == later.is_nok[holdout]))


def test_a_new_head_tells_labels_apart_on_coils_of_its_day(child: Bundle, later: Population) -> None:
    learnt = _parts(later).training
    p_nok, is_nok = child.p_nok(*_coils(later))[learnt], later.is_nok[learnt]
    assert p_nok[is_nok].mean() > p_nok[~is_nok].mean() + 0.1


def test_the_same_coils_and_seed_give_the_same_version_with_a_cache_or_without(
    child: Bundle, parent: Bundle, later: Population, tmp_path: Path
) -> None:
    for name in ("first", "from_cache"):
        again = retrain_head(parent.folder, later, tmp_path / name, seed=5, cache=tmp_path / "cache")
        assert load_bundle(again, threads=1).manifest.version == child.manifest.version


def test_a_retrained_bundle_is_a_parent_too_and_shares_the_cache(
    parent: Bundle, later: Population, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    first = retrain_head(parent.folder, later, tmp_path / "first", seed=5, cache=cache)
    files = sorted(cache.rglob("*.arrow"))
    second = retrain_head(first, later, tmp_path / "second", seed=5, cache=cache)
    assert sorted(cache.rglob("*.arrow")) == files
    manifests = [load_bundle(folder, threads=1).manifest for folder in (first, second)]
    assert manifests[1].parent == f"tiny@{manifests[0].version}"
    assert manifests[1].version == manifests[0].version  # nothing else changed


def test_coils_of_other_limits_are_refused(parent: Bundle, tmp_path: Path) -> None:
    other = simulated(DATA, Limits(low=-50.0, high=50.0))
    with pytest.raises(SpecError, match=f"tiny was trained on {LIMITS.version}"):
        retrain_head(parent.folder, other, tmp_path / "m", seed=0)


def test_a_parent_without_a_linear_head_is_refused(later: Population, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not end in one linear head"):
        retrain_head(write_mean_bundle(tmp_path / "mean"), later, tmp_path / "m", seed=0)


def test_grey_levels_are_refused_for_a_parent_on_scale_limits(
    parent: Bundle, population: Population, tmp_path: Path
) -> None:
    grey = Population(batch=population.batch, limits=None, source="grey.parquet")
    with pytest.raises(SpecError, match="grey levels have no limits, and tiny takes scale limits"):
        retrain_head(parent.folder, grey, tmp_path / "m", seed=0)


def test_the_shipped_bundles_of_either_scale_can_be_retrained(tmp_path: Path) -> None:
    shipped = load_ensemble(None, threads=1)
    coils = simulated(SimulatedData(coils=70, seed=8), shipped.limits)
    for member in shipped.members:
        child = load_bundle(retrain_head(member.folder, coils, tmp_path / member.manifest.name, seed=0), threads=1)
        assert child.manifest.parent == f"{member.manifest.name}@{member.manifest.version}"
        assert (child.manifest.scale, child.manifest.limits_version) == (
            member.manifest.scale,
            member.manifest.limits_version,
        )
        assert child.has_features


def test_progress_ends_when_every_coil_has_its_features(parent: Bundle, later: Population, tmp_path: Path) -> None:
    with Progress(disable=True) as bar:
        for name in ("first", "from_cache"):
            retrain_head(parent.folder, later, tmp_path / name, seed=5, cache=tmp_path / "cache", progress=bar)
        assert all(task.finished for task in bar.tasks)


def test_an_existing_folder_is_not_overwritten(parent: Bundle, later: Population, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="exists already"):
        retrain_head(parent.folder, later, tmp_path, seed=0)
