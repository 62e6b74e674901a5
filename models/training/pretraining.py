"""Self-supervised pre-training on coils without a label (SimCLR: Chen et al. 2020)."""

from collections.abc import Iterator

import torch

from models.data_spec import Augmentation
from models.objectives_spec import SelfSupervised
from models.training.batches import Drawing, orders
from models.training.contrast import two_views
from models.training.course import Course
from models.training.loop import Stage
from models.training.projection import Projection
from schemas.coils import Float32Array

# Two views of a coil are alike in all that an expert looks past; how far a coil leaves its band is none of that, so
# the contrast changes little.
_VIEWS = Augmentation(mirror=0.5, reverse=0.0, noise=0.02, shift_rows=24, contrast=0.2, offset=0.0)


def pretraining_stage(course: Course, how: SelfSupervised, coils: Float32Array) -> Stage:
    """Features by which a coil is known from its other view among a batch; labels are not looked at.

    Args:
        course: its validation coils say when to stop.
        how: passes and temperature.
        coils: to learn from, float32 [N, C, 264, 18].
    """
    network, projection = course.network, Projection(course.feature_count()).to(course.drawing.device)

    def of(coils: Float32Array, drawing: Drawing) -> Iterator[torch.Tensor]:
        for chosen in orders(len(coils), drawing):
            views = [projection(network.features(drawing.changed(coils[chosen]))) for _ in range(2)]
            yield two_views(*views, temperature=how.temperature)

    def validate() -> float:
        network.eval()
        with torch.inference_mode():
            drawing = course.drawing_of(how=_VIEWS, seed=course.spec.seed)
            return float(torch.stack(list(of(course.validation.coils, drawing))).mean())

    return Stage(
        name="pretraining",
        losses=lambda: of(coils, course.drawing_of(how=_VIEWS)),
        validate=validate,
        helpers=(projection,),
        epochs=how.epochs,
        patience=course.spec.patience,
        learning_rate=course.spec.learning_rate,
    )
