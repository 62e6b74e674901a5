"""Folders for tests whose paths have to be short."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A new folder that leaves room for a database below it: the path of PostgreSQL's socket has at most 103 bytes."""
    with tempfile.TemporaryDirectory(prefix="coilflow-test-") as name:
        yield Path(name)
