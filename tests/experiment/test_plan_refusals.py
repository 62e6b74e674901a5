"""Promises of an experiment's plan: what would end it in its middle, or make its figures untrue, is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import flows.experiment
from console.cli import run as coilflow
from flows.experiment.coils import Material, data_key, gather, opened
from flows.experiment.plan import Run, plan
from flows.experiment.refusals import unlabelled_of
from flows.experiment.spec import ExperimentSpec, merged, model_trees, read_experiment, train_spec
from flows.population import Population
from models.data_spec import DataSpec
from models.networks.weights import SIMULATED
from schemas.coils import Limits
from schemas.errors import SpecError
from tests.experiment.tiny import PLANT, SHALLOW, spec_of
from tests.models.coils import LIMITS

SPECS = sorted((Path(flows.experiment.__file__).parent / "specs").glob("*.yaml"))
OTHER = Limits(low=-90.0, high=150.0)


def _population(coils: int, nok: int, *, limits: Limits | None = LIMITS, plant: str = "p") -> Population:
    """Coils without a matrix, which a plan never looks at."""
    ids = [f"{i:05d}" for i in range(coils)]
    labels = np.where(np.random.default_rng(0).permutation(coils) < nok, "NOK", "OK").tolist()
    columns = {"plant": [plant] * coils, "coil_id": ids, "revision": [f"{plant}{i}" for i in ids], "label": labels}
    return Population(batch=pa.RecordBatch.from_pydict(columns), limits=limits, source=plant)


def _planned(spec: ExperimentSpec, population: Population, **others: Limits | None) -> tuple[Run, ...]:
    """The plan on made-up coils; `others` are the limits of `gold` and `unlabelled` coils."""
    gold = _population(60, 30, limits=others.get("gold", LIMITS), plant="gold")
    blind = _population(60, 30, limits=others.get("unlabelled", LIMITS), plant="unlabelled")
    named = [data for name in model_trees(spec) for data in unlabelled_of(train_spec(spec, name, seed=0))]
    material = Material(
        population=population,
        gold=tuple((one.name, gold) for one in spec.gold),
        unlabelled={data_key(data): blind for data in named},
    )
    return plan(spec, material)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_specification_of_the_repository_can_be_planned_on_the_studys_coils(path: Path) -> None:
    spec = read_experiment(path)
    absent = {  # weights of the larger sizes are not installed everywhere
        name
        for name in model_trees(spec)
        if train_spec(spec, name, seed=0).network.weights == "simulated"
        and not (SIMULATED / f"{train_spec(spec, name, seed=0).kind}.safetensors").is_file()
    }
    assert not absent
    runs = _planned(spec, _population(4542, 132))
    assert {run.model for run in runs} == set(model_trees(spec))


def test_a_bound_on_false_alarms_that_so_few_coils_cannot_show_is_refused_before_training() -> None:
    changes = {**SHALLOW, "learning_curve": [200]}
    population = _population(4542, 132)
    with pytest.raises(SpecError, match=r"key threshold of shallow@200: 29 OK validation coils cannot show"):
        _planned(
            spec_of(**changes, base={"threshold": {"rule": "false_alarms", "most_false_alarms": 0.067}}), population
        )
    assert _planned(spec_of(**changes), population)


def test_a_model_that_learns_from_ok_coils_alone_needs_no_nok_coil_but_for_its_threshold() -> None:
    changes: dict[str, Any] = {"models": {"a": {"kind": "anomaly"}}, "ensembles": {}, "compare": []}
    population = _population(1000, 12)
    with pytest.raises(SpecError, match=r"key threshold of a@30: .* 5 OK and 0 NOK, and rule f1 needs both labels"):
        _planned(spec_of(**changes, learning_curve=[30]), population)
    bound = {"threshold": {"rule": "false_alarms", "most_false_alarms": 0.6}}
    assert _planned(spec_of(**changes, learning_curve=[30], base=bound), population)


def test_a_rule_of_another_name_leaves_nothing_of_the_first_behind() -> None:
    assert merged({"threshold": {"rule": "false_alarms", "most_false_alarms": 0.1}}, {"threshold": {"rule": "f1"}}) == {
        "threshold": {"rule": "f1"}
    }
    same = {"threshold": {"rule": "costs", "cost_missed": 3}}
    assert merged(same, {"threshold": {"prevalence": 0.1}})["threshold"] == {**same["threshold"], "prevalence": 0.1}


def test_grey_gold_and_grey_unlabelled_coils_are_refused_for_a_model_on_scale_limits() -> None:
    population = _population(80, 20)
    with pytest.raises(SpecError, match=r"key models\.shallow\.scale: the coils of gold \(gold\), gold, are grey"):
        _planned(spec_of(**SHALLOW), population, gold=None)
    assert _planned(spec_of(**SHALLOW, base={"scale": "self"}), population, gold=None)
    adapt = {"method": "coral", "unlabelled": {"simulate": {"coils": 60, "seed": 8}}}
    adapted = {**SHALLOW, "models": {"a": {"kind": "cnn3", "adapt": adapt}}}
    with pytest.raises(SpecError, match=r"key models\.a\.scale: the coils of adapt or pretrain"):
        _planned(spec_of(**adapted), population, unlabelled=None)


def test_coils_that_are_normalised_with_other_limits_are_refused() -> None:
    with pytest.raises(SpecError, match=rf"key gold \(gold\): .* {OTHER.version}, those of data with {LIMITS.version}"):
        _planned(spec_of(**SHALLOW), _population(80, 20), gold=OTHER)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"kind": "yolov8x-cls", "network": {"weights": "simulated"}}, "no weights of yolov8x-cls pre-trained"),
        ({"kind": "yolov8n-cls", "network": {"weights": "gone.safetensors"}}, "there is no .* gone.safetensors"),
        ({"kind": "yolov8n-cls", "network": {"weights": "simulate"}}, "there is no .* file simulate"),
    ],
)
def test_weights_that_are_not_there_are_refused_before_training(model: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=rf"key network\.weights of a: {said}"):
        _planned(spec_of(**{**SHALLOW, "models": {"a": model}}), _population(80, 20))


def test_weights_that_have_learnt_from_the_judged_line_are_refused() -> None:
    models = {"a": {"kind": "yolov8n-cls", "network": {"weights": "simulated"}}}
    line = {"simulate": {"coils": 60, "seed": 31}}
    for changes in ({"data": line}, {"gold": [{"name": "g", "data": line}]}):
        with pytest.raises(SpecError, match=r"key network\.weights of a: .* the line of seed 31"):
            _planned(spec_of(**{**SHALLOW, "models": models, **changes}), _population(80, 20))


@pytest.mark.parametrize("source", ["the simulator", "a source"])
def test_kept_coils_are_told_apart_by_the_limits_they_are_normalised_with(tmp_path: Path, source: str) -> None:
    if source == "a source":
        line = tmp_path / "line"
        assert coilflow(["simulate", "--coils", "60", "--defect-share", "0.4", "--out", str(line)]) == 0
        data = DataSpec(source=str(line))
    else:
        data = DataSpec.model_validate({"simulate": {"coils": 60, "seed": 6}})
    places = [gather(data, limits, tmp_path / "kept", PLANT, key="data") for limits in (LIMITS, OTHER, LIMITS)]
    assert [opened(place).limits for place in places] == [LIMITS, OTHER, LIMITS]
    assert places[0] == places[2] != places[1]
    first, second = (opened(place).batch.column("matrix") for place in places[:2])
    assert first != second
