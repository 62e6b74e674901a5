"""Stages of a classifier: contrastive features before or beside it, and its adaptation to recent coils."""

from collections.abc import Callable, Iterator

import torch
from torch import nn

from models.objectives_spec import Adaptation, ClassWeights, Contrastive
from models.training.adaptation import Critic, coral, mmd
from models.training.batches import batch_of_both, shuffled, with_both_labels, without_end
from models.training.calibration import class_weights
from models.training.contrast import anchor_losses, contrastive, mean_of_labels
from models.training.course import Course
from models.training.loop import Stage
from models.training.losses import coil_losses, label_weights
from models.training.projection import Projection
from models.training.scoring import features, log_odds
from schemas.coils import Float32Array

Term = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # features [B, D] and is_nok [B] to a scalar


def contrastive_stage(course: Course, how: Contrastive) -> Stage:
    """Features that draw coils of one label together, through a projection; batches are half OK, half NOK.

    The validation loss is the mean of that of OK anchors and that of NOK anchors, among all validation coils.
    """
    spec, network = course.spec, course.network
    projection = Projection(course.feature_count()).to(course.drawing.device)

    def losses() -> Iterator[torch.Tensor]:
        for coils, is_nok in with_both_labels(course.training, course.drawing, even=True):
            yield contrastive(projection(network.features(coils)), is_nok, how)

    def validate() -> float:
        found = features(network, course.validation.coils).to(course.drawing.device)
        is_nok = torch.from_numpy(course.validation.is_nok).float().to(course.drawing.device)
        with torch.inference_mode():
            losses, counts = anchor_losses(projection(found), is_nok, how)
            return float(mean_of_labels(losses[counts], is_nok[counts]))

    return Stage(
        name="contrastive",
        losses=losses,
        validate=validate,
        helpers=(projection,),
        epochs=how.epochs,
        patience=spec.patience,
        learning_rate=spec.learning_rate,
    )


def classifying_stage(course: Course, recent: Float32Array | None) -> Stage:
    """Class-weighted classification, with what the specification sets beside it.

    The validation loss is that of the classification alone. Where a contrastive term stands beside it, every
    batch holds at least two coils of each label, and coils weigh so much less in the classification as their
    label is commoner in the batches than among the coils.

    Args:
        course: network, coils and draws.
        recent: coils without a label, float32 [M, C, 264, 18]; needed where the specification says `adapt`.

    Raises:
        ValueError: the specification says `adapt` and there are none.
    """
    spec, network = course.spec, course.network
    weights = class_weights(spec, course.training.is_nok)
    joint = spec.contrastive is not None and spec.contrastive.stages == "joint"
    terms: list[Term] = []
    helpers: list[nn.Module] = []
    if spec.contrastive is not None and joint:
        weights = _as_coils_come(weights, course)
        projection = Projection(course.feature_count()).to(course.drawing.device)
        terms.append(_contrastive_term(projection, spec.contrastive))
        helpers.append(projection)
    if spec.adapt is not None:
        if recent is None:
            raise ValueError("the specification says adapt, but no recent coils were given")
        term, helper = _adaptation_term(course, spec.adapt, recent)
        terms.append(term)
        helpers += helper

    def losses() -> Iterator[torch.Tensor]:
        drawing, training = course.drawing, course.training
        batches = with_both_labels(training, drawing, even=False) if joint else shuffled(training, drawing)
        for coils, is_nok in batches:
            found = network.features(coils)
            each = coil_losses(network.head(found).squeeze(1), is_nok, spec.loss)
            loss = (label_weights(is_nok, weights) * each).mean()
            for term in terms:
                loss = loss + term(found, is_nok)
            yield loss

    return Stage(
        name="training",
        losses=losses,
        validate=lambda: _validation_loss(course),
        helpers=tuple(helpers),
        epochs=spec.epochs,
        patience=spec.patience,
        learning_rate=spec.learning_rate,
    )


def _validation_loss(course: Course) -> float:
    odds = torch.from_numpy(log_odds(course.network, course.validation.coils))
    is_nok = torch.from_numpy(course.validation.is_nok).double()
    weight = label_weights(is_nok, course.validation_weights)
    return float((weight * coil_losses(odds, is_nok, course.spec.loss)).sum() / weight.sum())


def _as_coils_come(weights: ClassWeights, course: Course) -> ClassWeights:
    """Weights of the two labels in batches of both, corrected to the share of NOK among the training coils."""
    size, nok = batch_of_both(course.training, course.drawing, even=False)
    share = float(course.training.is_nok.mean())
    return ClassWeights(ok=weights.ok * (1 - share) * size / (size - nok), nok=weights.nok * share * size / nok)


def _contrastive_term(projection: Projection, how: Contrastive) -> Term:
    return lambda found, is_nok: how.weight * contrastive(projection(found), is_nok, how)


def _adaptation_term(course: Course, how: Adaptation, recent: Float32Array) -> tuple[Term, list[nn.Module]]:
    """Draws as many recent coils as the batch has; DANN's critic grows stronger over all passes together."""
    network, drawn = course.network, without_end(recent, course.drawing)
    if how.method != "dann":
        distance = coral if how.method == "coral" else mmd
        return (lambda found, _: how.weight * distance(found, network.features(next(drawn)))), []
    critic = Critic(course.feature_count()).to(course.drawing.device)
    steps = course.spec.epochs * max(1, len(course.training) // course.spec.batch)
    done = iter(range(steps))

    def fooled(found: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        progress = next(done, steps) / steps
        loss: torch.Tensor = critic(found, network.features(next(drawn)), progress=progress)
        return how.weight * loss

    return fooled, [critic]
