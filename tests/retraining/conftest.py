"""Each test has a database of its own, copied from one that was migrated once."""

import pytest


@pytest.fixture
def database(copied_database: str) -> str:
    """DSN of a database with coilflow's tables, empty."""
    return copied_database
