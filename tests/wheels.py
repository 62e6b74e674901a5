"""The built wheel, and environments with it, as a plant installs them."""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout into a folder."""
    run([sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)], folder)
    (built,) = folder.glob("*.whl")
    return built


def environment_with(requirement: str, home: Path) -> Path:
    """Make an environment with nothing but a requirement, at the pinned versions; returns its folder of commands."""
    venv.create(home, with_pip=True)
    run([str(home / "bin" / "pip"), "install", "--quiet", "-c", str(ROOT / "constraints.txt"), requirement], home)
    return home / "bin"


def run(command: list[str], folder: Path, **variables: str) -> str:
    """What a command prints, run in a folder with coilflow's data in it; fails where it fails."""
    pins = str(ROOT / "constraints.txt")
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # it would hide the wheel
    environment = {**kept, "COILFLOW_DATA_DIR": str(folder / "data"), "PIP_CONSTRAINT": pins, **variables}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
