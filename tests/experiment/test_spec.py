"""Promises of an experiment's specification."""

from pathlib import Path

import pytest

import flows.experiment
from flows.experiment.spec import model_trees, read_experiment, sweep_of, train_spec
from schemas.errors import SpecError
from tests.experiment.tiny import TINY, read, spec_of

SPECS = sorted((Path(flows.experiment.__file__).parent / "specs").glob("*.yaml"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fold": 3}, "key fold"),
        ({"folds": 1}, "key folds"),
        ({"train_folds": 3}, "train_folds is 3 of 2 folds"),
        ({"train_folds": 0}, "key train_folds"),
        ({"models": {}}, "give models, a sweep, or both"),
        ({"models": {"a": {"kind": "cnn11"}}, "ensembles": {}, "compare": []}, "key models.a: kind"),
        ({"models": {"a": {"kind": "cnn3", "epoch": 3}}, "ensembles": {}, "compare": []}, "key models.a: epoch"),
        ({"base": {"seed": 3}}, "base: seed cannot be set here"),
        ({"base": {"holdout_share": 0.1}}, "base: holdout_share cannot be set here"),
        ({"base": {"parent": "runs/a"}}, "base: parent cannot be set here"),
        ({"base": {"threshold": {"rule": "profile"}}}, "key threshold.rule of shallow"),
        ({"sweep": {"validation_share": [0.1, 0.2]}}, "validation_share belongs in base"),
        ({"compare": [["shallow", "deep"]]}, "compare: deep is not among shallow, rule, both"),
        ({"ensembles": {"both": {"members": ["shallow", "deep"]}}}, "ensembles.both.members: deep is no model"),
        ({"ensembles": {"both": {"members": ["shallow", "rule"], "top_k": 3}}}, "ensembles.both.top_k is 3 of 2"),
        ({"ensembles": {"rule": {"members": ["shallow", "rule"]}}}, "the name rule is taken twice"),
        ({"gold": [{"name": "folds", "data": {"source": "x"}}]}, "the name folds is taken twice"),
        ({"train_share": [0.5, 1.5]}, "key train_share.1"),
        ({"parallel": {"where": "moon"}}, "key parallel.where"),
    ],
)
def test_a_wrong_specification_is_refused_with_its_key(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, {**TINY, **changes})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_specification_of_the_repository_expands_to_models(path: Path) -> None:
    spec = read_experiment(path)
    assert spec.name == path.stem
    assert spec.description
    assert all(train_spec(spec, name, seed=1).seed == 1 for name in model_trees(spec))
    assert {one.name for one in spec.gold} == {"gold60", "gold2000"}


def test_the_repository_has_the_studys_tables_and_what_it_names_but_did_not_run() -> None:
    assert {path.stem for path in SPECS} == {
        *("freeze_sweep", "size_sweep", "families", "conv_depth", "norm", "pooling", "references", "augmentation"),
        *("native_vs_square", "ensemble_of_three", "half_data"),
        *("adaptation", "transfer_and_contrastive", "anomaly", "synthesis", "study"),
    }


@pytest.mark.parametrize("how", ["mean", "union"])
def test_an_ensemble_whose_members_have_different_threshold_rules_is_refused(tmp_path: Path, how: str) -> None:
    models = {"shallow": {"kind": "cnn3"}, "rule": {"kind": "rule", "threshold": {"rule": "costs"}}}
    ensembles = {"both": {"members": ["shallow", "rule"], "combine": how}}
    with pytest.raises(SpecError, match=r"key ensembles\.both: .* shallow and rule have different ones") as caught:
        read(tmp_path, {**TINY, "models": models, "ensembles": ensembles})
    assert "threshold in base" in caught.value.remedy


def test_a_sweep_is_every_combination() -> None:
    made = sweep_of({"kind": ["yolov8n-cls", "yolov8s-cls"], "network.freeze": [0, 5, 9]})
    assert list(made)[:2] == ["yolov8n-freeze0", "yolov8n-freeze5"]
    assert len(made) == 6
    assert made["yolov8s-freeze9"] == {"kind": "yolov8s-cls", "network": {"freeze": 9}}


def test_what_a_model_says_wins_over_the_base_key_by_key() -> None:
    spec = spec_of(
        base={"epochs": 3, "augment": {"noise": 0.1, "mirror": 0.2}},
        models={"a": {"kind": "cnn3", "augment": {"noise": 0.3}}},
        ensembles={},
        compare=[],
    )
    trained = train_spec(spec, "a", seed=4)
    assert (trained.epochs, trained.augment.noise, trained.augment.mirror, trained.seed) == (3, 0.3, 0.2, 4)


def test_a_specification_extends_another_and_never_itself(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("extends: other.yaml\nname: mine\n")
    (tmp_path / "other.yaml").write_text("extends: spec.yaml\nname: other\n")
    with pytest.raises(SpecError, match="comes back to itself"):
        read_experiment(tmp_path / "spec.yaml")
    (tmp_path / "other.yaml").write_text(
        "name: other\nfolds: 4\ndata: {simulate: {coils: 90, seed: 1}}\nmodels: {a: {kind: cnn3}}\n"
    )
    spec = read_experiment(tmp_path / "spec.yaml")
    assert (spec.name, spec.folds, list(spec.models)) == ("mine", 4, ["a"])


def test_half_data_and_learning_curves_are_subjects_of_their_own() -> None:
    spec = spec_of(train_share=[1.0, 0.5], learning_curve=[20], ensembles={}, compare=[["shallow", "shallow@20"]])
    assert spec.subjects() == ("shallow", "rule", "shallow@0.5", "rule@0.5", "shallow@20", "rule@20")
