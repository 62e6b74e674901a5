"""Pages from templates: what every one is given, and how it says times, shares and reasons."""

from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from console.rest.access import csrf_token_of
from console.rest.names import PAGE, coil_path
from console.web.reasons import sentence, worded
from console.web.static_files import static_url
from schemas.coils import CoilKey

THEMES = ("light", "dark")
THEME_COOKIE = "coilflow_theme"


def render(request: Request, name: str, *, status: int = HTTPStatus.OK, **context: Any) -> HTMLResponse:  # noqa: ANN401
    """A page.

    Args:
        request: that asked for it; says who asks and which theme they like.
        name: of the template.
        status: of the answer.
        context: what the template shows.

    Raises:
        jinja2.UndefinedError: the template shows what it was not given.
    """
    html = templates().get_template(name).render(_given(request) | context)
    return HTMLResponse(html, status_code=status, headers={"Cache-Control": "no-store", "Vary": "Cookie"})


def coil_url(plant: str, coil_id: str) -> str:
    """Page of a coil; a slash within a name is sent as %2F."""
    return coil_path(CoilKey(plant=plant, coil_id=coil_id), under=PAGE)


def wants_page(request: Request) -> bool:
    """Whether a browser asks for something to look at, rather than a program for something to read."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")


def own_place(place: str) -> str:
    """Where to go on, as a form named it; the line where that is no place of ours."""
    return place if place.startswith("/") and not place.startswith(("//", "/\\")) and place.isprintable() else "/"


@cache
def templates() -> Environment:
    """The environment of all templates: everything is escaped, and what is not given is an error."""
    environment = Environment(
        loader=PackageLoader("console.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "static": static_url,
        "coil_url": coil_url,
        "coilflow_version": version("coilflow"),
        "time_zone": datetime.now().astimezone().tzname() or "UTC",
    }
    environment.filters |= {
        "moment": moment,
        "clock": clock,
        "probability": probability,
        "worded": worded,
        "sentence": sentence,
    }
    return environment


def moment(time: datetime | None) -> Markup:
    """A time by the server's clock, in UTC on hovering over it."""
    return _time(time, "%Y-%m-%d %H:%M:%S")


def clock(time: datetime | None) -> Markup:
    """The same without the day where it is today's."""
    today = time is not None and time.astimezone().date() == datetime.now().astimezone().date()
    return _time(time, "%H:%M:%S" if today else "%m-%d %H:%M")


def probability(value: float | None) -> str:
    """A probability to three decimals."""
    return "–" if value is None or value != value else f"{value:.3f}"  # noqa: PLR0124 - NaN alone differs from itself


def _time(time: datetime | None, form: str) -> Markup:
    if time is None:
        return Markup("–")
    utc = time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(utc, time.astimezone().strftime(form))


def _given(request: Request) -> dict[str, Any]:
    theme = request.cookies.get(THEME_COOKIE, "")
    return {
        "caller": getattr(request.state, "caller", None),
        "csrf_token": csrf_token_of(request),
        "path": request.url.path,
        "here": here_of(request),
        "theme": theme if theme in THEMES else None,
    }


def here_of(request: Request) -> str:
    """The address as it was asked for, to come back to; the line after a write."""
    if request.method != "GET":
        return "/"
    path = request.scope.get("raw_path", b"/").decode("ascii", "replace")
    return f"{path}?{request.url.query}" if request.url.query else path
