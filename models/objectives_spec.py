"""What a network is trained towards: losses, pairs, contrastive stages, and help from coils without a label."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from models.data_spec import DataSpec, Share
from models.spec_part import SpecPart, refuse_idle

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

    @model_validator(mode="after")
    def _keys_that_the_kind_has(self) -> "Loss":
        refuse_idle(self, () if self.kind == "focal" else ("gamma",), f"kind is {self.kind}")
        return self


class Pairs(SpecPart):
    """How a Siamese network learns from pairs of coils."""

    loss: Literal["bce", "margin"] = "bce"  # on the similarity, or on the distance (Hadsell et al. 2006)
    margin: _Positive = 1.0  # of the distance
    mining: Literal["balanced", "hard"] = "balanced"

    @model_validator(mode="after")
    def _keys_that_the_loss_has(self) -> "Pairs":
        refuse_idle(self, () if self.loss == "margin" else ("margin",), f"loss is {self.loss}")
        return self


class Contrastive(SpecPart):
    """Features that draw coils of one label together, before or beside the classification."""

    kind: Literal["supervised", "asymmetric", "focal"] = "supervised"
    stages: Literal["two", "joint"] = "two"  # contrastive then cross-entropy, or both at once
    epochs: _Epochs = 10  # of the contrastive stage, where two
    temperature: _Positive = 0.1
    weight: _Positive = 0.5  # beside the cross-entropy, where joint
    gamma: _Positive = 2.0  # of the focal kind
    # Of the asymmetric kind. The paper takes up to 300 where a batch is as unbalanced as its images; batches of the
    # stage are half NOK, so neither term drowns the other.
    eta: _Positive = 1.0

    @model_validator(mode="after")
    def _keys_that_kind_and_stages_have(self) -> "Contrastive":
        of_kind = {"focal": "gamma", "asymmetric": "eta"}
        refuse_idle(self, {"gamma", "eta"} - {of_kind.get(self.kind)}, f"kind is {self.kind}")
        refuse_idle(self, ("weight",) if self.stages == "two" else ("epochs",), f"stages is {self.stages}")
        return self


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


def _prevalence(told: dict[str, Any]) -> float | None:
    return None if told.get("rule") == "f1" else 0.01


class Threshold(SpecPart):
    """Where NOK begins, chosen on validation coils."""

    rule: Literal["f1", "false_alarms", "costs", "profile"] = "f1"
    # The rule of false alarms needs no NOK coil, so it stands in for the others where none validates.
    most_false_alarms: Annotated[float, Field(gt=0, lt=1)] = 0.05  # share of OK coils called NOK
    cost_missed: _Positive = 20.0  # of a NOK coil called OK, over that of a false alarm
    # Share of NOK on the line, for f1 and costs; None: that of the validation coils, as unless given for f1.
    prevalence: Share | None = Field(default_factory=_prevalence)
    profile: str | None = None  # a tolerance profile of the settings

    @model_validator(mode="after")
    def _keys_that_the_rule_has(self) -> "Threshold":
        keys = {
            "f1": {"prevalence"},
            "false_alarms": set(),
            "costs": {"cost_missed", "prevalence"},
            "profile": {"profile"},
        }
        refuse_idle(self, set().union(*keys.values()) - keys[self.rule], f"rule is {self.rule}")
        return self
