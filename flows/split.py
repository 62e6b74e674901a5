"""Which coils of a population are learnt from, which stop and calibrate, which judge; without torch."""

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import train_test_split

from flows.population import LEAST_OF_A_LABEL, Population
from schemas.coils import IntArray
from schemas.errors import SpecError


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Indices into a population: what is learnt from, what stops and calibrates, what judges."""

    training: IntArray
    validation: IntArray
    holdout: IntArray


def split(population: Population, *, validation_share: float, holdout_share: float) -> Split:
    """Split by label; models that name the same coils and shares share the split, whatever their seed.

    Stratified, unless one label is too rare for that, as where an anomaly detector begins.

    Args:
        population: labelled coils.
        validation_share: of all coils, in (0, 1).
        holdout_share: of all coils, in (0, 1); both shares leave some to learn from.

    Raises:
        SpecError: a share is so small that a part has not a coil of each label.
    """
    seed = int(population.digest()[:8], 16)
    everything, is_nok = np.arange(len(population.is_nok)), population.is_nok
    strata = is_nok if min(is_nok.sum(), (~is_nok).sum()) >= LEAST_OF_A_LABEL else np.zeros_like(is_nok)
    try:
        rest, holdout = train_test_split(everything, test_size=holdout_share, stratify=strata, random_state=seed)
        share = validation_share / (1 - holdout_share)
        training, validation = train_test_split(rest, test_size=share, stratify=strata[rest], random_state=seed)
    except ValueError as error:
        raise SpecError(
            f"{population.source}: {len(everything)} coils cannot be split into shares of {validation_share:g} to "
            f"validate and {holdout_share:g} to judge ({error})",
            remedy="give more labelled coils, or raise validation_share or holdout_share in the specification",
        ) from error
    return Split(training=training, validation=validation, holdout=holdout)
