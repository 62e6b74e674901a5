"""Promises of a training specification."""

from pathlib import Path

import pytest

from models.ensemble import SHIPPED
from models.objectives_spec import Threshold
from models.spec import TrainSpec, read_spec
from schemas.errors import SpecError

GOOD = "name: a\nkind: cnn10\ndata:\n  simulate: {coils: 100, seed: 1}\n"


def _read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    read_spec(path)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (GOOD + "epoch: 3\n", "epoch"),
        (GOOD + "epochs: 51\n", "epochs"),
        (GOOD.replace("cnn10", "cnn11"), "kind"),
        (GOOD.replace("seed: 1", "seed: x"), "data.simulate.seed"),
        (GOOD + "class_weight: {ok: 1, nok: -5}\n", "class_weight"),
        (GOOD + "augment: {mirror: 2}\n", "augment.mirror"),
        ("name: a\nkind: cnn10\ndata: {}\n", "data"),
        ("kind: cnn10\n", "name"),
        ("- a list\n", "the whole file"),
    ],
)
def test_a_wrong_key_is_named_in_one_sentence_with_a_remedy(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(SpecError, match=rf"spec.yaml: key {key}") as caught:
        _read(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("text", ["a: [", "\tx"])
def test_what_is_no_yaml_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SpecError, match="is no YAML") as caught:
        _read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        read_spec(tmp_path / "none.yaml")


def test_every_shipped_specification_is_one() -> None:
    names = [read_spec(path).name for path in sorted((SHIPPED.parent / "specs").glob("*.yaml"))]
    assert len(set(names)) == len(names) >= 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("loss: {gamma: 3}", "loss: gamma means nothing where kind is cross_entropy"),
        ("contrastive: {gamma: 3}", "contrastive: gamma means nothing where kind is supervised"),
        ("contrastive: {kind: asymmetric, gamma: 3}", "contrastive: gamma means nothing where kind is asymmetric"),
        ("contrastive: {kind: focal, eta: 3}", "contrastive: eta means nothing where kind is focal"),
        ("contrastive: {weight: 3}", "contrastive: weight means nothing where stages is two"),
        ("contrastive: {stages: joint, epochs: 3}", "contrastive: epochs means nothing where stages is joint"),
        ("threshold: {cost_missed: 3}", "threshold: cost_missed means nothing where rule is f1"),
        ("threshold: {rule: costs, profile: strict}", "threshold: profile means nothing where rule is costs"),
        ("threshold: {rule: false_alarms, prevalence: 0.1}", "threshold: prevalence means nothing where rule is"),
        ("threshold: {rule: profile, prevalence: 0.1}", "threshold: prevalence means nothing where rule is profile"),
        ("threshold: {most_false_alarms: 0.1}", "most_false_alarms means nothing where threshold.rule is f1"),
    ],
)
def test_a_key_that_means_nothing_beside_another_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        _read(tmp_path, f"{GOOD}{text}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("cnn10", "siamese5") + "pairs: {margin: 2}\n", "pairs: margin means nothing where loss is bce"),
        (GOOD.replace("cnn10", "rule") + "scale: self\n", "set scale: limits"),
        (GOOD.replace("cnn10", "yolov8n-cls") + "network: {freeze: 5}\n", "name network.weights or parent"),
    ],
)
def test_a_network_that_could_not_learn_what_is_asked_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        _read(tmp_path, text)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"contrastive": {"kind": "asymmetric", "eta": 9}},
        {"contrastive": {"kind": "focal", "stages": "joint", "gamma": 5}},
        {"loss": {"kind": "focal", "gamma": 3}},
        {"kind": "siamese5", "pairs": {"loss": "margin", "margin": 2}},
        {"kind": "yolov8n-cls", "network": {"freeze": 5}, "parent": "runs/a"},
        {"kind": "yolov8n-cls", "network": {"freeze": 5, "weights": "simulated"}},
        {"kind": "anomaly", "threshold": {"most_false_alarms": 0.1}},
        {"threshold": {"prevalence": 0.02}},
        {"threshold": {"rule": "costs", "prevalence": None}},
    ],
)
def test_a_specification_told_with_all_its_keys_reads_back_as_itself(changes: dict[str, object]) -> None:
    spec = TrainSpec.model_validate({"name": "a", "kind": "cnn10", "data": {"source": "line"}, **changes})
    parts = {"loss", "pairs", "contrastive", "threshold"}
    told = {key: value for key, value in spec.model_dump(mode="json", include=parts).items() if key in changes}
    assert TrainSpec.model_validate({**spec.model_dump(mode="json", exclude=parts, exclude_unset=True), **told}) == spec


def test_prevalence_is_the_coils_own_for_f1_and_the_lines_for_costs_unless_given() -> None:
    rules = ("f1", "costs", "false_alarms", "profile")
    assert [Threshold.model_validate({"rule": rule}).prevalence for rule in rules] == [None, 0.01, 0.01, 0.01]
