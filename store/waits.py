"""How long a session waits for a lock, and how long others wait for one that stands still."""

from store.connection import Connection, store_errors
from store.queries import query

LOCK_TIMEOUT_S = 15.0
IDLE_IN_TRANSACTION_S = 30.0


def limit_waits(connection: Connection) -> None:
    """Bound the locks of a session whose transactions have several statements.

    A process that is stopped within a transaction would hold its locks until it goes on, and whoever waits for them
    would wait as long: the server ends its session instead, and a wait ends as a StoreUnavailableError.

    Args:
        connection: just made, in autocommit.

    Raises:
        StoreError: the database refused.
    """
    parameters = {
        "lock_timeout_ms": round(1000 * LOCK_TIMEOUT_S),
        "idle_in_transaction_ms": round(1000 * IDLE_IN_TRANSACTION_S),
    }
    with store_errors("limit how long this session waits"):
        connection.execute(query("limit_waits"), parameters)
