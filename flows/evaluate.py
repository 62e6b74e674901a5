"""Judge a labelled source and measure the verdicts against the labels."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from flows.assess import Judged
from models.evaluation import Evaluation, evaluate
from schemas.errors import SourceError
from schemas.verdicts import Label


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluated:
    """The metrics, and how many judged coils had no label."""

    evaluation: Evaluation
    unlabelled: int


def evaluate_source(judged: Iterable[Judged], *, name: str, prevalence: float | None) -> Evaluated:
    """Measure verdicts; an undecided coil counts by its `p_nok` against its threshold, one without a label not at all.

    Raises:
        SourceError: no coil has a label.
    """
    p_nok: list[float] = []
    is_nok: list[bool] = []
    predicted: list[bool] = []
    undecided = unlabelled = 0
    for batch in judged:
        for coil in batch.coils:
            if coil.truth is None:
                unlabelled += 1
                continue
            p_nok.append(coil.verdict.p_nok)
            is_nok.append(coil.truth == "NOK")
            predicted.append(coil.verdict.p_nok >= coil.verdict.threshold)
            undecided += coil.verdict.label is Label.UNDECIDED
    if not p_nok:
        raise SourceError(
            f"{name} has no labelled coil that could be judged",
            remedy="give OK or NOK in CLASSLABEL, Label or label; events carry no labels",
        )
    evaluation = evaluate(
        p_nok=np.array(p_nok),
        is_nok=np.array(is_nok),
        predicted_nok=np.array(predicted),
        undecided=undecided,
        prevalence=prevalence,
    )
    return Evaluated(evaluation=evaluation, unlabelled=unlabelled)
