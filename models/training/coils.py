"""What goes into training and what comes out of it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from models.networks import Network
from schemas.coils import BoolArray, Float32Array

StageName = Literal["pretraining", "contrastive", "training"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledCoils:
    """N coils on the scale of the model: `coils` float32 [N, C, 264, 18], as networks take them, and `is_nok` [N]."""

    coils: Float32Array
    is_nok: BoolArray

    def __len__(self) -> int:
        return len(self.is_nok)

    def take(self, index: np.ndarray) -> "LabelledCoils":
        """The coils at the given places."""
        return LabelledCoils(coils=self.coils[index], is_nok=self.is_nok[index])


@dataclass(frozen=True, kw_only=True, slots=True)
class Background:
    """What training leans on beside labelled coils; coils are float32 [N, C, 264, 18], their labels unseen."""

    parent: bytes | None = None  # weights.safetensors that training begins with
    unlabelled: Float32Array | None = None  # to pre-train on; None: the training coils
    recent: Float32Array | None = None  # to adapt to; needed where the specification says `adapt`


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """What one pass over the training coils led to; losses are those of the stage."""

    number: int  # from 1 in each stage
    training_loss: float
    validation_loss: float
    best: bool
    stage: StageName = "training"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A network at its best epoch, on the CPU in evaluation mode, and how it got there."""

    network: Network
    epochs: tuple[Epoch, ...]  # of all stages, in order; none where nothing is trained by passes
    temperature: float  # divides the log-odds
