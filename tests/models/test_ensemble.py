"""Promises of an ensemble."""

import json
import subprocess
import sys
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pytest

from models.combine import MEAN, Rule
from models.ensemble import ENSEMBLE, SHIPPED, Ensemble, load_ensemble, write_ensemble
from models.scales import to_self_scale
from schemas.bundles import EnsembleManifest
from schemas.coils import Limits
from schemas.errors import BundleError
from schemas.matrices import Scale
from tests.models.coils import LIMITS, batch_of, random_matrix, write_mean_bundle

SCALES: tuple[Scale, ...] = ("limits", "self")


def _write(
    root: Path,
    *,
    with_self: bool = True,
    limits: Limits = LIMITS,
    how: Rule = MEAN,
    guard: Path | None = None,
) -> Path:
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
        how=how,
        guard=guard,
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


def test_the_shipped_manifest_keeps_its_digest_and_its_bytes() -> None:
    text = (SHIPPED / ENSEMBLE).read_text()
    manifest = EnsembleManifest.model_validate_json(text)
    assert manifest.own_digest() == manifest.digest == json.loads(text)["digest"]
    assert manifest.model_dump_json(indent=2, exclude_none=True) + "\n" == text


WEIGHTED = Rule(how="weighted", weights=(0.5, 0.3, 0.2))
STACKING = Rule(how="stacking", weights=(0.8, 0.0, 1.1), intercept=-0.4)


def test_fitted_parameters_are_served_as_they_were_written(tmp_path: Path) -> None:
    ensemble = load_ensemble(_write(tmp_path, how=WEIGHTED), threads=1)
    scores = ensemble.score(batch_of(random_matrix(6)))
    np.testing.assert_allclose(scores.p_nok, scores.member_p_nok @ [0.5, 0.3, 0.2])
    assert ensemble.rule.weights == WEIGHTED.weights


@pytest.mark.parametrize("how", [MEAN, WEIGHTED, STACKING, Rule(how="union", thresholds=(0.1, 0.2, 0.3))])
def test_an_ensemble_hands_on_how_its_members_decide(tmp_path: Path, how: Rule) -> None:
    first = load_ensemble(_write(tmp_path / "first", how=how), threads=1)
    second = load_ensemble(_write(tmp_path / "second", how=first.rule), threads=1)
    assert second.rule == first.rule == how


def test_stacking_serves_the_mean_of_what_is_left_on_a_self_batch_and_says_so(tmp_path: Path) -> None:
    ensemble = load_ensemble(_write(tmp_path, how=STACKING), threads=1)
    whole, rest = (ensemble.score(batch_of(random_matrix(6), scale)) for scale in SCALES)
    odds = np.log(whole.member_p_nok / (1 - whole.member_p_nok)) @ STACKING.weights - 0.4
    np.testing.assert_allclose(whole.p_nok, 1 / (1 + np.exp(-odds)))
    np.testing.assert_allclose(rest.p_nok, rest.member_p_nok[:, 0])
    assert (whole.ensemble_version, rest.ensemble_version) == ("7", "7+mean")


def test_a_union_takes_the_members_own_thresholds_unless_told_others(tmp_path: Path) -> None:
    own = load_ensemble(_write(tmp_path / "own", how=Rule(how="union")), threads=1)
    told = load_ensemble(_write(tmp_path / "told", how=Rule(how="union", thresholds=(0.1, 0.2, 0.3))), threads=1)
    assert own.rule.thresholds == (0.5, 0.5, 0.5)
    assert told.rule.thresholds == (0.1, 0.2, 0.3)


