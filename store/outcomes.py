"""What the policy looks at of the coils that a version decided.

What is read is bounded by horizon, window and words, however long the version has served. What is counted is not: the
database goes through all verdicts of the version's life, in time that grows with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from psycopg.rows import args_row

from schemas.coils import Truth
from schemas.verdicts import Label, MemberId
from store.connection import Connection, store_errors
from store.queries import query
from store.training import Scope, spellings


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """The coils of a version's whole life, by the verdicts that count."""

    coils: int  # of a member: in which it had a say
    least_probability: float  # with which a review of any was asked for, whoever had a say; 1 where none was


class TellingCoil(NamedTuple):
    """A coil that a version decided, as `store.training.DecidedCoil`; a tuple, as there are many."""

    verdict_id: int
    called_nok: bool
    p_nok: float
    is_nok: bool  # false where nobody said
    labelled: bool
    labelled_at_s: float | None  # since 1970; also where people differ, so that there is no label
    asked: bool
    probability: float | None  # with which such a coil is asked for
    undecided: bool
    plant: str
    champion_verdict: Label
    decided_at: datetime
    latest: bool  # among the latest that were asked for


def count_outcomes(
    connection: Connection, versions: Sequence[str], scope: Scope, *, until: datetime, member: MemberId | None = None
) -> Counted:
    """Count the coils that ensembles decided as champions; takes time that grows with how many there are.

    Args:
        connection: on a database of this version.
        versions: of the ensembles.
        scope: whose coils.
        until: decided until then.
        member: count only where it had a say; None: all.

    Raises:
        StoreError: the database refused.
    """
    said = {"model": None, "version": None} if member is None else {"model": member.model, "version": member.version}
    parameters = {"versions": _named(versions), "until": until, **said, **scope.parameters()}
    with store_errors("count what was decided"):
        [row] = connection.execute(query("count_outcomes"), parameters).fetchall()
    least = row["least_probability"]
    return Counted(coils=row["coils"], least_probability=1.0 if least is None else least)


def telling_outcomes(
    connection: Connection,
    versions: Sequence[str],
    scope: Scope,
    *,
    until: datetime,
    after: datetime,
    latest: int,
    labels: Sequence[Truth],
) -> tuple[TellingCoil, ...]:
    """Coils that ensembles decided as champions and that tell something, in the order of decision.

    Args:
        connection: on a database of this version.
        versions: of the ensembles.
        scope: whose coils.
        until: decided until then.
        after: coils decided since then are read where people labelled them or were asked to.
        latest: so many verdicts, the latest, are read whatever people say; those that do not count are left out.
        labels: coils of which anybody ever said one of these are read.

    Raises:
        StoreError: the database refused.
    """
    parameters = {
        "versions": _named(versions),
        "until": until,
        "after": after,
        "latest": latest,
        "labels": list(labels),
        **scope.parameters(),
    }
    with store_errors("read what was decided"), connection.cursor(row_factory=args_row(TellingCoil)) as cursor:
        return tuple(cursor.execute(query("telling_outcomes"), parameters))


def _named(versions: Sequence[str]) -> list[str]:
    return [spelling for version in versions for spelling in spellings(version)]
