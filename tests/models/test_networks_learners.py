"""Promises of the networks that learn otherwise: by references, from OK coils only, by a rule."""

from itertools import groupby

import numpy as np
import pytest
import torch

from models.network_spec import NetworkOptions
from models.networks import build
from models.networks.anomaly import LEAST_COILS, AnomalyDetector
from models.networks.rule import NUMBERS, Rule
from models.networks.siamese import Siamese
from models.networks.weights import state_bytes
from schemas.coils import Float32Array
from schemas.errors import SpecError
from tests.models.coils import random_matrix


def _p_nok(network: torch.nn.Module, coils: Float32Array) -> np.ndarray:
    with torch.inference_mode():
        return np.asarray(torch.sigmoid(network.eval()(torch.from_numpy(coils))).numpy())


def _thin(coils: Float32Array) -> Float32Array:
    """The same coils with 40 rows of the top face well below band."""
    thin = coils.copy()
    thin[:, :, 100:140, :9] = -0.6
    return thin


def _calm(n: int, seed: int) -> Float32Array:
    """Coils float32 [n, 1, 264, 18] with slow waves of every coil's own height along the length."""
    rng = np.random.default_rng(seed)
    rows = np.linspace(0, 2 * np.pi, 264)[None, :, None]
    waves = sum(rng.normal(0, 0.05, (n, 1, 18)) * np.sin(k * rows + rng.uniform(0, 6, (n, 1, 1))) for k in (1, 2, 3))
    return (waves + rng.normal(0, 0.02, (n, 264, 18)))[:, None].astype(np.float32)


@pytest.mark.parametrize("references", [1, 3])
def test_a_coil_that_resembles_nok_references_more_is_nok(references: int) -> None:
    network = build("siamese3", NetworkOptions.model_validate({"references": references}))
    assert isinstance(network, Siamese)
    ok = torch.zeros(references, 64)
    nok = torch.zeros(references, 64)
    ok[:, 0], nok[:, 1] = 1.0, 5.0
    network.refer_to(ok, nok)
    torch.testing.assert_close(network.references_nok.norm(dim=1), torch.ones(references))
    embeddings = torch.zeros(3, 64)
    embeddings[0, 0], embeddings[1, 1], embeddings[2, 2] = 1.0, 1.0, 1.0
    network.scale.fill_(4.0)
    network.bias.fill_(0.5)
    torch.testing.assert_close(network.head(embeddings).squeeze(1), torch.tensor([-3.5, 4.5, 0.5]))


def test_embeddings_are_unit_vectors() -> None:
    network = build("siamese4", NetworkOptions()).eval()
    with torch.inference_mode():
        norms = network.features(torch.from_numpy(random_matrix(4))[:, None]).norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(4))


def test_references_of_another_number_are_refused() -> None:
    network = build("siamese3", NetworkOptions(references=3))
    assert isinstance(network, Siamese)
    with pytest.raises(ValueError, match=r"references nok are \(1, 64\), expected \(3, 64\)"):
        network.refer_to(torch.ones(3, 64), torch.ones(1, 64))


def _detector(ok: Float32Array, components: int = 16) -> AnomalyDetector:
    network = AnomalyDetector(components)
    network.learn(torch.from_numpy(ok))
    return network


def test_an_anomaly_detector_calls_about_one_ok_coil_in_a_hundred_that_it_never_saw() -> None:
    detector = _detector(_calm(400, seed=1))
    p_nok = _p_nok(detector, _calm(1000, seed=2))
    assert 0.001 <= (p_nok >= 0.5).mean() <= 0.025
    assert np.median(p_nok) == pytest.approx(0.01, rel=0.5)


def test_an_anomaly_detector_finds_a_defect_of_which_it_has_seen_no_example() -> None:
    detector = _detector(_calm(200, seed=1))
    assert (_p_nok(detector, _thin(_calm(50, seed=2))) > 0.5).all()


def test_an_anomaly_detector_learns_the_same_from_the_same_coils() -> None:
    first, second = (_detector(_calm(60, seed=1), components=64) for _ in range(2))
    assert state_bytes(first) == state_bytes(second)


def test_more_components_than_coils_and_a_coil_without_variation_do_no_harm() -> None:
    few = _detector(_calm(LEAST_COILS, seed=1), components=256)
    assert np.isfinite(_p_nok(few, _calm(5, seed=2))).all()
    flat = _detector(np.zeros((30, 1, 264, 18), dtype=np.float32))
    assert _p_nok(flat, np.zeros((1, 1, 264, 18), dtype=np.float32)) <= 0.5
    assert _p_nok(flat, _thin(np.zeros((1, 1, 264, 18), dtype=np.float32))) > 0.99


def test_too_few_ok_coils_are_refused_with_the_number() -> None:
    with pytest.raises(SpecError, match="20 OK coils at least, there are 19"):
        _detector(_calm(LEAST_COILS - 1, seed=1))


def test_the_rule_needs_no_labels_to_tell_a_thin_stretch_from_a_coil_in_band() -> None:
    band = np.zeros((1, 1, 264, 18), dtype=np.float32)
    assert _p_nok(Rule(), band) < 0.05
    assert _p_nok(Rule(), _thin(band)) > 0.95


def test_the_rule_learns_from_labels_and_keeps_its_weights_by_hand_where_there_is_one_label_only() -> None:
    high = np.abs(random_matrix(40, seed=1))[:, None]
    coils = np.concatenate([high, -high])
    is_nok = np.arange(80) < 40  # a plant where too much is the fault: the weights by hand are wrong
    rule, by_hand = Rule(), state_bytes(Rule())
    rule.learn(coils, np.zeros(80, dtype=np.bool_))
    assert state_bytes(rule) == by_hand
    rule.learn(coils, is_nok)
    assert ((_p_nok(rule, coils) > 0.5) == is_nok).all()
    rule.learn(coils, np.ones(80, dtype=np.bool_))
    assert state_bytes(rule) == by_hand


def test_the_numbers_of_the_rule_are_those_that_an_inspector_would_count() -> None:
    coils = random_matrix(6, seed=2)[:, None]
    coils[1] = 0
    coils[2] = -0.5
    coils[3, 0, 250:] = -0.5
    with torch.inference_mode():
        found = Rule().features(torch.from_numpy(coils)).numpy().reshape(6, 2, len(NUMBERS))
    for coil in range(6):
        for face in range(2):
            cells = coils[coil, 0, :, face * 9 : face * 9 + 9]
            deficit = np.maximum(-cells, 0)
            rows = (cells < -0.01).sum(axis=1) >= 3
            runs = [len(list(run)) for is_below, run in groupby(rows) if is_below]
            expected = {
                "mean_deficit": deficit.mean(),
                "worst_12_rows": max(deficit[at : at + 12].mean() for at in range(253)),
                "worst_66_rows": max(deficit[at : at + 66].mean() for at in range(199)),
                "worst_sensor_12_rows": max(deficit[at : at + 12].mean(axis=0).max() for at in range(253)),
                "share_below": (cells < -0.01).mean(),
                "share_above": (cells > 0.01).mean(),
                "longest_run": max(runs, default=0) / 264,
            }
            np.testing.assert_allclose(found[coil, face], [expected[name] for name in NUMBERS], atol=1e-6)
