"""Figures of the whole database for monitoring: counted in one place, for whoever shows them."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from store.connection import Connection, store_errors
from store.queries import query

Table = Literal[
    "figures_unfinished",  # plant, state, coils, oldest_s
    "figures_misfiled",  # fault, coils
    "figures_verdicts",  # plant, label, coils, last_at_s
    "figures_feedback",  # plant, words, last_at_s
    "figures_reviews",  # plant, why, coils
    "figures_letters",  # plant, step, letters
    "figures_fires",  # job_name, state, fires
    "figures_waiting_fires",  # job_name, waiting_s
    "figures_alarms",  # kind, alarms
    "figures_answers",  # plant, role, ensemble_version, outcome, workers
]
Tables = Mapping[Table, tuple[Mapping[str, Any], ...]]
_LONGEST_MS = 10_000  # of one statement: whoever watches must not be what is to be watched


def read_figures(connection: Connection) -> Tables:
    """Count; each by the query of its name, with the columns named beside it.

    Args:
        connection: on a database of this version, for this alone: its statements are limited to 10 s.

    Raises:
        StoreError: the database refused, or a statement took too long.
    """
    with store_errors("count what monitoring shows"), connection.transaction():
        connection.execute(query("limit_figures"), {"longest_ms": _LONGEST_MS})
        return {name: tuple(connection.execute(query(name))) for name in get_args(Table)}
