"""Promises of every objective: it learns a plain defect, and the same specification gives the same weights."""

from typing import Any

import numpy as np
import pytest
import torch

from models.evaluation import evaluate
from models.network_spec import NetworkOptions
from models.networks.weights import state_bytes
from models.spec import TrainSpec
from models.training import Background, Epoch, LabelledCoils, Trained, fit, log_odds
from tests.models.coils import random_matrix

SIMULATED = {"simulate": {"coils": 100, "seed": 0}}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "focal": {"loss": {"kind": "focal"}},
    "siamese, cross-entropy": {"kind": "siamese5"},
    "siamese, margin": {"kind": "siamese5", "pairs": {"loss": "margin"}},
    "siamese, hard pairs": {"kind": "siamese5", "pairs": {"loss": "margin", "mining": "hard"}},
    "siamese, one reference": {"kind": "siamese5", "network": {"references": 1}},
    "contrastive, then classified": {"contrastive": {"kind": "supervised", "epochs": 2}},
    "asymmetric, then classified": {"contrastive": {"kind": "asymmetric", "epochs": 2}},
    "focal contrastive beside": {"contrastive": {"kind": "focal", "stages": "joint"}},
    "pre-trained": {"pretrain": {"epochs": 1}},
    "coral": {"adapt": {"method": "coral", "unlabelled": SIMULATED}},
    "mmd": {"adapt": {"method": "mmd", "unlabelled": SIMULATED}},
    "dann": {"adapt": {"method": "dann", "unlabelled": SIMULATED}},
    "made-up NOK": {"synthesis": {"kind": "gan", "coils": 8, "epochs": 1}},
    "anomaly": {"kind": "anomaly"},
    "rule": {"kind": "rule"},
}

ONE_OF_EACH_STAGE = (
    *("siamese, hard pairs", "contrastive, then classified", "focal contrastive beside", "pre-trained", "dann"),
    *("made-up NOK", "anomaly", "rule"),
)


def _spec(**changes: object) -> TrainSpec:
    plain = {"name": "t", "kind": "cnn5", "data": SIMULATED, "epochs": 4, "batch": 8, "learning_rate": 0.003, "seed": 5}
    plain["augment"] = {"noise": 0.0, "shift_rows": 0}
    # Batch norm would need more steps than a test has before it does in evaluation what it does in training.
    norm = {"network": {"norm": "layer"}} if changes.get("kind") in (None, "siamese5") else {}
    return TrainSpec.model_validate({**plain, **norm, **changes})


def _coils(n: int, seed: int) -> LabelledCoils:
    """Coils that are NOK where a stretch of both faces is thin."""
    matrix = random_matrix(n, seed) * np.float32(0.2)
    is_nok = np.random.default_rng(seed).random(n) < 0.4
    matrix[is_nok, 60:200] = -0.8
    return LabelledCoils(coils=matrix[:, None], is_nok=is_nok)


TRAINING, VALIDATION, JUDGING = _coils(48, 1), _coils(24, 2), _coils(32, 3)
FEW = LabelledCoils(coils=TRAINING.coils[:16], is_nok=TRAINING.is_nok[:16])
RECENT = Background(recent=_coils(16, 4).coils)


def _fit(spec: TrainSpec, background: Background = RECENT, training: LabelledCoils = TRAINING) -> Trained:
    return fit(spec, training, VALIDATION, on_epoch=lambda _: None, background=background)


def _auc(trained: Trained, coils: LabelledCoils = JUDGING) -> float:
    odds = log_odds(trained.network, coils.coils)
    found = evaluate(p_nok=odds, is_nok=coils.is_nok, predicted_nok=odds > 0).metrics["roc_auc"]
    assert found is not None
    return found


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_learns_a_plain_defect(objective: str) -> None:
    trained = _fit(_spec(**OBJECTIVES[objective]))
    assert _auc(trained) > 0.95
    if objective == "anomaly":
        return  # it never saw NOK: where its log-odds are 0 is a matter of OK coils alone
    odds = log_odds(trained.network, JUDGING.coils) / trained.temperature
    right = (odds > 0) == JUDGING.is_nok
    assert right.mean() > 0.8, "log-odds of 0 do not part the labels"


