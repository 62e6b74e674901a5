"""Promises of the split of a population."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.population import BOTH_LABELS, Population
from flows.split import Split, split
from schemas.coils import CoilKey, IntArray
from schemas.errors import SpecError
from schemas.layout import MATRIX_SHAPE
from schemas.matrices import matrix_batch
from tests.models.coils import LIMITS

PARTS = ("training", "validation", "holdout")
_ids = st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=25, unique=True)


def _population(ids: Sequence[str], labels: Sequence[str], *, plant: str = "p", reading: int = 0) -> Population:
    size = len(ids)
    matrix = np.zeros((size, *MATRIX_SHAPE), dtype=np.float32)
    batch = matrix_batch(
        keys=[CoilKey(plant=plant, coil_id=one) for one in ids],
        revisions=[f"{reading + place:064x}" for place in range(size)],
        matrix=matrix,
        spread=matrix,
        observed=np.ones(size),
        scale="limits",
        columns={"label": labels, "limits_version": [LIMITS.version] * size},
    )
    return Population(batch=batch, limits=LIMITS, source="line")


def _line(ok: int, nok: int, *, first: int = 0) -> Population:
    return _population([str(first + i) for i in range(ok + nok)], ["OK"] * ok + ["NOK"] * nok)


def _parts(
    population: Population,
    *,
    validation_share: float = 0.15,
    holdout_share: float = 0.2,
    needed: Sequence[str] = BOTH_LABELS,
) -> Split:
    return split(population, validation_share=validation_share, holdout_share=holdout_share, needed=needed)


def _part_of(population: Population, *, validation_share: float = 0.15, holdout_share: float = 0.2) -> dict[str, str]:
    """The part of each coil, by its id."""
    parts = _parts(population, validation_share=validation_share, holdout_share=holdout_share, needed=())
    ids = population.batch.column("coil_id").to_pylist()
    return {ids[i]: name for name in PARTS for i in getattr(parts, name)}


def _ids_in_order(population: Population, index: IntArray) -> list[str]:
    ids: list[str] = population.batch.column("coil_id").take(pa.array(index)).to_pylist()
    return ids


@given(ids=_ids, first=st.integers(0, 25))
def test_no_coil_changes_its_part_when_coils_are_added(ids: list[str], first: int) -> None:
    whole = _part_of(_population(ids, ["OK"] * len(ids)))
    part = _part_of(_population(ids[:first], ["OK"] * len(ids[:first])))
    assert part.items() <= whole.items()
    assert whole.keys() == set(ids)


@given(ids=_ids, label=st.sampled_from(["OK", "NOK"]), reading=st.integers(1, 9))
def test_a_coil_keeps_its_part_when_it_is_labelled_or_read_anew(ids: list[str], label: str, reading: int) -> None:
    before = _part_of(_population(ids, ["OK"] * len(ids)))
    assert _part_of(_population(ids, [label] * len(ids), plant="another name", reading=reading)) == before


@given(data=st.data(), ids=_ids)
def test_the_same_coils_in_another_order_give_the_same_parts_in_the_same_order(
    data: st.DataObject, ids: list[str]
) -> None:
    population = _population(ids, ["OK"] * len(ids))
    order = data.draw(st.permutations(range(len(ids))))
    shuffled = Population(batch=population.batch.take(pa.array(order)), limits=LIMITS, source="line")
    one, other = (_parts(each, needed=()) for each in (population, shuffled))
    for name in PARTS:
        found = _ids_in_order(shuffled, getattr(other, name))
        assert found == _ids_in_order(population, getattr(one, name))


@given(first=st.integers(0, 10**9))
def test_of_some_hundred_coils_parts_have_about_their_shares_of_each_label(first: int) -> None:
    population = _line(200, 200, first=first)
    parts = _parts(population)
    for part, share in ((parts.validation, 0.15), (parts.holdout, 0.2)):
        for nok in (True, False):
            found = np.count_nonzero(population.is_nok[part] == nok)
            assert abs(found - 200 * share) < 6 * np.sqrt(200 * share * (1 - share))  # one draw in a billion is farther


def test_every_coil_is_in_one_part() -> None:
    parts = _parts(_line(90, 30))
    together = np.concatenate([parts.training, parts.validation, parts.holdout])
    np.testing.assert_array_equal(np.sort(together), np.arange(120))


def test_a_larger_share_takes_training_coils_alone() -> None:
    before, after = _part_of(_line(200, 0)), _part_of(_line(200, 0), validation_share=0.3, holdout_share=0.4)
    assert before != after
    assert all(before[coil] in ("training", part) for coil, part in after.items())


@pytest.mark.parametrize("nok", [0, 1, 9])
def test_a_label_that_is_not_needed_may_be_in_no_part(nok: int) -> None:
    parts = _parts(_line(60, nok), needed=("OK",))
    assert len(parts.training) + len(parts.validation) + len(parts.holdout) == 60 + nok


@pytest.mark.parametrize(("validation", "holdout", "part"), [(0.001, 0.2, "validation"), (0.2, 0.001, "holdout")])
def test_a_part_without_a_label_that_is_needed_is_refused(validation: float, holdout: float, part: str) -> None:
    population = _line(990, 10)
    with pytest.raises(SpecError, match=rf"line: of 1000 coils the {part} part has \d+, none of them NOK") as caught:
        _parts(population, validation_share=validation, holdout_share=holdout)
    assert f"{part}_share" in caught.value.remedy
    found = _parts(population, validation_share=validation, holdout_share=holdout, needed=("OK",))
    assert len(getattr(found, part)) > 0
