"""One fixture for every kind of source that carries readings."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.flows.given import Given, Write, fill_plant_database, write_events, write_tables


@pytest.fixture(params=["tables", "events", "database"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    """Writes coils to one kind of source."""
    if request.param == "database":
        dsn = request.getfixturevalue("empty_database")
        return lambda coils: fill_plant_database(coils, dsn)
    writers: dict[str, Callable[[Sequence[Given]], Path]] = {
        "tables": lambda coils: write_tables(coils, tmp_path / "line"),
        "events": lambda coils: write_events(coils, tmp_path / "line.jsonl"),
    }
    return lambda coils: str(writers[request.param](coils))
