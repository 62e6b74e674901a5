"""A connection that is made anew after it broke."""

from contextlib import ExitStack

from store.connection import Connection, connect
from store.migrations import check_version


class Database:
    """One connection of one thread, opened when it is asked for."""

    def __init__(self, dsn: str, *, application_name: str) -> None:
        self._dsn = dsn
        self._name = application_name
        self._open = ExitStack()
        self._connection: Connection | None = None

    def connection(self) -> Connection:
        """The connection, on tables of this version.

        Raises:
            StoreUnavailableError: the server cannot be reached.
            StoreError: its tables are of another version.
        """
        if self._connection is None or self._connection.closed:
            self.close()
            connection = self._open.enter_context(connect(self._dsn, application_name=self._name))
            check_version(connection)
            self._connection = connection
        return self._connection

    def close(self) -> None:
        """Close it; the next question opens another."""
        self._connection = None
        self._open.close()


def backoff_s(failures: int, *, jitter: float) -> float:
    """How long to wait after so many failures in a row: 0.1 s doubled each time, 10 s at most, less up to a half.

    Args:
        failures: at least 1.
        jitter: 0 to 1, drawn anew each time, so that workers do not come back together.
    """
    return float(min(10.0, 0.1 * 2 ** min(failures - 1, 10)) * (1 - jitter / 2))
