"""Promises of the split of a population."""

import numpy as np
import pyarrow as pa
import pytest

from flows.population import Population
from flows.split import split
from schemas.errors import SpecError
from tests.models.coils import LIMITS, batch_of, random_matrix

MATRIX = random_matrix(1)


def _population(ok: int, nok: int) -> Population:
    batch = batch_of(np.repeat(MATRIX, ok + nok, axis=0))
    place = batch.schema.get_field_index("label")
    labels = pa.array(["OK"] * ok + ["NOK"] * nok)
    return Population(batch=batch.set_column(place, batch.schema.field(place), labels), limits=LIMITS, source="line")


def test_every_coil_is_in_one_part_and_each_part_has_its_share_of_nok_coils() -> None:
    population = _population(ok=90, nok=30)
    parts = split(population, validation_share=0.15, holdout_share=0.2)
    together = np.concatenate([parts.training, parts.validation, parts.holdout])
    np.testing.assert_array_equal(np.sort(together), np.arange(120))
    assert (len(parts.validation), len(parts.holdout)) == (18, 24)
    shares = [population.is_nok[part].mean() for part in (parts.training, parts.validation, parts.holdout)]
    assert np.ptp(shares) < 0.05


def test_the_same_coils_are_split_alike() -> None:
    one, other = (split(_population(ok=40, nok=20), validation_share=0.2, holdout_share=0.2) for _ in range(2))
    np.testing.assert_array_equal(one.holdout, other.holdout)
    np.testing.assert_array_equal(one.validation, other.validation)


@pytest.mark.parametrize("nok", [0, 1, 9])
def test_a_label_too_rare_to_be_stratified_hinders_no_split(nok: int) -> None:
    parts = split(_population(ok=60, nok=nok), validation_share=0.2, holdout_share=0.2)
    assert len(parts.training) + len(parts.validation) + len(parts.holdout) == 60 + nok


def test_shares_that_leave_a_part_without_a_label_are_refused() -> None:
    with pytest.raises(SpecError, match="line: 20 coils cannot be split into shares"):
        split(_population(ok=10, nok=10), validation_share=0.15, holdout_share=0.01)
