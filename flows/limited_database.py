"""A connection that is made anew after it broke, and on which nobody waits for ever."""

from flows.kafka.database import Database
from store.connection import Connection
from store.waits import limit_waits


class LimitedDatabase(Database):
    """For flows whose transactions have several statements."""

    _limited: Connection | None = None

    def connection(self) -> Connection:
        """The connection, on tables of this version, with limits to its locks.

        Raises:
            StoreUnavailableError: the server cannot be reached.
            StoreError: its tables are of another version.
        """
        connection = super().connection()
        if connection is not self._limited:
            limit_waits(connection)
            self._limited = connection
        return connection
