"""What every stage of one training has at hand."""

from dataclasses import dataclass, replace

import torch

from models.data_spec import Augmentation
from models.networks import Network
from models.objectives_spec import ClassWeights
from models.spec import TrainSpec
from models.training.batches import Drawing
from models.training.coils import LabelledCoils
from models.training.scoring import features


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """One network in training: its specification, its coils, and the draws of its batches."""

    spec: TrainSpec
    network: Network  # on the device of the drawing
    training: LabelledCoils
    validation: LabelledCoils
    validation_weights: ClassWeights  # by the share of NOK in the training coils that are real
    drawing: Drawing

    def feature_count(self) -> int:
        """D, of the features that the network gives."""
        return features(self.network, self.training.coils[:1]).shape[1]

    def drawing_of(self, *, how: Augmentation, seed: int | None = None) -> Drawing:
        """The drawing with another augmentation and, where a seed is given, with a generator of its own."""
        generator = self.drawing.generator if seed is None else torch.Generator().manual_seed(seed)
        return replace(self.drawing, augment=how, generator=generator)
