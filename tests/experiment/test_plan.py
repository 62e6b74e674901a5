"""Promises of an experiment's plan: folds without leaks, and refusals before anything trains."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.experiment.coils import Material, refuse_shared, refuse_twice
from flows.experiment.plan import plan
from flows.experiment.run import RUNS, Prepared
from schemas.errors import SpecError
from schemas.layout import MATRIX_SHAPE
from tests.experiment.tiny import prepared, spec_of


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared(tmp_path_factory.mktemp("tiny"))


def test_every_coil_is_judged_once_a_repeat_by_a_model_that_did_not_see_it(tiny: Prepared) -> None:
    runs = plan(spec_of(repeats=2, folds=4), tiny.material)
    size = len(tiny.material.population.is_nok)
    for repeat in range(2):
        own = [run for run in runs if run.repeat == repeat and run.model == "shallow"]
        np.testing.assert_array_equal(np.sort(np.concatenate([run.judged for run in own])), np.arange(size))
        for run in own:
            together = np.concatenate([run.training, run.validation, run.judged])
            np.testing.assert_array_equal(np.sort(together), np.arange(size))
    first, second = (next(run for run in runs if run.repeat == repeat) for repeat in range(2))
    assert set(first.judged) != set(second.judged)


def test_folds_and_validation_hold_both_labels_in_their_share(tiny: Prepared) -> None:
    is_nok = tiny.material.population.is_nok
    for run in plan(spec_of(folds=4), tiny.material):
        for part in (run.training, run.validation, run.judged):
            assert abs(is_nok[part].mean() - is_nok.mean()) < 0.12


def test_models_share_folds_validation_and_seeds(tiny: Prepared) -> None:
    for place in {(run.repeat, run.fold) for run in tiny.runs}:
        same = [run for run in tiny.runs if (run.repeat, run.fold) == place]
        assert len({run.spec.seed for run in same}) == 1
        assert len({run.validation.tobytes() for run in same}) == 1


def test_the_first_folds_are_those_of_all_folds_where_only_so_many_are_trained(tiny: Prepared) -> None:
    every, few = plan(spec_of(folds=4), tiny.material), plan(spec_of(folds=4, train_folds=3), tiny.material)
    assert [run.id for run in few] == [run.id for run in every if run.fold < 3]


def test_a_learning_curve_learns_from_just_so_many_labels_each_holding_the_ones_before(tiny: Prepared) -> None:
    spec = spec_of(train_share=[1.0, 0.5], learning_curve=[12, 24])
    runs = [run for run in plan(spec, tiny.material) if run.model == "shallow" and run.fold == 0]
    assert [len(run.training) + len(run.validation) for run in runs] == [40, 20, 12, 24]
    by_size = sorted(runs, key=lambda run: len(run.training))
    for smaller, larger in pairwise(by_size):
        assert set(smaller.training) < set(larger.training)
        assert set(smaller.validation) <= set(larger.validation)


def test_an_id_tells_what_shapes_a_model_and_not_its_name(tiny: Prepared) -> None:
    def ids(**changes: object) -> set[str]:
        return {run.id for run in plan(spec_of(**changes), tiny.material)}

    models = {"other": {"kind": "cnn3"}, "rule": {"kind": "rule"}}
    assert ids(models=models, ensembles={}, compare=[]) == ids()
    for changes in ({"seed": 1}, {"base": {"epochs": 2, "batch": 16, "learning_rate": 0.002}}):
        assert not ids(**changes) & ids()


def test_amounts_that_come_to_the_same_coils_are_trained_once(tiny: Prepared) -> None:
    spec = spec_of(train_share=[1.0, 0.5], learning_curve=[20, 40], ensembles={}, compare=[])
    twice = replace(tiny, spec=spec, runs=plan(spec, tiny.material))
    ids = [run.id for run in twice.runs]
    assert len(ids) == 2 * len(set(ids))
    assert [run.id for run in twice.missing] == list(dict.fromkeys(ids))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"folds": 60}, "key folds: 60 folds of 80 coils, of which 18 are NOK"),
        ({"learning_curve": [41]}, "key learning_curve: 41 labelled coils are asked for, a fold leaves 40"),
        ({"train_share": [0.05], "compare": []}, "key train_share: of shallow@0.05"),
    ],
)
def test_what_coils_cannot_give_is_refused_before_anything_trains(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(SpecError) as caught:
        prepared(tmp_path, **changes)
    assert said in str(caught.value)
    assert not (tmp_path / RUNS).exists()


def test_a_coil_that_occurs_twice_is_refused(tiny: Prepared) -> None:
    population = tiny.material.population
    batch = population.batch.take(pa.array([*range(80), 7]))
    with pytest.raises(SpecError, match=r"key data: coil .* occurs 2 times, so it could be learnt from in one fold"):
        refuse_twice(replace(population, batch=batch), "data")


def test_a_coil_of_the_same_readings_under_two_names_is_refused(tmp_path: Path) -> None:
    source = _grey(tmp_path, ids=[str(i) for i in range(40)], seed=0, twins=True)
    with pytest.raises(SpecError, match=r"key data: coil with readings .* occurs 2 times"):
        prepared(tmp_path, data={"source": source}, gold=[], base={"scale": "self"})


def test_grey_levels_refuse_a_model_on_scale_limits(tmp_path: Path) -> None:
    source = _grey(tmp_path, ids=[str(i) for i in range(40)], seed=0)
    with pytest.raises(SpecError, match=r"key models\.shallow\.scale"):
        prepared(tmp_path, data={"source": source}, gold=[])


def test_gold_coils_that_are_learnt_from_are_refused(tmp_path: Path) -> None:
    gold = [{"name": "g", "data": {"simulate": {"coils": 70, "seed": 5}}}]
    with pytest.raises(SpecError, match=r"key gold: .* are both learnt from and judged on"):
        prepared(tmp_path, gold=gold)


def test_unlabelled_coils_that_are_judged_are_refused(tmp_path: Path) -> None:
    adapt = {"method": "coral", "unlabelled": {"simulate": {"coils": 60, "seed": 6}}}
    models = {"a": {"kind": "cnn3", "adapt": adapt}}
    with pytest.raises(SpecError, match=r"key adapt or pretrain: .* are both learnt from and judged on"):
        prepared(tmp_path, models=models, ensembles={}, compare=[])


def test_a_label_outside_the_set_is_refused(tiny: Prepared) -> None:
    population = tiny.material.population
    labels = pa.array(["OK", "NOK", "MAYBE", *["OK"] * 77])
    column = population.batch.schema.get_field_index("label")
    batch = population.batch.set_column(column, population.batch.schema.field(column), labels)
    changed = replace(population, batch=batch)
    with pytest.raises(SpecError, match="a label is 'MAYBE', expected OK or NOK"):
        plan(tiny.spec, replace(tiny.material, population=changed))


def test_separate_coils_are_not_refused(tiny: Prepared) -> None:
    refuse_shared(tiny.material)
    refuse_shared(Material(population=tiny.material.population, gold=(), unlabelled={}))


def _grey(folder: Path, *, ids: list[str], seed: int, twins: bool = False) -> str:
    cells = MATRIX_SHAPE[0] * MATRIX_SHAPE[1]
    grey = np.random.default_rng(seed).integers(0, 256, (len(ids), cells), dtype=np.uint8)
    if twins:
        grey[1] = grey[0]
    labels = ["OK", "NOK"] * (len(ids) // 2)
    table = {
        "coil_id": ids,
        "label": labels,
        "grey": pa.FixedSizeListArray.from_arrays(pa.array(grey.reshape(-1)), cells),
    }
    pq.write_table(pa.table(table), folder / "grey.parquet")
    return str(folder / "grey.parquet")
