"""The README's promises: its commands run as written, its links lead somewhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ (.+)$", README, re.MULTILINE)


def _run(command: str, folder: Path, data: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "COILFLOW_DATA_DIR": str(data), "PATH": path}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert "Traceback" not in done.stderr


def test_every_command_of_coilflow_in_the_readme_works_in_the_order_given(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    commands = [command for command in COMMANDS if command.startswith("coilflow ")]
    assert len(commands) >= 6
    data = tmp_path_factory.mktemp("data")
    for command in commands:
        _run(command, tmp_path, data)


def test_make_demo_works_in_a_fresh_clone(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert "make demo" in COMMANDS
    assert "make test" in COMMANDS
    clone = tmp_path / "coilflow"
    ignore = shutil.ignore_patterns(".venv", ".git", ".*_cache", "__pycache__", ".hypothesis", "runs")
    shutil.copytree(ROOT, clone, ignore=ignore)
    _run("env -u VIRTUAL_ENV make demo", clone, tmp_path_factory.mktemp("data"))
    assert list((clone / "coilflow-demo").glob("*.png"))


def test_every_file_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
