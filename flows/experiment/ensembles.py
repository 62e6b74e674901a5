"""Models that decide together: everything they choose, they choose on validation coils."""

from collections.abc import Sequence

import numpy as np

from flows.experiment.results import VALIDATION, Scores, Split
from flows.experiment.spec import EnsembleSpec
from models.combine import Rule, combine
from models.combine_fit import choose_top_k, fit_stacking, fit_weighted
from models.objectives_spec import Threshold
from models.thresholds import chosen_threshold
from schemas.coils import BoolArray, FloatArray


def together(spec: EnsembleSpec, members: Sequence[Scores], rule: Threshold) -> Scores:
    """What an ensemble of one run of each member says, on the same coils.

    Args:
        spec: how they are combined, as `models.combine` does; `top_k` keeps the members of `choose_top_k`.
        members: of the same repeat, fold and amount, in the order of the specification.
        rule: how the ensemble's threshold is chosen on validation coils, a union's too: its members' own thresholds
            say what of each counts as how much, and together they would call more coils NOK than the rule allows.

    Raises:
        SourceError: no weights were found, or the validation coils cannot give the threshold.
    """
    is_nok = members[0].splits[VALIDATION].is_nok
    taken = tuple(range(len(members)))
    if spec.top_k is not None:
        by_place = {str(place): one.splits[VALIDATION].p_nok for place, one in enumerate(members)}
        taken = tuple(sorted(int(place) for place in choose_top_k(by_place, is_nok, spec.top_k)))
        members = [members[place] for place in taken]
    combined = {name: np.stack([one.splits[name].p_nok for one in members], axis=1) for name in members[0].splits}
    how = _rule(spec, combined[VALIDATION], is_nok, members)
    splits = {
        name: Split(coils=split.coils, is_nok=split.is_nok, p_nok=combine(combined[name], how))
        for name, split in members[0].splits.items()
    }
    threshold = chosen_threshold(rule, splits[VALIDATION].p_nok, is_nok, profiles={})
    return Scores(splits=splits, threshold=threshold, members=taken)


def _rule(spec: EnsembleSpec, p_nok: FloatArray, is_nok: BoolArray, members: Sequence[Scores]) -> Rule:
    match spec.combine:
        case "weighted":
            return fit_weighted(p_nok, is_nok)
        case "stacking":
            return fit_stacking(p_nok, is_nok)
        case "union":
            return Rule(how="union", thresholds=tuple(one.threshold for one in members))
        case _:
            return Rule(how=spec.combine)
