"""Promises of `coilflow train`, of `--head-of` above all, and of the int8 form: what follows on training."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from flows.population import simulated
from flows.train import train_on
from models.bundle import WEIGHTS, load_bundle
from models.data_spec import DataSpec, SimulatedData
from models.ensemble import write_ensemble
from models.spec import TrainSpec
from plant.line import simulate
from plant.settings import LineSettings
from plant.tables import write_tables
from tests.console.conftest import Coilflow
from tests.models.coils import LIMITS, write_mean_bundle

DATA = SimulatedData(coils=100, seed=3)
COILS = 90
KEYS = ["name", "version", "parent", "weights", "coils", "nok", "threshold", "out", "n", "accuracy", "precision"]
INT8_KEYS = ["name", "version", "calibrated", "judged", "label_agreement", "members", "out"]
NO_TORCH = """
import importlib.abc
import sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "ultralytics", "onnxscript"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from console.cli import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small trained bundle."""
    torch.set_num_threads(1)
    spec = TrainSpec(name="small", kind="cnn3", data=DataSpec(simulate=DATA), epochs=1, batch=16)
    return train_on(spec, simulated(DATA, LIMITS), tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled coils of the simulated line, a third of them NOK, as the plant's tables."""
    folder = tmp_path_factory.mktemp("line")
    write_tables(simulate(COILS, seed=4, line=LineSettings(defect_share=0.4, restlessness=3.0)), folder)
    return folder


@pytest.fixture(scope="module")
def trained(parent: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble with the small bundle, its weights beside it."""
    folder = tmp_path_factory.mktemp("ensembles")
    members = [parent, write_mean_bundle(folder / "low")]
    write_ensemble(folder / "two", name="two", version="1", members=members, thresholds={"limits": 0.5}, limits=LIMITS)
    return folder / "two"


def test_a_new_head_is_one_object(coilflow: Coilflow, parent: Path, source: Path, place: Path) -> None:
    ran = coilflow("train", "--head-of", parent, source, "--out", place / "new", "--cache", place / "kept", "--json")
    assert (ran.code, ran.err) == (0, "")
    (told,) = ran.objects
    before, after = (load_bundle(folder, threads=1).manifest for folder in (parent, place / "new"))
    assert list(told)[: len(KEYS)] == KEYS
    assert (told["name"], told["version"], told["out"]) == ("small", after.version, str(place / "new"))
    assert (told["parent"], told["coils"]) == (f"small@{before.version}", COILS)
    assert set(told["ci95"]) == {"accuracy", "precision", "recall", "f1", "roc_auc", "mcc"}
    assert list((place / "kept").rglob("*.arrow"))


def test_people_get_a_table_of_a_new_head(coilflow: Coilflow, parent: Path, source: Path, place: Path) -> None:
    ran = coilflow("train", "--head-of", parent, source, "--out", place / "new")
    assert (ran.code, ran.err) == (0, "")
    assert "holdout of 14 of 90 coils" in ran.out
    assert "roc_auc" in ran.out
    assert "head on features of" in ran.out


def test_a_new_head_needs_no_torch(parent: Path, source: Path, place: Path) -> None:
    arguments = ["train", "--head-of", parent, source, "--out", place / "new", "--seed", "1"]
    program = [sys.executable, "-W", "error", "-c", NO_TORCH, *map(str, arguments)]
    subprocess.run(program, check=True, cwd=Path(__file__).parents[2], timeout=120)
    assert load_bundle(place / "new", threads=1).manifest.training.seed == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--head-of", "PARENT", "SOURCE"), "--head-of needs --out"),
        (("--head-of", "PARENT", "SOURCE", "--out", "."), "exists already"),
        (("--head-of", "nowhere", "SOURCE", "--out", "new"), "nowhere"),
        (("--head-of", "PARENT", "nowhere", "--out", "new"), "nowhere is not there"),
        (("spec.yaml", "--seed", "1"), "--seed belongs to --head-of"),
        (("spec.yaml", "--cache", "kept"), "--cache belongs to --head-of"),
        (("spec.yaml",), "spec.yaml cannot be read"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_use_is_one_sentence_with_a_remedy(
    arguments: tuple[str, ...], said: str, coilflow: Coilflow, parent: Path, source: Path
) -> None:
    named = {"PARENT": str(parent), "SOURCE": str(source)}
    ran = coilflow("train", *(named.get(argument, argument) for argument in arguments))
    assert ran.code in (1, 2)
    assert said in ran.sentence()
    assert "; " in ran.sentence()


def test_too_few_labels_are_refused(coilflow: Coilflow, parent: Path, place: Path) -> None:
    write_tables(simulate(30, seed=4, line=LineSettings(defect_share=0.0)), place / "line")
    ran = coilflow("train", "--head-of", parent, place / "line", "--out", place / "new")
    assert ran.code == 1
    assert "coils are labelled NOK, at least 10 are needed" in ran.sentence()
    assert not (place / "new").exists()


def test_the_int8_form_judges_coils(
    coilflow: Coilflow, trained: Path, source: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = coilflow("models", "int8", trained, "--out", place / "int8", "--calibrate", source, "--json")
    assert (ran.code, ran.err) == (0, "")
    (told,) = ran.objects
    assert list(told) == INT8_KEYS
    assert (told["name"], told["calibrated"], told["judged"]) == ("two-int8", COILS // 2, COILS // 2)
    assert told["label_agreement"] > 0.8
    sizes = {one["model"]: (one["bytes_before"], one["bytes_after"]) for one in told["members"]}
    assert sizes["low"][0] == sizes["low"][1]  # no convolution to quantise
    assert list(trained.rglob(WEIGHTS))
    assert not list((place / "int8").rglob(WEIGHTS))
    monkeypatch.setenv("COILFLOW_ENSEMBLE", str(trained))
    before = coilflow("assess", source, "--json").objects
    monkeypatch.setenv("COILFLOW_ENSEMBLE", str(place / "int8"))
    after = coilflow("assess", source, "--json").objects
    assert [[one["model"] for one in verdict["members"]] for verdict in after] == [["small-int8", "low"]] * COILS
    assert np.mean(np.abs([a["p_nok"] - b["p_nok"] for a, b in zip(after, before, strict=True)])) < 0.05


def test_people_get_a_table_of_the_int8_form(
    coilflow: Coilflow, trained: Path, source: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COILFLOW_ENSEMBLE", str(trained))
    ran = coilflow("models", "int8", "--out", place / "int8", "--calibrate", source)
    assert (ran.code, ran.err) == (0, "")
    assert "small-int8" in ran.out
    assert "labels agree on" in ran.out
    assert f"COILFLOW_ENSEMBLE={place / 'int8'}" in ran.out


def test_an_int8_form_overwrites_nothing(coilflow: Coilflow, trained: Path, source: Path, place: Path) -> None:
    ran = coilflow("models", "int8", trained, "--out", place, "--calibrate", source)
    assert ran.code == 2
    assert "exists already" in ran.sentence()
