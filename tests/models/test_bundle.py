"""Promises of a bundle on disk."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.bundle import GOLDEN, MANIFEST, MODEL, load_bundle, sha256, write_folder
from schemas.errors import BundleError
from tests.models.coils import mean_model, random_matrix, write_mean_bundle


def test_what_was_written_is_loaded_and_scores(tmp_path: Path) -> None:
    bundle = load_bundle(write_mean_bundle(tmp_path / "m", factor=-20.0), threads=1)
    matrix = random_matrix(3)
    expected = 1 / (1 + np.exp(20.0 * matrix.mean(axis=(1, 2))))
    np.testing.assert_allclose(bundle.p_nok(matrix, np.zeros_like(matrix)), expected, atol=1e-6)
    assert bundle.verify() <= 1e-6


@pytest.mark.parametrize("name", [MODEL, GOLDEN])
def test_a_file_with_a_wrong_digest_is_refused_in_one_sentence_with_a_remedy(tmp_path: Path, name: str) -> None:
    folder = write_mean_bundle(tmp_path / "m")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))
    with pytest.raises(
        BundleError, match=rf"{name}: SHA-256 is .* the manifest says .* the file was altered"
    ) as caught:
        load_bundle(folder, threads=1)
    assert "\n" not in str(caught.value)
    assert "restore it" in caught.value.remedy


@pytest.mark.parametrize("name", [MODEL, GOLDEN, MANIFEST])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_mean_bundle(tmp_path / "m")
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"{name} cannot be read"):
        load_bundle(folder, threads=1)


def test_a_manifest_with_an_unknown_key_is_refused_by_its_name(tmp_path: Path) -> None:
    folder = write_mean_bundle(tmp_path / "m")
    _change_manifest(folder, thresold=0.4)
    with pytest.raises(BundleError, match="thresold"):
        load_bundle(folder, threads=1)


def test_a_manifest_cannot_name_files_outside_its_folder(tmp_path: Path) -> None:
    folder = write_mean_bundle(tmp_path / "m")
    _change_manifest(folder, files={"../secret": "0" * 64})
    with pytest.raises(BundleError, match="not a plain file name"):
        load_bundle(folder, threads=1)


def test_a_model_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    folder = write_mean_bundle(tmp_path / "m")
    _replace_model(folder, b"no model")
    with pytest.raises(BundleError, match="ONNX Runtime cannot load it"):
        load_bundle(folder, threads=1)


def test_a_graph_with_other_inputs_is_refused(tmp_path: Path) -> None:
    folder = write_mean_bundle(tmp_path / "m")
    _replace_model(folder, mean_model(1.0).replace(b"matrix", b"images"))
    with pytest.raises(BundleError, match=r"expected matrix and perhaps spread float \[N, 264, 18\]"):
        load_bundle(folder, threads=1)


def test_a_model_that_disagrees_with_its_golden_outputs_is_refused(tmp_path: Path) -> None:
    bundle = load_bundle(write_mean_bundle(tmp_path / "m", off_by=2e-4), threads=1)
    with pytest.raises(BundleError, match="canary coils differ from their golden outputs by"):
        bundle.verify()


def test_a_bundle_is_never_written_over_another(tmp_path: Path) -> None:
    write_mean_bundle(tmp_path / "m")
    with pytest.raises(BundleError, match="exists already"):
        write_mean_bundle(tmp_path / "m")


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_folder(tmp_path / "m", {"a": b"1", "b": "text"})  # type: ignore[dict-item]
    assert list(tmp_path.iterdir()) == []


def _change_manifest(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(json.dumps(manifest | changes))


def _replace_model(folder: Path, model: bytes) -> None:
    (folder / MODEL).write_bytes(model)
    manifest = json.loads((folder / MANIFEST).read_bytes())
    _change_manifest(folder, files=manifest["files"] | {MODEL: sha256(model)})
