"""Lists of coils, by whatever people look for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from psycopg.rows import DictRow

from schemas.coils import CoilKey
from schemas.events import CoilWarning
from schemas.verdicts import Label
from store.connection import Connection, store_errors
from store.queries import query

State = Literal["open", "decided", "dead_lettered"]
Review = Literal["asked", "waiting"]

_SORTED = 150_000  # coils of a name at most: of more than that, the newest are found by going through all
_LIKE = str.maketrans({"\\": r"\\", "%": r"\%", "_": r"\_"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which coils; None: whatever they are."""

    plant: str | None = None
    label: Label | None = None  # of the verdict that stands
    since: datetime | None = None  # decided then or later; of one without a verdict, first seen
    until: datetime | None = None  # before then
    doubt: str | None = None  # code of a reason of the verdict
    state: State | None = None
    review: Review | None = None  # asked: the verdict asks a person to look; waiting: and nobody has said anything
    name: str | None = None  # its id begins so


class Place(NamedTuple):
    """Where a coil stands in a list."""

    at: datetime  # decided; first seen, where it is not
    plant: str
    coil_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedCoil:
    """What a list shows of a coil; the verdict that stands, None of all where there is none."""

    at: datetime
    plant: str
    coil_id: str
    state: State
    seen_at: datetime
    zn_min_g_m2: float | None
    zn_max_g_m2: float | None
    length_m: float | None
    material: str | None
    customer: str | None
    revision: str | None
    label: Label | None
    p_nok: float | None
    threshold: float | None
    observed: float | None
    reasons: tuple[str, ...]
    review: tuple[str, ...]
    decided_at: datetime | None
    ensemble_version: str | None
    said: Literal["OK", "NOK", "disputed"] | None  # what people say; None: nothing
    early_warning: CoilWarning | None  # of an open coil

    @classmethod
    def from_row(cls, row: DictRow) -> "ListedCoil":
        """Read a row of query `listed_coils`."""
        disputed, warning = row.pop("disputed"), row.pop("early_warning")
        return cls(
            **row
            | {
                "label": None if row["label"] is None else Label(row["label"]),
                "reasons": tuple(row["reasons"] or ()),
                "review": tuple(row["review"] or ()),
                "said": "disputed" if disputed else row["said"],
                "early_warning": None if warning is None else CoilWarning.model_validate(warning),
            }
        )


def list_coils(
    connection: Connection, wanted: Wanted, *, most: int, after: Place | None = None
) -> tuple[tuple[ListedCoil, ...], Place | None]:
    """One page of the coils that are wanted, newest first.

    Args:
        connection: on a database of this version.
        wanted: which.
        most: coils of a page.
        after: the page begins after it; None: at the beginning.

    Returns:
        The page, and after which place the next one begins; None where there is no other.

    Raises:
        StoreError: the database refused.
    """
    parameters = _parameters(wanted, most + 1, after)
    with store_errors("list coils"):
        statement = _statement(connection, wanted, parameters)
        found = connection.execute(query(statement), parameters, prepare=False).fetchall()
        page = found[:most]
        rows = connection.execute(query("listed_coils"), _columns(page)).fetchall() if page else []
    more = len(found) > most
    last = Place(page[-1]["at"], page[-1]["plant"], page[-1]["coil_id"]) if more else None
    return tuple(ListedCoil.from_row(row) for row in rows), last


def early_warning_of(connection: Connection, key: CoilKey) -> CoilWarning | None:
    """That a coil was out of its band before it ended; None where nobody was warned.

    Raises:
        StoreError: the database refused.
    """
    with store_errors(f"look for a warning of coil {key.coil_id!r}"):
        row = connection.execute(query("early_warning_of"), key._asdict()).fetchone()
    return None if row is None else CoilWarning.model_validate(row["data"])


def _statement(connection: Connection, wanted: Wanted, parameters: dict[str, Any]) -> str:
    """By what is rarest: that is read in the order of its index, and all else is a filter on it."""
    if wanted.review == "waiting":
        return "list_waiting_coils"
    if wanted.doubt is not None:
        return "list_doubted_coils"
    if wanted.name is None:
        return "list_coils"
    [counted] = connection.execute(
        query("count_by_name"), {"name_like": parameters["name_like"], "most": _SORTED + 1}, prepare=False
    ).fetchall()
    return "list_coils" if counted["found"] > _SORTED else "list_coils_by_name"


def _parameters(wanted: Wanted, most: int, after: Place | None) -> dict[str, Any]:
    return {
        "plant": wanted.plant,
        "label": wanted.label,
        "since": wanted.since,
        "until": wanted.until,
        "doubt": wanted.doubt,
        "state": wanted.state,
        "asked": True if wanted.review else None,
        "name_like": None if wanted.name is None else wanted.name.translate(_LIKE) + "%",
        "after_at": after and after.at,
        "after_plant": after and after.plant,
        "after_coil_id": after and after.coil_id,
        "most": most,
    }


def _columns(page: Sequence[DictRow]) -> dict[str, Any]:
    return {f"{name}s": [row[name] for row in page] for name in ("at", "plant", "coil_id", "verdict_id")}
