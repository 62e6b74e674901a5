"""Heat maps on a page: pictures by revision, axes in metres, a legend in g/m² with the ordered band."""

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from http import HTTPStatus
from math import ceil, floor, log10
from typing import Annotated
from urllib.parse import urlencode

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from console.heat_map import HeatMap, heat_map_of, heat_map_png
from console.rest.access import Reads
from console.rest.names import NamedCoil
from console.rest.problems import ProblemError
from console.rest.service import service_of
from console.web.pages import coil_url
from flows.coil_matrix import coil_matrix
from schemas.coils import CoilKey, Limits
from schemas.layout import MATRIX_ROWS
from store.connection import Connection
from store.pool import borrowed

_FOR_GOOD = f"private, max-age={timedelta(days=30) // timedelta(seconds=1)}, immutable"  # a revision never changes
_FOR_A_WHILE = "private, max-age=60"
_TICKS = 8  # of the axis, about
_LEGEND_REACH = 1.0

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """A mark of an axis."""

    percent: float  # along it
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MapFigure:
    """What a page needs to show the heat map of a coil beside its picture."""

    url: str  # of the picture; `&dark=1` is that for dark pages
    length_m: float | None
    ticks: tuple[Tick, ...]  # along the strip
    unit: str
    legend: tuple[Tick, ...]  # of the colours
    band: str | None  # as ordered


def map_url(key: CoilKey, revision: str = "") -> str:
    """Where the picture of a revision is; without one, that of the verdict that stands."""
    return f"{coil_url(*key)}/map.png?{urlencode({'revision': revision})}"


def map_figure(connection: Connection, request: Request, key: CoilKey, revision: str | None) -> MapFigure | str:
    """The figure of a revision, or why there is none.

    Raises:
        StoreError: the database refused.
    """
    if revision is None:
        return "nothing has been judged yet"
    heat = _heat(connection, request, key, revision)
    return heat if isinstance(heat, str) else figure_of(heat, url=map_url(key, revision))


def figure_of(heat: HeatMap, *, url: str) -> MapFigure:
    """Axes and legend of a heat map."""
    band = None if heat.band_g_m2 is None else f"{heat.band_g_m2[0]:g}–{heat.band_g_m2[1]:g}"
    return MapFigure(
        url=url,
        length_m=heat.length_m,
        ticks=_metres(heat.length_m),
        unit=heat.unit,
        legend=_legend(heat),
        band=band,
    )


@router.get("/coils/{plant}/{coil_id}/map.png")
def get_map(
    request: Request,
    key: NamedCoil,
    _: Reads,
    revision: Annotated[str, Query(max_length=200)] = "",
    *,
    dark: bool = False,
) -> Response:
    """The heat map of a revision, one pixel a cell."""
    with borrowed(service_of(request).pool) as connection:
        heat = _heat(connection, request, key, revision or None)
    if isinstance(heat, str):
        raise ProblemError(HTTPStatus.NOT_FOUND, f"there is no heat map: {heat}", remedy="look at the coil's page")
    png = heat_map_png(heat.distance, dark=dark, reach=heat.reach)
    return Response(png, media_type="image/png", headers={"Cache-Control": _FOR_GOOD if revision else _FOR_A_WHILE})


@router.get("/legend.png")
def get_legend(_: Reads, *, dark: bool = False) -> Response:
    """The colours from thin to thick."""
    return Response(_ramp(dark=dark), media_type="image/png", headers={"Cache-Control": _FOR_GOOD})


def limits_of(request: Request, key: CoilKey) -> Limits:
    """Those of what serves the coil's plant, where the ensemble that judged it was never registered."""
    return service_of(request).current().of(key.plant).champion.limits


@cache
def _ramp(*, dark: bool) -> bytes:
    ramp = np.linspace(-_LEGEND_REACH, _LEGEND_REACH, MATRIX_ROWS, dtype=np.float32)[:, None]
    return heat_map_png(ramp, dark=dark, reach=_LEGEND_REACH)


def _heat(connection: Connection, request: Request, key: CoilKey, revision: str | None) -> HeatMap | str:
    found = coil_matrix(connection, key, revision=revision, otherwise=limits_of(request, key))
    if found is None:
        return "this revision of the coil is not known"
    return found if isinstance(found, str) else heat_map_of(found)


def _metres(length_m: float | None) -> tuple[Tick, ...]:
    """Round steps of 1, 2 or 5 along the strip; chunks where the length is not known."""
    end = length_m or float(MATRIX_ROWS)
    step = 10.0 ** floor(log10(end / _TICKS))
    step *= next(factor for factor in (1, 2, 5, 10) if end / (step * factor) <= _TICKS)
    return tuple(Tick(percent=100 * step * i / end, text=f"{step * i:g}") for i in range(ceil(end / step)))


def _legend(heat: HeatMap) -> tuple[Tick, ...]:
    low, high = heat.band_g_m2 or (0.0, 0.0)
    if heat.unit != "g/m²":
        return (Tick(percent=0, text="−1"), Tick(percent=50, text="0"), Tick(percent=100, text="+1"))
    at = (low - heat.reach, low - heat.reach / 2, None, high + heat.reach / 2, high + heat.reach)
    return tuple(Tick(percent=25.0 * i, text=f"{value:.0f}") for i, value in enumerate(at) if value is not None)
