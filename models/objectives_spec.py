"""What a network is trained towards: losses, pairs, contrastive stages, and help from coils without a label."""

from typing import Annotated, Literal

from pydantic import Field

from models.data_spec import DataSpec
from models.spec_part import SpecPart

_Positive = Annotated[float, Field(gt=0)]
_Epochs = Annotated[int, Field(ge=1, le=50)]


class ClassWeights(SpecPart):
    """Weight of a coil in the loss, by its label; the study used 1 and 5."""

    ok: _Positive = 1.0
    nok: _Positive = 5.0


class Loss(SpecPart):
    """Class-weighted cross-entropy, or focal loss (Lin et al. 2017)."""

    kind: Literal["cross_entropy", "focal"] = "cross_entropy"
    gamma: _Positive = 2.0  # of the focal loss


class Pairs(SpecPart):
    """How a Siamese network learns from pairs of coils."""

    loss: Literal["bce", "margin"] = "bce"  # on the similarity, or on the distance (Hadsell et al. 2006)
    margin: _Positive = 1.0
    mining: Literal["balanced", "hard"] = "balanced"


class Contrastive(SpecPart):
    """Features that draw coils of one label together, before or beside the classification."""

    kind: Literal["supervised", "asymmetric", "focal"] = "supervised"
    stages: Literal["two", "joint"] = "two"  # contrastive then cross-entropy, or both at once
    epochs: _Epochs = 10  # of the contrastive stage
    temperature: _Positive = 0.1
    weight: _Positive = 0.5  # beside the cross-entropy, where joint
    gamma: _Positive = 2.0  # of the focal kind


class SelfSupervised(SpecPart):
    """Features learnt from coils without a label, before training (SimCLR: Chen et al. 2020)."""

    unlabelled: DataSpec | None = None  # None: the training coils, their labels unseen
    epochs: _Epochs = 10
    temperature: _Positive = 0.2


class Adaptation(SpecPart):
    """Features that look alike on labelled coils and on recent ones without a label."""

    method: Literal["coral", "mmd", "dann"]  # Sun and Saenko 2016; Long et al. 2015; Ganin et al. 2016
    unlabelled: DataSpec
    weight: _Positive = 1.0


class Synthesis(SpecPart):
    """NOK matrices made by a generator that is trained on the training coils' own."""

    kind: Literal["gan", "diffusion"] = "diffusion"
    coils: Annotated[int, Field(ge=1, le=20_000)] = 500
    epochs: Annotated[int, Field(ge=1, le=500)] = 60


class Threshold(SpecPart):
    """Where NOK begins, chosen on validation coils."""

    rule: Literal["f1", "false_alarms", "costs", "profile"] = "f1"
    most_false_alarms: Annotated[float, Field(gt=0, lt=1)] = 0.05  # share of OK coils that may be called NOK
    cost_missed: _Positive = 20.0  # of a NOK coil called OK, over that of a false alarm
    prevalence: Annotated[float, Field(gt=0, lt=1)] = 0.01  # share of NOK on the line, for costs
    profile: str | None = None  # a tolerance profile of the settings