def test_a_fitted_ensemble_can_be_asked_for_its_mean(tmp_path: Path) -> None:
    ensemble = load_ensemble(_write(tmp_path, how=STACKING), threads=1, how="mean")
    scores = ensemble.score(batch_of(random_matrix(3)))
    np.testing.assert_allclose(scores.p_nok, scores.member_p_nok.mean(axis=1))
    assert (scores.ensemble_version, scores.threshold) == ("7+mean", 0.5)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (Rule(how="weighted"), "combine weighted takes weights"),
        (Rule(how="mean", weights=(1.0, 0.0, 0.0)), "combine mean takes no weights"),
        (Rule(how="weighted", weights=(0.5, 0.5)), "weights are 2, one for each of 3 members is wanted"),
        (Rule(how="weighted", weights=(0.5, 0.5, 0.5)), "weights sum to 1.5, wanted is 1"),
        (Rule(how="stacking", weights=(1.0, -0.5, 0.1)), "weights.1: Input should be greater than or equal to 0"),
        (Rule(how="union", thresholds=(0.5,)), "member_thresholds are 1, one for each of 3"),
        (Rule(how="mean", thresholds=(0.5, 0.5, 0.5)), "combine mean takes no member_thresholds"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(tmp_path: Path, how: Rule, said: str) -> None:
    with pytest.raises(BundleError, match=f"ensemble test: .*{said}"):
        _write(tmp_path, how=how)
    assert not (tmp_path / "ensemble").exists()


def test_an_intercept_without_stacking_is_refused() -> None:
    given = json.loads((SHIPPED / ENSEMBLE).read_text()) | {"intercept": 0.1}
    with pytest.raises(ValueError, match="takes no intercept"):
        EnsembleManifest.model_validate(given)


def test_a_guard_speaks_of_each_coil_and_never_votes(tmp_path: Path) -> None:
    guard = write_mean_bundle(tmp_path / "guard", factor=-30.0, scale="self")
    guarded = load_ensemble(_write(tmp_path / "with", guard=guard), threads=1)
    plain = load_ensemble(_write(tmp_path / "without"), threads=1)
    for scale in SCALES:
        batch = batch_of(random_matrix(20), scale)
        scores, without = guarded.score(batch), plain.score(batch)
        np.testing.assert_array_equal(scores.p_nok, without.p_nok)
        assert (scores.members, scores.skipped) == (without.members, without.skipped)
        assert scores.anomaly is not None
        assert (scores.anomaly.guard.model, scores.anomaly.threshold) == ("guard", 0.5)
        assert scores.anomaly.p_nok.shape == (20,)
        assert without.anomaly is None
    assert set(guarded.verify()) == {"a", "b", "c", "guard"}


def test_a_guard_that_cannot_take_the_scale_is_named_as_skipped(tmp_path: Path) -> None:
    guard = write_mean_bundle(tmp_path / "guard")
    ensemble = load_ensemble(_write(tmp_path, guard=guard), threads=1)
    scores = ensemble.score(batch_of(random_matrix(2), "self"))
    assert scores.anomaly is None
    assert scores.skipped == ("a", "b", "guard")


def test_a_replaced_guard_is_refused(tmp_path: Path) -> None:
    folder = _write(tmp_path, guard=write_mean_bundle(tmp_path / "guard"))
    manifest = json.loads((folder / "guard" / "manifest.json").read_bytes())
    (folder / "guard" / "manifest.json").write_text(json.dumps(manifest | {"threshold": 1.0}))
    with pytest.raises(BundleError, match=r"guard/manifest.json: its SHA-256 is not the one in ensemble.json"):
        load_ensemble(folder, threads=1)


def test_a_guard_that_votes_is_refused(tmp_path: Path) -> None:
    folder = _write(tmp_path)
    with pytest.raises(BundleError, match="guard a is a member too"):
        write_ensemble(
            tmp_path / "other",
            name="test",
            version="7",
            members=[folder / "a"],
            thresholds={"limits": 0.5},
            limits=LIMITS,
            guard=folder / "a",
        )


def test_two_members_of_one_folder_name_are_refused_rather_than_one_lost(tmp_path: Path) -> None:
    first = write_mean_bundle(tmp_path / "x" / "a", factor=-20.0)
    second = write_mean_bundle(tmp_path / "y" / "a", factor=-5.0)
    with pytest.raises(BundleError, match="two of its members lie in folders named a"):
        write_ensemble(
            tmp_path / "ensemble",
            name="test",
            version="7",
            members=[first, second],
            thresholds={"limits": 0.4},
            limits=LIMITS,
        )
    assert not (tmp_path / "ensemble").exists()
