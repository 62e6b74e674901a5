"""`/data`: drift, the gauge, feedback, the balance of coils, dead letters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from console.rest.access import Reads
from console.rest.problems import ProblemError
from console.rest.service import service_of
from console.web.bar_charts import day_bars, distribution_chart
from console.web.charts import Bound, Line, Point, sparkline, time_chart
from console.web.gauge_map import sensors
from console.web.pages import render
from console.web.quantities import Quantity, quantity
from flows.recent_coils import distribution_of, gauge_of
from processors.gauge_health import OFF_SHARE
from schemas.errors import BundleError
from store.alarms import labels_by_plant
from store.connection import Connection
from store.courses import (
    coil_balance,
    dead_letter_steps,
    drift_course,
    feedback_course,
    known_plants,
    last_word,
)
from store.drift import DriftCheck, latest_coils, latest_drift_checks
from store.figures import read_figures
from store.pool import borrowed

_DAYS = 30
_POINTS = 80
_LONG_AGO_DAYS = 400
_GAUGE_COILS = 150  # a hundred tell an offset of 3%

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """One quantity of a plant's last check, and how it went on."""

    name: str
    words: Quantity
    figure: Mapping[str, float]
    drifted: bool
    spark: Markup
    url: str


@router.get("/data")
def get_data(request: Request, caller: Reads, plant: Annotated[str | None, Query()] = None) -> HTMLResponse:
    """Whether what comes is as it should be, and what became of all of it."""
    service, now = service_of(request), datetime.now(UTC)
    with borrowed(service.pool) as connection:
        plants = known_plants(connection)
        chosen = plant if plant in plants else next(iter(plants), None)
        context = {
            **_drift(connection, chosen, now),
            **_gauge(connection, chosen, now),
            **_people(connection, now),
            **_account(connection),
        }
    return render(request, "data.html", caller=caller, plants=plants, chosen=chosen, days=_DAYS, **context)


def _drift(connection: Connection, plant: str | None, now: datetime) -> dict[str, Any]:
    """The last check of a plant, and how it came to that."""
    checks = latest_drift_checks(connection)
    check = next((one for one in checks if one.plant == plant), None)
    until = now if check is None else check.checked_at
    course = drift_course(connection, plant=plant, after=until - timedelta(days=_DAYS), until=until, points=_POINTS)
    return {"check": check, "watched": _watched(check, course)}


def _gauge(connection: Connection, plant: str | None, now: datetime) -> dict[str, Any]:
    """What the last coils tell of the gauge, however long ago they ran."""
    after = now - timedelta(days=_LONG_AGO_DAYS)
    coils = () if plant is None else latest_coils(connection, plant, after=after, until=now, coils=_GAUGE_COILS)
    health = gauge_of(coils)
    return {"gauge": health, "faces": sensors(health), "off_share": OFF_SHARE}


def _people(connection: Connection, now: datetime) -> dict[str, Any]:
    """What people said until their last word, and of how much."""
    spoken = last_word(connection) or now
    since = spoken - timedelta(days=_DAYS)
    return {"feedback": _feedback(connection, spoken), "labelled": labels_by_plant(connection, since=since, now=now)}


def _account(connection: Connection) -> dict[str, Any]:
    """What became of all that came."""
    figures = read_figures(connection)
    return {
        "balance": coil_balance(connection),
        "misfiled": [row for row in figures["figures_misfiled"] if row["coils"]],
        "waiting": figures["figures_reviews"],
        "steps": dead_letter_steps(connection),
    }


@router.get("/data/drift")
def get_drift(
    request: Request, caller: Reads, plant: Annotated[str, Query()], name: Annotated[str, Query(alias="quantity")]
) -> HTMLResponse:
    """One quantity of one plant: its value and drift over time against bounds, its distribution then and now."""
    service = service_of(request)
    with borrowed(service.pool) as connection:
        check = next((one for one in latest_drift_checks(connection) if one.plant == plant), None)
        if check is None or name not in check.figures:
            raise ProblemError(
                HTTPStatus.NOT_FOUND, f"no drift check of plant {plant} tells of {name}", remedy="see the page Data"
            )
        until = check.checked_at
        after = until - timedelta(days=_DAYS)
        course = drift_course(connection, plant=plant, after=after, until=until, points=_POINTS)
        try:
            found, missing = distribution_of(connection, service.settings, plant, name, now=until), None
        except BundleError as error:
            found, missing = None, f"{error}; {error.remedy}"
    words, figure = quantity(name), check.figures[name]
    told = [one for one in course if name in one.figures]
    begun = max(after, min((one.checked_at for one in told), default=after))
    charts = [
        time_chart(
            "value",
            f"{words.title}, mean of the latest coils",
            [
                Line(
                    name="mean", points=tuple(Point(at=one.checked_at, value=one.figures[name]["mean"]) for one in told)
                )
            ],
            after=begun,
            until=until,
            percent=words.share,
            unit=words.unit,
            bounds=[Bound(value=figure["reference_mean"], said="reference")],
        ),
        time_chart(
            "psi",
            "Drift (population stability index)",
            [_line(told, name, "psi")],
            after=begun,
            until=until,
            percent=False,
            unit="PSI",
            bounds=[Bound(value=figure["at_least"], said=f"drifted above {figure['at_least']:.2f}")],
        ),
    ]
    if found is not None:
        title = f"{words.title}, then and now"
        charts.append(
            distribution_chart(
                "then-now", title, found.cuts, found.then, found.now, percent=words.share, unit=words.unit
            )
        )
    return render(
        request,
        "drift.html",
        caller=caller,
        plant=plant,
        words=words,
        check=check,
        figure=figure,
        charts=charts,
        found=found,
        missing=missing,
    )


def _line(course: Sequence[DriftCheck], name: str, what: str) -> Line:
    return Line(name=what, points=tuple(Point(at=one.checked_at, value=one.figures[name][what]) for one in course))


def _watched(check: DriftCheck | None, course: Sequence[DriftCheck]) -> list[Watched]:
    """Quantities of the last check, those that drifted most first."""
    if check is None:
        return []
    rows = []
    for name, figure in check.figures.items():
        shares = [one.figures[name]["psi"] / one.figures[name]["at_least"] for one in course if name in one.figures]
        rows.append(
            Watched(
                name=name,
                words=quantity(name),
                figure=figure,
                drifted=figure["psi"] > figure["at_least"],
                spark=sparkline(shares, bound=1.0),
                url="/data/drift?" + urlencode({"plant": check.plant, "quantity": name}),
            )
        )
    return sorted(rows, key=lambda row: row.figure["at_least"] - row.figure["psi"])


def _feedback(connection: Connection, spoken: datetime) -> Markup:
    """Words of the thirty days until the last one, by the server's days."""
    last = spoken.astimezone().date()
    days = [last - timedelta(days=back) for back in range(_DAYS - 1, -1, -1)]
    begins: list[datetime] = [datetime.combine(day, time()).astimezone() for day in days]
    until = datetime.combine(last + timedelta(days=1), time()).astimezone()
    counts: Sequence[Mapping[Any, int]] = feedback_course(connection, begins, until=until)
    named = [{str(label): words for label, words in one.items()} for one in counts]
    return day_bars("feedback", "Words of people by day", list(zip(days, named, strict=True)), kinds=("OK", "NOK"))
