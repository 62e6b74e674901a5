"""Promises of YOLOv8's frozen blocks."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from models.network_spec import NetworkOptions
from models.networks import build
from models.networks.yolo import Yolo
from tests.models.coils import random_matrix


def _yolo(freeze: int) -> Yolo:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build("yolov8n-cls", NetworkOptions(freeze=freeze))
    assert isinstance(network, Yolo)
    return network


def _coils(n: int) -> torch.Tensor:
    return torch.from_numpy(random_matrix(n))[:, None]


@pytest.mark.parametrize("freeze", [0, 5, 9])
def test_a_step_of_training_leaves_the_frozen_blocks_as_they_were_and_moves_the_rest(freeze: int) -> None:
    network = _yolo(freeze)
    before = copy.deepcopy(network.state_dict())
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    network.train()
    network(_coils(4)).sum().backward()
    optimiser.step()
    after = network.state_dict()
    frozen = tuple(f"blocks.{block}." for block in range(freeze))
    for block in range(9):
        same = [torch.equal(before[name], after[name]) for name in before if name.startswith(f"blocks.{block}.")]
        assert all(same) == (block < freeze)
    assert not torch.equal(before["head.weight"], after["head.weight"])
    assert not torch.equal(before["neck.0.bn.running_mean"], after["neck.0.bn.running_mean"])
    assert all(p.grad is None for name, p in network.named_parameters() if name.startswith(frozen) and frozen)


def test_frozen_blocks_stay_in_evaluation_mode_from_the_first_moment() -> None:
    network = _yolo(3)
    for _ in range(2):
        for number, block in enumerate(network.blocks):
            norms = [module.training for module in block.modules() if isinstance(module, nn.BatchNorm2d)]
            assert set(norms) == {number >= 3}
        network.eval().train()


def test_what_the_frozen_blocks_gave_can_be_kept_and_gone_on_from() -> None:
    network = _yolo(9).train()
    kept = network.frozen_part(_coils(2))
    assert kept.shape == (2, 256, 9, 1)
    assert not kept.requires_grad
    torch.testing.assert_close(network.trained_part(kept), network.features(_coils(2)))


def test_ten_blocks_are_there_as_ultralytics_counts_them() -> None:
    network = _yolo(0)
    assert len(network.blocks) == 9
    assert network.head.in_features == 1280


def test_a_process_that_builds_one_leaves_no_folder_behind(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "YOLO_CONFIG_DIR"}
    code = """
import os
from pathlib import Path
from models.network_spec import NetworkOptions
from models.networks import build
build("yolov8n-cls", NetworkOptions())
assert list(Path(os.environ["YOLO_CONFIG_DIR"]).iterdir()), "its settings are not here"
"""
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True, env={**environment, "TMPDIR": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []
