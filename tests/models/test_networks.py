"""One contract for all networks: shape, export, agreement."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.bundle import INPUT, OUTPUT, open_session
from models.export import to_onnx, torch_probability
from models.network_spec import NetworkKind, NetworkOptions
from models.networks import Network, build
from tests.models.coils import random_matrix

KINDS: tuple[NetworkKind, ...] = ("yolov8n-cls", "cnn10", "cnn1d")


def random_coils(n: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(random_matrix(n, seed))[:, None]


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> NetworkKind:
    chosen: NetworkKind = request.param
    return chosen


@pytest.fixture(scope="module")
def network(kind: NetworkKind) -> Network:
    """A network that has seen some coils, so that its normalisation is not the identity."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = build(kind, NetworkOptions()).train()
        built(random_coils(8))
    return built.eval()


@pytest.fixture(scope="module")
def exported(network: Network) -> bytes:
    return to_onnx(network, temperature=1.7)


@pytest.mark.parametrize("coils", [1, 2, 5])
def test_it_gives_one_log_odds_a_coil(network: Network, coils: int) -> None:
    with torch.inference_mode():
        assert network(random_coils(coils)).shape == (coils,)


def test_it_gives_log_odds_while_training_too(network: Network) -> None:
    network.train()
    odds = network(random_coils(4))
    network.eval()
    assert odds.shape == (4,)
    assert odds.requires_grad


@pytest.mark.parametrize("coils", [1, 3, 16])
def test_the_exported_graph_agrees_with_torch_at_any_batch(network: Network, exported: bytes, coils: int) -> None:
    matrix = random_matrix(coils, seed=coils)
    (got,) = open_session(exported, place=Path("model.onnx"), threads=1).run([OUTPUT], {INPUT: matrix})
    expected = torch_probability(network, matrix[:, None], temperature=1.7)
    assert got.shape == (coils,)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)


def test_the_same_network_exports_to_the_same_bytes(network: Network, exported: bytes) -> None:
    assert to_onnx(network, temperature=1.7) == exported


def test_every_part_of_the_coil_reaches_the_score(network: Network) -> None:
    matrix = random_coils(1).requires_grad_()
    network(matrix).sum().backward()
    assert matrix.grad is not None
    seen = matrix.grad.abs()[0, 0] > 0
    assert seen.any(dim=1).all()
    assert seen.any(dim=0).all()
