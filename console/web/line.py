"""`/`: the line, coils as they come."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, field_validator

from console.rest.access import Reads
from console.rest.cursors import cursor_after, place_of
from console.rest.service import service_of
from console.web.heat_maps import MapFigure, map_figure, map_url
from console.web.pages import render
from schemas.coils import CoilKey
from schemas.events import Name
from schemas.verdicts import Label, Reason
from store.changes import Position, current_snapshot
from store.connection import Connection
from store.page import plants, shift_counts
from store.pool import borrowed
from store.search import ListedCoil, Place, Wanted, list_coils

_ROWS = 25
_WARNED = 20  # open coils that are looked at for warnings
_SHIFT_H = 8
_PLACE: TypeAdapter[Place] = TypeAdapter(Place)
_EMPTY = BeforeValidator(lambda text: text or None)

router = APIRouter(include_in_schema=False)


class Filters(BaseModel):
    """Which coils are shown; a field that was left empty asks for all."""

    model_config = ConfigDict(extra="ignore")

    plant: Annotated[Name | None, _EMPTY] = None
    label: Annotated[Label | None, _EMPTY] = None
    doubt: Annotated[Reason | None, _EMPTY] = None
    since: Annotated[datetime | None, _EMPTY] = None
    until: Annotated[datetime | None, _EMPTY] = None
    coil: Annotated[Name | None, _EMPTY] = None  # its id begins so
    cursor: Annotated[str | None, _EMPTY] = None

    @field_validator("since", "until")
    @classmethod
    def _by_the_clock_of_the_server(
        cls,
        time: datetime | None,
    ) -> datetime | None:
        """A field of a form has no time zone: it is meant as times are shown."""
        return time and time.astimezone(UTC)

    def wanted(self) -> Wanted:
        """The same as the list takes it."""
        return Wanted(
            plant=self.plant,
            label=self.label,
            since=self.since,
            until=self.until,
            doubt=self.doubt,
            name=self.coil and self.coil.strip(),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Newest:
    """The coil that was decided last."""

    coil: ListedCoil
    figure: MapFigure | str


@router.get("/")
def get_line(request: Request, _: Reads, filters: Annotated[Filters, Query()]) -> HTMLResponse:
    """The newest coil in full, the counts of the shift, what open coils warn of, and the list."""
    shown = filters.model_dump(mode="json", exclude={"cursor"})
    first = None if filters.cursor is None else place_of(filters.cursor, _PLACE, of=["line", shown])
    with borrowed(service_of(request).pool) as connection:
        place = Position(seen=current_snapshot(connection))  # before all else: what comes meanwhile is told again
        rows, after = list_coils(connection, filters.wanted(), most=_ROWS, after=first)
        context: dict[str, Any] = {
            "newest": _newest(connection, request, filters.plant),
            "counts": shift_counts(connection, hours=_SHIFT_H, plant=filters.plant),
            "warned": _warned(connection, filters.plant),
            "plants": plants(connection),
        }
    return render(
        request,
        "line.html",
        **context,
        place=place,
        rows=rows,
        following=after and cursor_after(list(after), of=["line", shown]),
        filters=filters,
        filtered=any(value is not None for value in shown.values()),
        asked=dict(request.query_params),
        doubts=tuple(Reason),
        labels=tuple(Label),
        shift_h=_SHIFT_H,
        map_url=map_url,
        CoilKey=CoilKey,
    )


def _newest(connection: Connection, request: Request, plant: str | None) -> Newest | None:
    found, _ = list_coils(connection, Wanted(plant=plant, state="decided"), most=1)
    if not found:
        return None
    coil = found[0]
    key = CoilKey(plant=coil.plant, coil_id=coil.coil_id)
    return Newest(coil=coil, figure=map_figure(connection, request, key, coil.revision))


def _warned(connection: Connection, plant: str | None) -> tuple[ListedCoil, ...]:
    found, _ = list_coils(connection, Wanted(plant=plant, state="open"), most=_WARNED)
    return tuple(coil for coil in found if coil.early_warning is not None)
