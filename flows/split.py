"""Which coils of a population are learnt from, which stop and calibrate, which judge; without torch."""

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import train_test_split

from flows.population import Population
from schemas.coils import IntArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Indices into a population: what is learnt from, what stops and calibrates, what judges."""

    training: IntArray
    validation: IntArray
    holdout: IntArray


def split(population: Population, *, validation_share: float, holdout_share: float) -> Split:
    """Split by label, stratified; models that name the same coils and shares share the split, whatever their seed."""
    seed = int(population.digest()[:8], 16)
    everything, is_nok = np.arange(len(population.is_nok)), population.is_nok
    rest, holdout = train_test_split(everything, test_size=holdout_share, stratify=is_nok, random_state=seed)
    share = validation_share / (1 - holdout_share)
    training, validation = train_test_split(rest, test_size=share, stratify=is_nok[rest], random_state=seed)
    return Split(training=training, validation=validation, holdout=holdout)
