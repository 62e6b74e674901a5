"""One contract for all networks: shape, export, agreement."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from models.bundle import FEATURES, INPUT, OUTPUT, SPREAD, open_session
from models.export import to_onnx, torch_probability
from models.network_spec import NetworkKind, NetworkOptions
from models.networks import Network, build
from models.networks.anomaly import AnomalyDetector
from models.networks.rule import Rule
from models.networks.siamese import Siamese
from models.networks.steps_rule import StepsRule
from tests.models.coils import random_matrix

TEMPERATURE = 1.7


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One kind with its options, and its name in a test's id."""

    kind: NetworkKind
    options: NetworkOptions

    def __str__(self) -> str:
        return "-".join([self.kind, *(f"{value}" for value in self.options.model_dump(exclude_unset=True).values())])


def case(kind: NetworkKind, **options: Any) -> Case:
    return Case(kind=kind, options=NetworkOptions(**options))


BOTH = "matrix_and_spread"
CASES = (
    case("yolov8n-cls"),
    case("yolov8n-cls", freeze=5, channels=BOTH),
    case("cnn10"),
    case("cnn3", input="square", norm="layer", pooling="max"),
    case("cnn1d", channels=BOTH),
    case("siamese3", references=1, channels=BOTH, norm="layer", pooling="max"),
    case("vit", channels=BOTH),
    case("anomaly", components=16),
    case("rule"),
    case("rule-in-steps"),
)
EXPORTED_TWICE = (CASES[1], CASES[5])  # what the exporter does depends on no kind; the second has buffers of its own


def random_coils(n: int, channels: int, seed: int = 0) -> torch.Tensor:
    spread = np.abs(random_matrix(n, seed + 100))
    return torch.from_numpy(np.stack([random_matrix(n, seed), spread][:channels], axis=1))


@cache
def taught(one: Case) -> Network:
    """A network that has seen some coils: its normalisation is not the identity, its references are set."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build(one.kind, one.options)
    coils = random_coils(24, network.channels)
    if isinstance(network, AnomalyDetector):
        network.learn(coils)
    elif isinstance(network, Rule):
        network.learn(coils.numpy(), np.arange(24) % 2 == 0)
    else:
        with torch.no_grad():
            network.train()(coils[:8])
    network.eval()
    if isinstance(network, Siamese):
        with torch.no_grad():
            embeddings = network.features(coils[:6])
        size = len(network.references_ok)
        network.refer_to(embeddings[:size], embeddings[3 : 3 + size])
    return network


@cache
def graph_of(one: Case) -> bytes:
    return to_onnx(taught(one), temperature=TEMPERATURE)


@pytest.fixture(scope="module", params=CASES, ids=str)
def one(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


@pytest.fixture(scope="module")
def network(one: Case) -> Network:
    return taught(one)


@pytest.fixture(scope="module")
def exported(one: Case) -> bytes:
    return graph_of(one)


@pytest.mark.parametrize("coils", [1, 2, 5])
def test_it_gives_one_log_odds_a_coil(network: Network, coils: int) -> None:
    with torch.inference_mode():
        assert network(random_coils(coils, network.channels)).shape == (coils,)


def test_it_gives_log_odds_while_training_too(network: Network) -> None:
    network.train()
    odds = network(random_coils(4, network.channels))
    network.eval()
    assert odds.shape == (4,)
    assert odds.requires_grad


@pytest.mark.parametrize("coils", [1, 5])
def test_the_exported_graph_agrees_with_torch_at_any_batch(network: Network, exported: bytes, coils: int) -> None:
    seen = random_coils(coils, network.channels, seed=coils).numpy()
    given = {name: np.ascontiguousarray(seen[:, at]) for at, name in enumerate((INPUT, SPREAD)[: network.channels])}
    p_nok, features = open_session(exported, place=Path("model.onnx"), threads=1).run([OUTPUT, FEATURES], given)
    expected = torch_probability(network, seen, temperature=TEMPERATURE)
    with torch.inference_mode():
        expected_features = network.features(torch.from_numpy(seen)).numpy()
    assert p_nok.shape == (coils,)
    np.testing.assert_allclose(p_nok, expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(features, expected_features, rtol=1e-4, atol=1e-4)


def test_a_linear_head_keeps_its_name_in_the_graph(network: Network, exported: bytes) -> None:
    if isinstance(network, Siamese):
        return  # its head compares with references
    assert isinstance(network.head, nn.Linear)
    tensors = {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load_from_string(exported).graph.initializer}
    np.testing.assert_array_equal(tensors["network.head.weight"], network.head.weight.detach().numpy())
    np.testing.assert_array_equal(tensors["network.head.bias"], network.head.bias.detach().numpy())


def test_every_part_of_the_coil_reaches_the_score(network: Network) -> None:
    if isinstance(network, StepsRule):
        return  # the worse face alone decides
    coils = (-random_coils(1, network.channels, seed=5).abs() - 0.02).requires_grad_()  # all of it below band
    network(coils).sum().backward()
    assert coils.grad is not None
    for channel in coils.grad[0]:
        seen = channel.abs() > 0
        assert seen.any(dim=1).all()
        assert seen.any(dim=0).all()


@pytest.mark.parametrize("member", EXPORTED_TWICE, ids=str)
def test_the_same_network_exports_to_the_same_bytes(member: Case) -> None:
    assert to_onnx(taught(member), temperature=TEMPERATURE) == graph_of(member)


@pytest.mark.parametrize("large", [case("yolov8n-cls", input="square"), case("siamese10")], ids=str)
def test_a_large_form_is_exported_as_it_is(large: Case) -> None:
    network, seen = taught(large), random_coils(2, 1, seed=3).numpy()
    session = open_session(graph_of(large), place=Path("model.onnx"), threads=1)
    (p_nok,) = session.run([OUTPUT], {INPUT: np.ascontiguousarray(seen[:, 0])})
    np.testing.assert_allclose(p_nok, torch_probability(network, seen, temperature=TEMPERATURE), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "large",
    [
        case("yolov8s-cls"),
        case("yolov8m-cls", freeze=9),
        case("yolov8l-cls"),
        case("yolov8x-cls"),
        case("yolov8n-cls", input="square", channels=BOTH),
        case("cnn10", input="square"),
        case("siamese3", input="square"),
        case("siamese10"),
        case("vit", input="square"),
    ],
    ids=str,
)
def test_a_large_network_or_form_scores_a_coil(large: Case) -> None:
    network = build(large.kind, large.options).eval()
    with torch.inference_mode():
        assert torch.isfinite(network(random_coils(1, network.channels))).all()


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("yolov8n-cls", {}, "native_288x32"),
        ("yolov8n-cls", {"input": "square"}, "square_264x264"),
        ("cnn5", {}, "native_264x18"),
        ("siamese5", {"input": "square"}, "square_264x264"),
        ("vit", {}, "native_264x18"),
        ("rule-in-steps", {}, "worst_sections_in_steps"),
    ],
)
def test_it_says_in_which_form_it_sees_a_coil(kind: NetworkKind, options: dict[str, str], said: str) -> None:
    assert build(kind, NetworkOptions.model_validate(options)).input_form == said


def test_building_draws_from_the_generator_alone() -> None:
    def weights() -> list[torch.Tensor]:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return list(build("vit", NetworkOptions()).state_dict().values())

    assert all(torch.equal(first, second) for first, second in zip(weights(), weights(), strict=True))
