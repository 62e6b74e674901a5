"""Promises of every objective: it learns a plain defect, and the same specification gives the same weights."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from models.evaluation import evaluate
from models.network_spec import NetworkOptions
from models.networks import build
from models.networks.weights import state_bytes
from models.objectives_spec import Contrastive
from models.spec import TrainSpec
from models.training import Background, Epoch, LabelledCoils, Trained, class_weights, fit, log_odds
from models.training.adaptation import coral, mmd
from models.training.batches import Drawing
from models.training.classifying import classifying_stage, contrastive_stage
from models.training.contrast import anchor_losses
from models.training.course import Course
from models.training.pairing import pairing_stage
from models.training.scoring import features
from schemas.errors import SpecError
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
    spec = _spec(kind="yolov8n-cls", network={"freeze": 9, "weights": "simulated"}, epochs=1)
    first, second = _fit(spec, training=FEW), _fit(spec.model_copy(update={"epochs": 2}), training=FEW)
    for name, tensor in first.network.state_dict().items():
        if name.startswith("blocks."):
            assert torch.equal(tensor, second.network.state_dict()[name]), name


def test_adaptation_without_recent_coils_is_refused() -> None:
    with pytest.raises(ValueError, match="no recent coils"):
        _fit(_spec(**OBJECTIVES["coral"]), Background())


@pytest.mark.parametrize("method", ["coral", "mmd"])
def test_adaptation_brings_features_of_labelled_and_recent_coils_together(method: str) -> None:
    shifted = Background(recent=_coils(16, 5).coils * 2 + np.float32(0.5))
    assert shifted.recent is not None
    apart = []
    for weight in (1e-9, 10.0):
        how = {"method": method, "unlabelled": SIMULATED, "weight": weight}
        network = _fit(_spec(epochs=2, learning_rate=0.001, adapt=how), shifted, FEW).network
        distance = coral if method == "coral" else mmd
        apart.append(float(distance(features(network, FEW.coils), features(network, shifted.recent))))
    assert apart[1] < 0.9 * apart[0]


def test_recent_coils_change_what_dann_learns() -> None:
    spec = _spec(epochs=1, adapt={"method": "dann", "unlabelled": SIMULATED})
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


def _course(spec: TrainSpec, training: LabelledCoils, validation: LabelledCoils) -> Course:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build(spec.kind, spec.network)
    generator, cpu = torch.Generator().manual_seed(0), torch.device("cpu")
    drawing = Drawing(size=spec.batch, augment=spec.augment, grey=False, generator=generator, device=cpu)
    weights = class_weights(spec, training.is_nok)
    return Course(
        spec=spec,
        network=network,
        training=training,
        validation=validation,
        validation_weights=weights,
        drawing=drawing,
    )


def test_ok_coils_do_not_drown_nok_in_what_stops_a_contrastive_stage() -> None:
    ok, nok = np.flatnonzero(~VALIDATION.is_nok), np.flatnonzero(VALIDATION.is_nok)[:2]
    course, how = _course(_spec(), FEW, VALIDATION.take(np.append(ok, nok))), Contrastive()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        stage = contrastive_stage(course, how)
    with torch.inference_mode():
        embeddings = stage.helpers[0](features(course.network, course.validation.coils))
        losses, counts = anchor_losses(embeddings, torch.from_numpy(course.validation.is_nok), how)
    assert counts.all()
    assert stage.validate() == pytest.approx(float(losses[: len(ok)].mean() + losses[len(ok) :].mean()) / 2)


def test_ok_coils_do_not_drown_nok_in_what_stops_a_siamese_network() -> None:
    one_ok, two_nok = np.flatnonzero(~VALIDATION.is_nok)[0], np.flatnonzero(VALIDATION.is_nok)[:2]
    found = []
    for ok in (4, 40):
        validation = VALIDATION.take(np.append(np.repeat(one_ok, ok), two_nok))
        found.append(pairing_stage(_course(_spec(kind="siamese5"), FEW, validation)).validate())
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_rare_nok_beside_a_contrastive_term_weighs_as_its_share_says() -> None:
    rare = np.append(np.flatnonzero(~TRAINING.is_nok)[:22], np.flatnonzero(TRAINING.is_nok)[:2])  # 1 of 12
    training = TRAINING.take(rare)
    joint = _spec(contrastive={"stages": "joint", "weight": 1e-9}, class_weight={"ok": 1, "nok": 5})
    course = _course(joint, training, VALIDATION)
    course.network.eval()
    for parameter in course.network.head.parameters():
        torch.nn.init.zeros_(parameter)  # every coil costs log 2, by its weight
    seen = [float(loss.detach()) for loss in classifying_stage(course, None).losses()]
    assert seen == pytest.approx([math.log(2) * (1 * 22 + 5 * 2) / 24] * 3, rel=1e-5)


@pytest.mark.parametrize("changes", [{"kind": "cnn1d"}, {"kind": "cnn5", "contrastive": {"epochs": 2}}])
def test_training_that_diverges_is_refused_and_not_returned(changes: dict[str, object]) -> None:
    with pytest.raises(SpecError, match=r"diverged: the validation loss is finite after none of \d+ passes") as caught:
        _fit(_spec(**changes, learning_rate=1e12, epochs=2), training=FEW)
    assert "learning_rate, which is 1e+12" in caught.value.remedy
