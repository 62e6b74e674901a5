"""A small experiment that the tests of this room share."""

from pathlib import Path
from typing import Any

import yaml

from flows.experiment.coils import Plant
from flows.experiment.results import PREDICTIONS
from flows.experiment.run import RUNS, Prepared, prepare
from flows.experiment.spec import ExperimentSpec, read_experiment
from schemas.mapping import OUR_NAMES
from tests.models.coils import LIMITS

PLANT = Plant(limits=LIMITS, name="p", mapping=OUR_NAMES)
TINY: dict[str, Any] = {
    "name": "tiny",
    "data": {"simulate": {"coils": 80, "seed": 5}},
    "gold": [{"name": "gold", "data": {"simulate": {"coils": 60, "seed": 6, "each_label": 10}}}],
    "folds": 2,
    "base": {"epochs": 1, "batch": 16, "learning_rate": 0.002},
    "models": {"shallow": {"kind": "cnn3"}, "rule": {"kind": "rule"}},
    "ensembles": {"both": {"members": ["shallow", "rule"]}},
    "compare": [["shallow", "rule"], ["both", "shallow"]],
}
SHALLOW: dict[str, Any] = {"models": {"shallow": {"kind": "cnn3"}}, "ensembles": {}, "compare": []}
# A detector of which nothing shows before it is trained that it gets too few OK coils.
UNTRAINABLE: dict[str, Any] = {**SHALLOW, "models": {"few": {"kind": "anomaly"}}, "train_share": [0.4]}


def spec_of(**changes: object) -> ExperimentSpec:
    """The tiny experiment with some keys changed."""
    return ExperimentSpec.model_validate({**TINY, **changes})


def prepared(folder: Path, **changes: object) -> Prepared:
    """The same, with its coils and plan."""
    return prepare(spec_of(**changes), folder, PLANT)


def predictions(folder: Path) -> dict[str, bytes]:
    """What runs that are done said of the coils that judge them, byte by byte, by id."""
    return {path.parent.name: path.read_bytes() for path in (folder / RUNS).glob(f"*/{PREDICTIONS}")}


def read(folder: Path, content: object) -> ExperimentSpec:
    """Read a specification from a file."""
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return read_experiment(path)
