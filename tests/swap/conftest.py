"""Workers of one machine whose first ensemble is e1."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flows.serving import Serving, following
from schemas.settings import Settings
from tests.swap.given import (
    Start,
    settings_in,
    write_version,
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of one machine; e1 is its first ensemble."""
    return settings_in(tmp_path, write_version(tmp_path, "e1"))


@pytest.fixture
def start(database: str, settings: Settings) -> Iterator[Start]:
    """Starts workers; all are stopped at the end."""
    with ExitStack() as stack:

        def begin(worker: str = "w1", **other: object) -> Serving:
            mine = settings.model_copy(update=other)
            return stack.enter_context(following(database, mine, kind="kafka", worker=worker))

        yield begin
