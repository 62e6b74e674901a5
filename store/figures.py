"""Figures of the whole database for monitoring: counted in one place, for whoever shows them."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from store.connection import Connection, store_errors
from store.queries import query

Table = Literal[
    "unfinished",  # plant, state, coils, oldest_s
    "misfiled",  # fault, coils
    "verdicts",  # plant, label, coils, last_at_s
    "feedback",  # plant, words, last_at_s
    "reviews",  # plant, why, coils
    "letters",  # plant, step, letters
    "fires",  # job_name, state, fires
    "waiting_fires",  # job_name, waiting_s
    "alarms",  # kind, alarms
    "answers",  # plant, role, ensemble_version, outcome, workers
]
Tables = Mapping[Table, tuple[Mapping[str, Any], ...]]
_LONGEST_MS = 10_000  # of one statement: whoever watches must not be what is to be watched


def read_figures(connection: Connection) -> Tables:
    """Count; each table by the query of its name, with the columns named beside it.

    Args:
        connection: on a database of this version, for this alone: its statements are limited to 10 s.

    Raises:
        StoreError: the database refused, or a statement took too long.
    """
    with store_errors("count what monitoring shows"), connection.transaction():
        connection.execute(query("limit_figures"), {"longest_ms": _LONGEST_MS})
        return {name: tuple(connection.execute(query(f"figures_{name}"))) for name in get_args(Table)}
