"""Promises of what a trained bundle says of the specification that made it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from flows.background import Fetched, network_coils
from flows.population import Population, simulated
from flows.trained_bundle import write_trained
from models.bundle import load_bundle
from models.data_spec import SimulatedData
from models.networks import Network, build
from models.spec import TrainSpec
from models.training import Background, LabelledCoils, Trained
from schemas.bundles import BundleManifest
from schemas.coils import IntArray
from schemas.settings import ToleranceProfile
from tests.models.coils import LIMITS

DATA = {"simulate": {"coils": 70, "seed": 3}}
PROFILES = {"strict": ToleranceProfile(threshold=0.21), "without": ToleranceProfile()}
SPECIFICATIONS: dict[str, dict[str, object]] = {
    "yolov8n-cls": {"network": {"freeze": 5, "weights": "simulated"}, "class_weight": {"ok": 1, "nok": 5}},
    "cnn3": {"network": {"dropout": 0.4}, "loss": {"kind": "focal"}, "contrastive": {"stages": "joint"}},
    "siamese3": {"network": {"references": 1}, "pairs": {"mining": "hard"}, "pretrain": {"epochs": 2}},
    "cnn1d": {"adapt": {"method": "coral", "unlabelled": {"simulate": {"coils": 30, "seed": 5}}}},
    "vit": {"threshold": {"rule": "costs", "cost_missed": 7}, "scale": "self"},
    "anomaly": {"network": {"components": 4}, "threshold": {"rule": "false_alarms", "most_false_alarms": 0.4}},
    "rule": {},
}


@pytest.fixture(scope="module")
def population() -> Population:
    return simulated(SimulatedData.model_validate(DATA["simulate"]), LIMITS)


@pytest.mark.parametrize("kind", SPECIFICATIONS)
def test_the_specification_in_a_manifest_is_the_one_that_was_trained(
    kind: str, population: Population, tmp_path: Path
) -> None:
    spec = TrainSpec.model_validate({"name": "m", "kind": kind, "data": DATA, "seed": 4, **SPECIFICATIONS[kind]})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build(spec.kind, spec.network).eval()
    places = np.arange(len(population.is_nok))
    manifest = _written(spec, network, population, tmp_path / "m", validation=places)
    assert TrainSpec.model_validate(manifest.training.spec) == spec
    assert manifest.threshold_rule == spec.threshold.rule


@pytest.mark.parametrize(
    ("asked", "applied"),
    [
        ({"rule": "f1"}, "false_alarms"),
        ({"rule": "costs"}, "false_alarms"),
        ({"rule": "profile", "profile": "without"}, "false_alarms"),
        ({"rule": "profile", "profile": "strict"}, "profile"),
    ],
)
def test_without_nok_coils_to_validate_the_manifest_says_which_rule_could_be_applied(
    asked: dict[str, str], applied: str, population: Population, tmp_path: Path
) -> None:
    threshold = {**asked, "most_false_alarms": 0.4}
    spec = TrainSpec.model_validate({"name": "m", "kind": "rule", "data": DATA, "threshold": threshold})
    ok = np.flatnonzero(~population.is_nok)
    manifest = _written(spec, build(spec.kind, spec.network).eval(), population, tmp_path / "m", validation=ok)
    assert manifest.threshold_rule == applied
    assert manifest.training.spec["threshold"]["rule"] == asked["rule"]
    assert manifest.threshold == 0.21 if applied == "profile" else manifest.threshold > 0


def _written(
    spec: TrainSpec, network: Network, population: Population, out: Path, *, validation: IntArray
) -> BundleManifest:
    coils = LabelledCoils(coils=network_coils(population.batch, spec), is_nok=population.is_nok)
    folder = write_trained(
        spec,
        population,
        coils,
        Trained(network=network, temperature=1.0, epochs=()),
        out,
        validation=validation,
        holdout=np.arange(len(coils)),
        fetched=Fetched(background=Background(), parent=None, unlabelled={}),
        profiles=PROFILES,
    )
    return load_bundle(folder, threads=1).manifest
