"""Weights pre-trained on the simulated line: built by a specification, begun with by its name."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

from flows.initial_weights import build_weights
from models.data_spec import DataSpec, SimulatedData
from models.network_spec import NetworkOptions
from models.networks import build
from models.networks.weights import SIMULATED
from models.spec import TrainSpec, read_spec


def test_a_network_begins_with_weights_that_were_built_for_it(tmp_path: Path) -> None:
    data = DataSpec(simulate=SimulatedData(coils=80, seed=5))
    spec = TrainSpec(name="tiny", kind="yolov8n-cls", data=data, epochs=1, batch=16)
    figures = build_weights(spec, tmp_path / "tiny.safetensors")
    assert figures["n"] > 0
    network = build("yolov8n-cls", NetworkOptions(weights=str(tmp_path / "tiny.safetensors")))
    kept = safetensors.torch.load_file(tmp_path / "tiny.safetensors")
    assert kept["head.weight"].dtype == torch.float16
    torch.testing.assert_close(network.state_dict()["head.weight"], kept["head.weight"].float())
    assert "at random" not in network.initial_weights


@pytest.mark.parametrize("path", sorted(SIMULATED.glob("*.yaml")), ids=lambda path: path.stem)
def test_installed_weights_have_the_specification_they_were_made_by(path: Path) -> None:
    spec = read_spec(path)
    network = build(spec.kind, NetworkOptions(weights="simulated"))
    assert network.initial_weights.startswith(f"{spec.kind}.safetensors")
