"""The plant's own tables, which a processor asks: where they cannot be read now, they can be later."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from schemas.errors import SourceError, StoreUnavailableError


@contextmanager
def plant_errors() -> Iterator[None]:
    """Tell a plant's database that is away, or locked, from tables that never can be read.

    Raises:
        StoreUnavailableError: in place of a SourceError whose cause may pass.
    """
    try:
        yield
    except SourceError as error:
        if isinstance(error.__cause__, psycopg.OperationalError):
            raise StoreUnavailableError(str(error), remedy=error.remedy) from error
        raise