@pytest.mark.parametrize("objective", ONE_OF_EACH_STAGE)
def test_the_same_specification_gives_the_same_weights(objective: str) -> None:
    before = torch.get_rng_state()
    spec = _spec(**{**OBJECTIVES[objective], "epochs": 1})
    training = TRAINING if spec.kind == "anomaly" else FEW
    first, second = (state_bytes(_fit(spec, training=training).network) for _ in range(2))
    assert first == second
    assert torch.equal(torch.get_rng_state(), before)


def test_stages_come_in_order_and_each_is_reported() -> None:
    seen: list[Epoch] = []
    spec = _spec(epochs=1, pretrain={"epochs": 1}, contrastive={"epochs": 2})
    trained = fit(spec, FEW, VALIDATION, on_epoch=seen.append)
    assert [(e.stage, e.number) for e in seen] == [
        ("pretraining", 1), ("contrastive", 1), ("contrastive", 2), ("training", 1),
    ]  # fmt: skip
    assert trained.epochs == tuple(seen)


def test_pre_training_looks_at_no_label() -> None:
    spec = _spec(epochs=1, pretrain={"epochs": 1})
    seen: list[list[Epoch]] = [[], []]
    for into, labels in zip(seen, (FEW.is_nok, ~FEW.is_nok), strict=True):
        fit(spec, LabelledCoils(coils=FEW.coils, is_nok=labels), VALIDATION, on_epoch=into.append)
    assert seen[0][0] == seen[1][0]


def test_training_begins_with_the_weights_of_a_parent() -> None:
    parent = _fit(_spec(epochs=2))
    spec = _spec(epochs=1, learning_rate=1e-9)
    child = _fit(spec, Background(parent=state_bytes(parent.network)))
    assert _auc(child) == _auc(parent)
    torch.testing.assert_close(child.network.head.state_dict(), parent.network.head.state_dict(), atol=1e-6, rtol=0)


def test_frozen_blocks_stay_as_they_were() -> None:
    spec = _spec(kind="yolov8n-cls", network={"freeze": 9}, epochs=1)
    first, second = _fit(spec, training=FEW), _fit(spec.model_copy(update={"epochs": 2}), training=FEW)
    for name, tensor in first.network.state_dict().items():
        if name.startswith("blocks."):
            assert torch.equal(tensor, second.network.state_dict()[name]), name


def test_adaptation_without_recent_coils_is_refused() -> None:
    with pytest.raises(ValueError, match="no recent coils"):
        _fit(_spec(**OBJECTIVES["coral"]), Background())


@pytest.mark.parametrize("method", ["coral", "mmd", "dann"])
def test_recent_coils_change_what_is_learnt(method: str) -> None:
    spec = _spec(epochs=1, adapt={"method": method, "unlabelled": SIMULATED})
    other = Background(recent=_coils(16, 5).coils)
    assert state_bytes(_fit(spec, training=FEW).network) != state_bytes(_fit(spec, other, FEW).network)


def test_an_anomaly_detector_needs_no_nok_coil() -> None:
    ok = [part.take(np.flatnonzero(~part.is_nok)) for part in (TRAINING, VALIDATION)]
    trained = fit(_spec(kind="anomaly"), *ok, on_epoch=lambda _: None)
    assert trained.temperature == 1.0
    assert _auc(trained) > 0.95


def test_a_siamese_network_decides_by_as_many_references_as_asked() -> None:
    network = _fit(_spec(kind="siamese5", epochs=1, network=NetworkOptions(references=1))).network
    assert network.state_dict()["head.references_nok"].shape == (1, 64)


def test_rare_nok_is_in_every_batch_of_a_contrastive_term() -> None:
    rare = TRAINING.take(np.concatenate([np.flatnonzero(~TRAINING.is_nok), np.flatnonzero(TRAINING.is_nok)[:1]]))
    spec = _spec(epochs=1, contrastive={"kind": "asymmetric", "epochs": 1})
    seen: list[Epoch] = []
    fit(spec, rare.take(np.arange(len(rare))[-16:]), VALIDATION, on_epoch=seen.append)
    assert seen[0].stage == "contrastive"
    assert seen[0].training_loss > 0
