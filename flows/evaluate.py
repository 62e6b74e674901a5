"""Judge a labelled source, measure the verdicts against the labels, and say where they go wrong."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from flows.assess import Judged, JudgedCoil
from flows.error_groups import Traits, TrueCauses, groups_of, looks_like
from models.error_rows import ErrorRow, error_rows
from models.evaluation import Evaluation, evaluate
from models.kinds import KindModel
from schemas.coils import Limits
from schemas.errors import SourceError
from schemas.verdicts import Label


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluated:
    """The metrics, where verdicts go wrong, and how many judged coils had no label."""

    evaluation: Evaluation
    errors: tuple[ErrorRow, ...]
    unlabelled: int

    def as_json(self) -> dict[str, Any]:
        """The object that `coilflow evaluate --json` prints."""
        return {**self.evaluation.as_json(), "errors": [row.as_json() for row in self.errors]}


def evaluate_source(
    judged: Iterable[Judged],
    *,
    name: str,
    prevalence: float | None,
    limits: Limits,
    kinds: KindModel,
    truth: TrueCauses | None = None,
) -> Evaluated:
    """Measure verdicts; an undecided coil counts by its `p_nok` against its threshold, one without a label not at all.

    Args:
        judged: the coils, batch by batch.
        name: of the source, for errors.
        prevalence: share of NOK that metrics are weighted to, in (0, 1); None: that of the coils.
        limits: by which coils of scale `limits` were normalised.
        kinds: says what coils look like.
        truth: what the simulated line did to them, where it is known.

    Raises:
        SourceError: no coil has a label.
    """
    p_nok: list[float] = []
    is_nok: list[bool] = []
    predicted: list[bool] = []
    traits: list[Traits] = []
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
            traits.append(_traits(coil, limits, kinds))
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
    errors = error_rows(groups_of(traits, truth), np.array(is_nok), np.array(predicted))
    return Evaluated(evaluation=evaluation, errors=errors, unlabelled=unlabelled)


def _traits(coil: JudgedCoil, limits: Limits, kinds: KindModel) -> Traits:
    known = limits if coil.scale == "limits" else None
    looks = looks_like(coil.matrix, limits=known, length_m=coil.length_m, kinds=kinds)
    return Traits(
        coil_id=coil.verdict.key.coil_id,
        band_g_m2=coil.band_g_m2,
        length_m=coil.length_m,
        looks_like=looks,
        reasons=coil.verdict.reasons,
    )
