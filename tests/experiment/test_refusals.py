"""Promises of `coilflow experiment` and `coilflow train`: what cannot be is one sentence, and nothing trains."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from console.cli import run
from schemas.layout import MATRIX_SHAPE
from tests.experiment.tiny import SHALLOW, TINY

Refused = Callable[[str, dict[str, Any]], tuple[int, str]]
GREY: dict[str, Any] = {"data": {"source": "grey.parquet"}, "gold": [], "base": {"scale": "self"}}
BOTH: Sequence[str | None] = ["OK", "NOK"] * 20


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Runs a command on a specification that it must refuse; returns its exit code and what it says."""
    monkeypatch.chdir(tmp_path)

    def command(name: str, spec: dict[str, Any]) -> tuple[int, str]:
        Path("spec.yaml").write_text(yaml.safe_dump(spec))
        code = run([name, "spec.yaml", "--out", "out"])
        captured = capsys.readouterr()
        (sentence,) = captured.err.splitlines()
        assert (captured.out, sentence.startswith("error: "), "; " in sentence) == ("", True, True)
        assert not list(Path().glob("out/runs/*"))
        assert not list(Path().glob("out/*.*"))
        return code, sentence

    return command


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fold": 3}, "spec.yaml: key fold: "),
        ({"models": {"a": {"kind": "cnn3", "epoch": 3}}, "ensembles": {}, "compare": []}, "key models.a: epoch: "),
        ({"folds": 60}, "key folds: 60 folds of 80 coils, of which 18 are NOK"),
        ({"train_folds": 3}, "train_folds is 3 of 2 folds"),
        ({**SHALLOW, "train_share": [0.05]}, "coils are all OK, and cnn3 needs both labels"),
        ({**SHALLOW, "gold": [{"name": "g", "data": {"simulate": {"coils": 70, "seed": 5}}}]}, "both learnt from and"),
    ],
)
def test_an_experiment_that_cannot_be_is_refused_with_its_key(
    refused: Refused, changes: dict[str, Any], said: str
) -> None:
    code, sentence = refused("experiment", {**TINY, **changes})
    assert code == 2
    assert said in sentence


def test_a_model_that_needs_two_labels_is_not_trained_on_one(refused: Refused) -> None:
    _grey(["OK"] * 40)
    train = {"name": "t", "kind": "cnn3", "scale": "self", "data": GREY["data"]}
    for name, spec in (("train", train), ("experiment", {**TINY, **SHALLOW, **GREY})):
        code, sentence = refused(name, spec)
        assert code == 1
        assert "grey.parquet: 0 coils are labelled NOK, at least 10 are needed" in sentence


@pytest.mark.parametrize("name", ["train", "experiment"])
def test_a_label_outside_the_set_is_named(refused: Refused, name: str) -> None:
    _grey([*BOTH, "MAYBE", "SO SO"])
    train = {"name": "t", "kind": "cnn3", "scale": "self", "data": GREY["data"]}
    code, sentence = refused(name, train if name == "train" else {**TINY, **SHALLOW, **GREY})
    assert code == 1
    assert "label is 'MAYBE', expected OK, NOK or nothing" in sentence


def test_a_coil_that_could_be_in_two_folds_is_named(refused: Refused) -> None:
    _grey(BOTH, twin=True)
    code, sentence = refused("experiment", {**TINY, **SHALLOW, **GREY})
    assert code == 2
    assert "occurs 2 times, so it could be learnt from in one fold and judged in another" in sentence


def test_an_unknown_key_of_a_training_specification_is_named(refused: Refused) -> None:
    data = {"simulate": {"coils": 60, "seed": 1}}
    code, sentence = refused("train", {"name": "t", "kind": "cnn3", "data": data, "epoch": 1})
    assert code == 2
    assert "spec.yaml: key epoch: " in sentence


def _grey(labels: Sequence[str | None], *, twin: bool = False) -> None:
    """A Parquet file of grey coils; with a twin, two of them have the same readings."""
    cells = MATRIX_SHAPE[0] * MATRIX_SHAPE[1]
    grey = np.random.default_rng(0).integers(0, 256, (len(labels), cells), dtype=np.uint8)
    if twin:
        grey[1] = grey[0]
    column = pa.FixedSizeListArray.from_arrays(pa.array(grey.reshape(-1)), cells)
    ids = [str(i) for i in range(len(labels))]
    pq.write_table(pa.table({"coil_id": ids, "label": list(labels), "grey": column}), "grey.parquet")
