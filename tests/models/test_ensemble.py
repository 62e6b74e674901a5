"""Promises of an ensemble."""

import json
import subprocess
import sys
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pytest

from models.ensemble import ENSEMBLE, Ensemble, combine, load_ensemble, write_ensemble
from models.scales import to_self_scale
from schemas.bundles import EnsembleManifest
from schemas.coils import Limits
from schemas.errors import BundleError
from tests.models.coils import LIMITS, batch_of, random_matrix, write_mean_bundle


def _write(root: Path, *, with_self: bool = True, limits: Limits = LIMITS) -> Path:
    members = [
        write_mean_bundle(root / "a", factor=-20.0),
        write_mean_bundle(root / "b", factor=-5.0),
        *([write_mean_bundle(root / "c", factor=-10.0, scale="self")] if with_self else []),
    ]
    write_ensemble(
        root / "ensemble",
        name="test",
        version="7",
        members=members,
        thresholds={"limits": 0.4, "self": 0.6},
        limits=limits,
    )
    return root / "ensemble"


@pytest.fixture
def ensemble(tmp_path: Path) -> Ensemble:
    return load_ensemble(_write(tmp_path), threads=1)


def test_the_score_is_the_mean_of_the_members(ensemble: Ensemble) -> None:
    scores = ensemble.score(batch_of(random_matrix(5)))
    assert scores.member_p_nok.shape == (5, 3)
    np.testing.assert_allclose(scores.p_nok, scores.member_p_nok.mean(axis=1))
    assert (scores.ensemble_version, scores.threshold, scores.skipped) == ("7", 0.4, ())
    assert [m.model for m in scores.members] == ["a", "b", "c"]


def test_a_self_member_rescales_a_limits_batch(ensemble: Ensemble) -> None:
    matrix = random_matrix(4)
    expected = 1 / (1 + np.exp(10.0 * to_self_scale(matrix).mean(axis=(1, 2))))
    np.testing.assert_allclose(ensemble.score(batch_of(matrix)).member_p_nok[:, 2], expected, atol=1e-6)


def test_a_limits_member_is_skipped_on_a_self_batch_and_named(ensemble: Ensemble) -> None:
    scores = ensemble.score(batch_of(random_matrix(4), "self"))
    assert [m.model for m in scores.members] == ["c"]
    assert scores.skipped == ("a", "b")
    assert scores.threshold == 0.6


def test_an_ensemble_without_a_member_for_the_scale_says_so(tmp_path: Path) -> None:
    ensemble = load_ensemble(_write(tmp_path, with_self=False), threads=1)
    with pytest.raises(BundleError, match="no member of ensemble 7 takes scale self"):
        ensemble.score(batch_of(random_matrix(1), "self"))


def test_no_coils_give_no_scores(ensemble: Ensemble) -> None:
    scores = ensemble.score(batch_of(random_matrix(2)).slice(0, 0))
    assert scores.p_nok.shape == (0,)
    assert scores.member_p_nok.shape == (0, 3)


def test_a_batch_of_both_scales_is_refused(ensemble: Ensemble) -> None:
    mixed = pa.concat_batches([batch_of(random_matrix(1)), batch_of(random_matrix(1), "self")])
    with pytest.raises(ValueError, match="mixes the scales limits, self"):
        ensemble.score(mixed)


def test_a_replaced_member_is_refused(tmp_path: Path) -> None:
    folder = _write(tmp_path)
    manifest = json.loads((folder / "a" / "manifest.json").read_bytes())
    (folder / "a" / "manifest.json").write_text(json.dumps(manifest | {"version": "2"}))
    with pytest.raises(BundleError, match=r"a/manifest.json: its SHA-256 is not the one in ensemble.json"):
        load_ensemble(folder, threads=1)


def test_a_member_of_other_limits_is_refused(tmp_path: Path) -> None:
    folder = _write(tmp_path, limits=Limits(low=-1.0, high=1.0))
    with pytest.raises(BundleError, match="trained on limits"):
        load_ensemble(folder, threads=1)


def test_a_member_outside_the_folder_is_refused(tmp_path: Path) -> None:
    folder = _write(tmp_path)
    manifest = EnsembleManifest.model_validate_json((folder / ENSEMBLE).read_bytes())
    manifest = manifest.model_copy(update={"members": (PurePosixPath("../a"),)})
    (folder / ENSEMBLE).write_text(manifest.model_copy(update={"digest": manifest.own_digest()}).model_dump_json())
    with pytest.raises(BundleError, match="outside the ensemble's folder"):
        load_ensemble(folder, threads=1)


def test_a_missing_ensemble_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"ensemble.json cannot be read") as caught:
        load_ensemble(tmp_path, threads=1)
    assert caught.value.remedy


def test_the_confidence_sum_decides_as_the_pilots_code_does() -> None:
    p_nok = np.random.default_rng(0).random((500, 3))
    expected = []
    for row in p_nok:  # the pilot's code, as FACTS section 4 tells it
        sums = {"OK": 0.0, "NOK": 0.0}
        for p in row:
            sums["NOK" if p > 0.5 else "OK"] += abs((1 - p) - p)
        expected.append(sums["NOK"] > sums["OK"])
    np.testing.assert_array_equal(combine(p_nok, "confidence_sum") >= 0.5, expected)


def test_a_tie_of_confidences_is_ok() -> None:
    combined = combine(np.array([[0.25, 0.75], [0.5, 0.5]]), "confidence_sum")
    assert (combined < 0.5).all()


def test_serving_imports_no_torch() -> None:
    program = (
        "import sys, models.ensemble, models.evaluation\n"
        "models.ensemble.load_ensemble(None, threads=1)\n"
        "heavy = {'torch', 'torchvision', 'ultralytics', 'onnx', 'sklearn', 'scipy', 'pandas'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("old", "new"), [('"limits": 0.4', '"limits": 0.1'), ('"mean"', '"confidence_sum"')])
def test_an_ensemble_whose_rule_was_altered_is_refused(tmp_path: Path, old: str, new: str) -> None:
    file = _write(tmp_path) / ENSEMBLE
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(BundleError, match="the file was altered"):
        load_ensemble(file.parent, threads=1)
