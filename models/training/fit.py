"""One network from a specification and labelled coils: every stage that the specification names, in order."""

from collections.abc import Callable

import numpy as np
import torch

from models.network_spec import family_of
from models.networks import Network, build
from models.networks.anomaly import AnomalyDetector
from models.networks.rule import Rule
from models.networks.steps_rule import StepsRule
from models.networks.weights import load_state
from models.objectives_spec import ClassWeights
from models.spec import TrainSpec
from models.synthesis import synthesize
from models.training.batches import Drawing
from models.training.calibration import class_weights, temperature
from models.training.classifying import classifying_stage, contrastive_stage
from models.training.coils import Background, Epoch, LabelledCoils, Trained
from models.training.course import Course
from models.training.loop import run_stage
from models.training.pairing import pairing_stage, refer
from models.training.pretraining import pretraining_stage
from models.training.scoring import log_odds


def fit(
    spec: TrainSpec,
    training: LabelledCoils,
    validation: LabelledCoils,
    *,
    on_epoch: Callable[[Epoch], None],
    background: Background | None = None,
) -> Trained:
    """Train a network until its validation loss stops falling.

    The same specification and coils give the same weights on the CPU of the same machine: all draws come from
    `spec.seed`, and torch's global generator is left as it was. On CUDA some sums add up in another order each time.

    Args:
        spec: network, objective, loop and augmentation.
        training: at least two coils of both labels; an anomaly detector learns from OK coils only and needs no
            NOK, and a rule without NOK keeps its weights by hand. Made-up NOK coils join these alone.
        validation: decides when to stop and the temperature; both labels, but for an anomaly detector.
        on_epoch: called after every pass of every stage.
        background: what training leans on beside labelled coils.

    Raises:
        SpecError: the initial weights are not there, or not those of this kind; training diverges; or there are too
            few NOK coils to make up more.
        ValueError: the specification says `adapt` and `background` holds no recent coils.
    """
    background = background or Background()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # Validation coils are all real, so they weigh by the real share of NOK, whatever joins the training coils.
    weights = class_weights(spec, training.is_nok) if _has_both(training) else ClassWeights(ok=1.0, nok=1.0)
    calibrates = _has_both(training) and _has_both(validation)
    training = with_made_up(spec, training, device)
    # cuDNN would time its algorithms and take the fastest of the day; other parts of CUDA stay free to vary.
    with torch.random.fork_rng(), torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        torch.manual_seed(spec.seed)
        network = build(spec.kind, spec.network)
        if background.parent is not None:
            load_state(network, background.parent)
        network.to(device)
        network.to(memory_format=torch.channels_last)  # a fifth faster on CPUs
        epochs = _learn(spec, network, training, validation, weights, background, on_epoch)
    network.cpu().eval()
    heat = temperature(log_odds(network, validation.coils), validation.is_nok, weights) if calibrates else 1.0
    return Trained(network=network, epochs=epochs, temperature=heat)


def _learn(
    spec: TrainSpec,
    network: Network,
    training: LabelledCoils,
    validation: LabelledCoils,
    validation_weights: ClassWeights,
    background: Background,
    on_epoch: Callable[[Epoch], None],
) -> tuple[Epoch, ...]:
    device = next(network.parameters()).device
    if isinstance(network, AnomalyDetector):
        network.learn(torch.from_numpy(training.coils[~training.is_nok]).to(device))
        return ()
    if isinstance(network, (Rule, StepsRule)):
        network.learn(training.coils, training.is_nok)
        return ()
    generator = torch.Generator().manual_seed(spec.seed)
    drawing = Drawing(
        size=spec.batch, augment=spec.augment, grey=spec.scale == "self", generator=generator, device=device
    )
    course = Course(
        spec=spec,
        network=network,
        training=training,
        validation=validation,
        validation_weights=validation_weights,
        drawing=drawing,
    )
    epochs: list[Epoch] = []
    if spec.pretrain is not None:
        unlabelled = training.coils if background.unlabelled is None else background.unlabelled
        epochs += run_stage(network, pretraining_stage(course, spec.pretrain, unlabelled), on_epoch=on_epoch)
    if spec.contrastive is not None and spec.contrastive.stages == "two":
        epochs += run_stage(network, contrastive_stage(course, spec.contrastive), on_epoch=on_epoch)
    if family_of(spec.kind) == "siamese":
        epochs += run_stage(network, pairing_stage(course), on_epoch=on_epoch)
        refer(course)
    else:
        epochs += run_stage(network, classifying_stage(course, background.recent), on_epoch=on_epoch)
    return tuple(epochs)


def with_made_up(spec: TrainSpec, training: LabelledCoils, device: torch.device) -> LabelledCoils:
    """The training coils, and after them the NOK coils that are made up where the specification says `synthesis`."""
    if spec.synthesis is None:
        return training
    made = synthesize(
        training.coils[training.is_nok], spec.synthesis, grey=spec.scale == "self", seed=spec.seed, device=device
    )
    return LabelledCoils(
        coils=np.concatenate([training.coils, made]),
        is_nok=np.concatenate([training.is_nok, np.ones(len(made), dtype=np.bool_)]),
    )


def _has_both(coils: LabelledCoils) -> bool:
    return bool(coils.is_nok.any() and not coils.is_nok.all())
