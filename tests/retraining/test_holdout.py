"""Promises of the draw that divides labelled coils."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.population import Population
from flows.split import split
from schemas.coils import CoilKey
from schemas.matrices import matrix_batch

IDS = st.lists(st.integers(1, 10**6).map(str), min_size=1, max_size=60, unique=True)


def _population(labels: dict[str, bool]) -> Population:
    size = len(labels)
    matrix = np.zeros((size, 264, 18), dtype=np.float32)
    batch = matrix_batch(
        keys=[CoilKey(plant="linz", coil_id=coil) for coil in labels],
        revisions=[f"r{coil}" for coil in labels],
        matrix=matrix,
        spread=matrix,
        observed=np.ones(size),
        scale="limits",
        columns={"label": ["NOK" if nok else "OK" for nok in labels.values()]},
    )
    return Population(batch=batch, limits=None, source="drawn")


def _parts(labels: dict[str, bool]) -> dict[str, set[str]]:
    population = _population(labels)
    ids = population.batch.column("coil_id").to_pylist()
    found = split(population, validation_share=0.15, holdout_share=0.2, needed=())
    return {part: {ids[i] for i in getattr(found, part)} for part in ("training", "validation", "holdout")}


@given(ids=IDS, later=IDS, turned=st.sets(st.integers(0, 59)))
@settings(max_examples=40)
def test_a_coil_of_the_holdout_never_trains_however_labels_grow_and_change(
    ids: list[str], later: list[str], turned: set[int]
) -> None:
    first = dict.fromkeys(ids, False)
    second = {**dict.fromkeys(later, True), **{coil: place in turned for place, coil in enumerate(ids)}}
    before, after = _parts(first), _parts(second)
    assert not before["holdout"] & (after["training"] | after["validation"])
    assert not after["holdout"] & (before["training"] | before["validation"])
    assert before["holdout"] <= after["holdout"]
