"""The command run in this process, with a small ensemble and folders of its own."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from console.cli import run
from models.ensemble import write_ensemble
from tests.flows.given import Given, fill_plant_database, write_events, write_tables
from tests.models.coils import LIMITS, write_mean_bundle


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """JSON of standard output, one object a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def labels(self) -> dict[str, str]:
        """Verdicts of `assess --json`."""
        return {verdict["coil_id"]: verdict["label"] for verdict in self.objects}

    def sentence(self) -> str:
        """The one line of standard error."""
        (line,) = self.err.splitlines()
        return line


Coilflow = Callable[..., Ran]
Write = Callable[[Sequence[Given]], str]


@pytest.fixture(scope="session")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two members, one a scale: a coil below its band is NOK, one inside it OK."""
    folder = tmp_path_factory.mktemp("ensemble")
    members = [
        write_mean_bundle(folder / "made" / "low", scale="limits"),
        write_mean_bundle(folder / "made" / "low-self", scale="self", factor=0.0),  # always 0.5
    ]
    write_ensemble(
        folder / "ensemble",
        name="test",
        version="e1",
        members=members,
        thresholds={"limits": 0.6, "self": 0.6},
        limits=LIMITS,
    )
    return folder / "ensemble"


@pytest.fixture
def tmp_path(short_path: Path) -> Path:
    """A folder that commands can keep their own database in."""
    return short_path


@pytest.fixture(autouse=True)
def place(tmp_path: Path, ensemble: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in; settings of the machine do not reach the command."""
    for name in ("COILFLOW_DATABASE_DSN", "COILFLOW_PLANT", "COILFLOW_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COILFLOW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COILFLOW_ENSEMBLE", str(ensemble))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def coilflow(capsys: pytest.CaptureFixture[str]) -> Coilflow:
    """Runs the command; no command ever shows a user a stack trace."""

    def command(*arguments: object) -> Ran:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return Ran(code=code, out=captured.out, err=captured.err)

    return command


@pytest.fixture(params=["tables", "events", "database"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    """Writes coils to one kind of source and names it as a user would."""
    if request.param == "database":
        dsn = request.getfixturevalue("empty_database")
        return lambda coils: fill_plant_database(coils, dsn)
    if request.param == "tables":
        return lambda coils: str(write_tables(coils, tmp_path / "line"))
    return lambda coils: str(write_events(coils, tmp_path / "line.jsonl"))
