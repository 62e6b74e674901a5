"""Promises of cached features, and of changed copies where torch is absent."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from models.augment import augment
from models.augment_numpy import changed_copies
from models.bundle import Bundle, load_bundle
from models.data_spec import Augmentation
from models.features import FeatureCache, features
from models.network_spec import NetworkOptions
from schemas.errors import BundleError
from tests.models.coils import random_matrix, write_mean_bundle
from tests.models.networks_exported import untrained, write_untrained

STILL = Augmentation(mirror=0, noise=0, shift_rows=0)
MATRIX = random_matrix(20)
SPREAD = np.abs(random_matrix(20, seed=1)).astype(np.float32)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    model = untrained("cnn10", NetworkOptions(channels="matrix_and_spread"))
    return load_bundle(write_untrained(tmp_path_factory.mktemp("bundle") / "m", model), threads=1)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(folder=tmp_path / "cache", backbone="b" * 64)


def test_features_do_not_depend_on_the_coils_beside(bundle: Bundle) -> None:
    together = features(bundle, MATRIX, SPREAD)
    assert together.shape == (20, 128)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together[7:8], features(bundle, MATRIX[7:8], SPREAD[7:8]), atol=1e-5)


def test_what_is_kept_is_what_was_computed_and_is_not_computed_again(bundle: Bundle, cache: FeatureCache) -> None:
    first = features(bundle, MATRIX, SPREAD, cache=cache)
    (file,) = _files(cache)
    np.testing.assert_array_equal(features(bundle, MATRIX[::-1], SPREAD[::-1], cache=cache), first[::-1])
    assert _files(cache) == [file]


def test_only_new_coils_are_added(bundle: Bundle, cache: FeatureCache) -> None:
    features(bundle, MATRIX[:12], SPREAD[:12], cache=cache)
    sizes = {file: file.stat().st_size for file in _files(cache)}
    features(bundle, MATRIX, SPREAD, cache=cache)
    (added,) = set(_files(cache)) - set(sizes)
    assert added.stat().st_size < max(sizes.values())


def test_another_spread_or_backbone_is_another_coil(bundle: Bundle, cache: FeatureCache) -> None:
    first = features(bundle, MATRIX, SPREAD, cache=cache)
    assert np.abs(features(bundle, MATRIX, SPREAD * 0, cache=cache) - first).max() > 1e-6
    other = FeatureCache(folder=cache.folder, backbone="c" * 64)
    features(bundle, MATRIX, SPREAD, cache=other)
    assert len(_files(cache)) == 2
    assert len(_files(other)) == 1


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _altered(content: bytes) -> bytes:
    return content[:-4000] + bytes([content[-4000] ^ 1]) + content[-3999:]


@pytest.mark.parametrize("harm", [_cut, _altered, lambda _: b""], ids=["cut", "altered", "empty"])
def test_a_harmed_file_is_computed_again(bundle: Bundle, cache: FeatureCache, harm: Callable[[bytes], bytes]) -> None:
    first = features(bundle, MATRIX, SPREAD, cache=cache)
    (file,) = _files(cache)
    file.write_bytes(harm(file.read_bytes()))
    np.testing.assert_array_equal(features(bundle, MATRIX, SPREAD, cache=cache), first)
    np.testing.assert_array_equal(features(bundle, MATRIX, SPREAD, cache=cache), first)
    assert len(_files(cache)) == 1


def test_a_cache_that_cannot_be_written_is_said_with_a_remedy(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="features cannot be kept there") as caught:
        features(bundle, MATRIX, SPREAD, cache=FeatureCache(folder=tmp_path / "file", backbone="b" * 64))
    assert "without a cache" in caught.value.remedy


def test_a_graph_without_features_is_refused(tmp_path: Path) -> None:
    bundle = load_bundle(write_mean_bundle(tmp_path / "m"), threads=1)
    with pytest.raises(BundleError, match="gives no features"):
        features(bundle, MATRIX, SPREAD)


@pytest.mark.parametrize(
    "how",
    [
        STILL,
        STILL.model_copy(update={"mirror": 1.0}),
        STILL.model_copy(update={"reverse": 1.0}),
        STILL.model_copy(update={"mirror": 1.0, "reverse": 1.0}),
    ],
    ids=["still", "mirror", "reverse", "both"],
)
@pytest.mark.parametrize("grey", [False, True])
def test_what_is_not_left_to_chance_is_as_training_does_it(how: Augmentation, *, grey: bool) -> None:
    coils = np.stack([MATRIX, SPREAD], axis=1)
    by_torch = augment(torch.from_numpy(coils), how, grey=grey, generator=torch.Generator().manual_seed(0)).numpy()
    matrix, spread = _copies(how, grey=grey)
    np.testing.assert_allclose(matrix, by_torch[:, 0], atol=1e-6)
    np.testing.assert_array_equal(spread, by_torch[:, 1])


@pytest.mark.parametrize(
    "changes",
    [
        {"noise": 0.2},
        {"offset": 0.3},
        {"contrast": 0.6},
        {"shift_rows": 40},
        {"mirror": 0.5},
        {"reverse": 0.5},
        {"rotation_deg": 5.0},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_is_left_to_chance_changes_a_coil_about_as_much_as_training_does(changes: dict[str, float]) -> None:
    how = STILL.model_copy(update=changes)
    coils = np.stack([MATRIX, SPREAD], axis=1).repeat(20, axis=0)
    by_torch = augment(torch.from_numpy(coils), how, grey=False, generator=torch.Generator().manual_seed(0)).numpy()
    matrix, _ = _copies(how, copies=20)
    ours, theirs = (np.abs(new - coils[:, 0]).mean() for new in (matrix, by_torch[:, 0]))
    assert ours == pytest.approx(theirs, rel=0.2)
    assert ours > 0.01


def test_copies_follow_from_seed_and_coil_alone() -> None:
    how = Augmentation(reverse=0.5, contrast=0.2)
    whole, _ = _copies(how, copies=2)
    part, _ = changed_copies(MATRIX[5:], SPREAD[5:], _revisions()[5:], how, copies=2, grey=False, seed=3)
    np.testing.assert_array_equal(whole[10:], part)
    assert np.abs(whole[0] - whole[1]).max() > 0
    other, _ = changed_copies(MATRIX, SPREAD, _revisions(), how, copies=2, grey=False, seed=4)
    assert np.abs(whole - other).max() > 0


def _copies(how: Augmentation, *, copies: int = 1, grey: bool = False) -> tuple[np.ndarray, np.ndarray]:
    return changed_copies(MATRIX, SPREAD, _revisions(), how, copies=copies, grey=grey, seed=3)


def _revisions() -> list[str]:
    return [f"{place:064x}" for place in range(len(MATRIX))]


def _files(cache: FeatureCache) -> list[Path]:
    return sorted((cache.folder / cache.backbone).iterdir())
