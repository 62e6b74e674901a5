"""Each test has a database of its own; settings of the machine do not reach the command."""

from pathlib import Path

import pytest

from tests.audit.given import Line, a_line
from tests.console.conftest import coilflow

__all__ = ["coilflow"]


@pytest.fixture
def database(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """DSN of a database with coilflow's tables, empty, which the settings name."""
    monkeypatch.setenv("COILFLOW_DATABASE_DSN", database)
    return database


@pytest.fixture
def line(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    """A line with a first ensemble."""
    made = a_line(database, tmp_path)
    monkeypatch.setenv("COILFLOW_DATA_DIR", str(made.settings.data_dir))
    monkeypatch.setenv("COILFLOW_THREADS", "1")
    monkeypatch.setenv("COILFLOW_PLANT", "linz")
    monkeypatch.chdir(tmp_path)
    return made
