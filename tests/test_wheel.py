"""What a plant installs: the built wheel, in an environment of its own, without torch."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BUNDLES_MB = 15


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run([sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)], folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of a fresh environment with the wheel and nothing of the checkout."""
    home = tmp_path_factory.mktemp("serving")
    venv.create(home, with_pip=True)
    _run([str(home / "bin" / "pip"), "install", "--quiet", "-c", str(ROOT / "constraints.txt"), str(wheel)], home)
    return home / "bin"


@pytest.fixture(scope="module")
def equipped(wheel: Path, installed: Path) -> Path:
    """The same environment with the extras that `make demo` installs."""
    with_extras = f"{wheel}[embedded,retrain]"
    _run([str(installed / "pip"), "install", "--quiet", "-c", str(ROOT / "constraints.txt"), with_extras], wheel.parent)
    return installed


def _run(command: list[str], folder: Path) -> str:
    pins = str(ROOT / "constraints.txt")
    environment = {**os.environ, "COILFLOW_DATA_DIR": str(folder / "data"), "PIP_CONSTRAINT": pins}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


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
    assert "schemas/published/asyncapi.yaml" in names or "schemas/published/asyncapi.json" in names
    assert "schemas/examples/coil.chunk.json" in names
    rooms = ("schemas", "plant", "models", "store", "processors", "flows", "scheduler", "console")
    assert {f"{room}/py.typed" for room in rooms} <= names
    assert not any(name.startswith(("tests/", "bench/")) for name in names)
    assert sum(size for name, size in sizes.items() if name.startswith("models/bundles/")) <= BUNDLES_MB * 1e6


def test_the_wheel_assesses_coils_where_there_is_no_torch(installed: Path, tmp_path: Path) -> None:
    no_torch = [str(installed / "python"), "-c", "import importlib.util as u; print(u.find_spec('torch'))"]
    assert _run(no_torch, tmp_path).strip() == "None"
    coilflow = str(installed / "coilflow")
    _run([coilflow, "simulate", "--coils", "5", "--out", "line"], tmp_path)
    lines = _run([coilflow, "assess", "line", "--json"], tmp_path).splitlines()
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


def test_the_wheel_stores_scores_and_asks_its_policy_where_there_is_no_torch(equipped: Path, tmp_path: Path) -> None:
    coilflow = str(equipped / "coilflow")
    last = json.loads(_run([coilflow, "demo", "--coils", "40", "--json"], tmp_path))
    assert (last["coils"], last["open"], last["lost"], last["duplicated"]) == (40, 0, 0, 0)
    assert last["feedback"] >= 40
    _run([coilflow, "simulate", "--coils", "5", "--out", "line"], tmp_path)
    _run([coilflow, "assess", "line", "--store"], tmp_path)
    for job in ("score", "drift", "retrain", "promotion"):
        fire = json.loads(_run([coilflow, "scheduler", "once", job, "--json"], tmp_path))
        assert fire["outcome"] == "committed", fire
    learns = [
        str(equipped / "python"),
        "-c",
        "import flows.retrain_child, importlib.util as u; print(u.find_spec('torch'))",
    ]
    assert _run(learns, tmp_path).strip() == "None"
