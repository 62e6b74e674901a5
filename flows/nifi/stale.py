"""Which verdicts may be stored: what went through NiFi was judged apart from the database, which went on meanwhile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from schemas.coils import CoilKey
from schemas.readings import rows_of
from store.connection import Connection
from store.inbox import lock_coils, waiting_coils
from store.log import decided_coils
from store.verdicts import Decided

Given = tuple[Decided, int | None]  # with the last event of the inbox that it was made of


@dataclass(frozen=True, kw_only=True, slots=True)
class Sorted:
    """What is to be done with a batch."""

    kept: tuple[Given, ...]  # stored; what stands already changes nothing
    settled: dict[CoilKey, int]  # coils whose events, up to this one, leave the inbox
    again: frozenset[CoilKey]  # judged on less than what stands by now: to be judged anew, upon it


def sort_out(connection: Connection, given: Sequence[Given], refused: Mapping[CoilKey, int]) -> Sorted:
    """Tell verdicts that hold from those that were overtaken.

    Overtaken is a verdict on a coil of the inbox whose events somebody took out meanwhile: they were decided or refused
    with what came later; and one that was given on less than what stands, as another host (Kafka's) may have decided
    the coil since: then its events stay, and make a revision of what stands.

    Args:
        connection: inside the transaction that stores the verdicts.
        given: verdicts; a shadow's goes with its champion's.
        refused: coils of the inbox that were refused on the way, with their last events.

    Raises:
        StoreError: the database refused.
    """
    last_ids = {one.verdict.key: last_id for one, last_id in given if last_id is not None} | dict(refused)
    lock_coils(connection, list({one.verdict.key for one, _ in given} | last_ids.keys()))
    waiting = waiting_coils(connection, last_ids)
    standing = decided_coils(connection, [one.verdict.key for one, last_id in given if last_id is not None])
    gone, again = set(), set()
    for one, last_id in given:
        key = one.verdict.key
        stands = standing.get(key)
        if last_id is None or (stands is not None and stands.revision == one.verdict.revision):
            continue
        if key not in waiting:
            gone.add(key)
        elif stands is not None and not _holds(one.readings, stands.readings):
            again.add(key)
    return Sorted(
        kept=tuple(pair for pair in given if pair[0].verdict.key not in gone | again),
        settled={key: last_ids[key] for key in waiting - again},
        again=frozenset(again),
    )


def _holds(readings: bytes, others: bytes) -> bool:
    """Whether all rows of a coil's other readings are among these; rows that nobody knows say nothing."""
    mine, theirs = _rows(readings), _rows(others)
    return mine is None or theirs is None or theirs <= mine


def _rows(readings: bytes) -> frozenset[bytes] | None:
    rows = rows_of(readings)
    if rows is None:
        return None
    columns = [
        rows.column("face").to_numpy().astype(np.float64)[:, None],
        rows.column("position").to_numpy()[:, None],
        *(
            rows.column(name).flatten().to_numpy(zero_copy_only=False).reshape(rows.num_rows, -1)
            for name in ("mean_g_m2", "std_g_m2")
        ),
    ]
    return frozenset(row.tobytes() for row in np.concatenate(columns, axis=1))
