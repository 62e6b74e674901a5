"""Promises of what a trained bundle says of the specification that made it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from flows.background import network_coils
from flows.population import Population, simulated
from flows.trained_bundle import write_trained
from models.bundle import load_bundle
from models.data_spec import SimulatedData
from models.networks import build
from models.spec import TrainSpec
from models.training import LabelledCoils, Trained
from tests.models.coils import LIMITS

DATA = {"simulate": {"coils": 70, "seed": 3}}
SPECIFICATIONS: dict[str, dict[str, object]] = {
    "yolov8n-cls": {"network": {"freeze": 5}, "class_weight": {"ok": 1, "nok": 5}},
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
    coils = LabelledCoils(coils=network_coils(population.batch, spec), is_nok=population.is_nok)
    places = np.arange(len(coils))
    trained = Trained(network=network, temperature=1.0, epochs=())
    folder = write_trained(
        spec, population, coils, trained, tmp_path / "m", validation=places, holdout=places, parent=None, profiles={}
    )
    assert TrainSpec.model_validate(load_bundle(folder, threads=1).manifest.training.spec) == spec
