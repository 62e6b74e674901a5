"""What the console shows to Prometheus: its requests, by route and never by path, and its open event streams."""

import time
from collections.abc import Sequence

from prometheus_client import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.observe import SECONDS

REQUESTS = Counter(
    "coilflow_http_requests", "Requests that were answered; the route is `none` where no page has the path",
    ("method", "route", "status"),
)  # fmt: skip
REQUEST_SECONDS = Histogram(
    "coilflow_http_request_seconds",
    "From a request to the first byte of its answer, s",
    ("method", "route"),
    buckets=SECONDS,
)
EVENT_STREAMS = Gauge("coilflow_event_streams", "Clients that are told of verdicts and changes as they happen")

_ROUTED = "coilflow.routed"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def measured(app: ASGIApp) -> ASGIApp:
    """The application, with every answer counted and timed; outermost, so that refusals are counted too."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        began_s, found = time.perf_counter(), list[Scope]()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                method, route = _method(scope), _route(found)
                REQUESTS.labels(method, route, str(message["status"])).inc()
                REQUEST_SECONDS.labels(method, route).observe(time.perf_counter() - began_s)
            await send(message)

        await app({**scope, _ROUTED: found}, receive, sending)

    return handle


def routed(app: ASGIApp) -> ASGIApp:
    """The application, telling `measured` of its route; innermost, for others may hand on a copy of the scope."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        scope.get(_ROUTED, []).append(scope)
        await app(scope, receive, send)

    return handle


def _method(scope: Scope) -> str:
    """A client may name any method: labels are bounded."""
    method = str(scope["method"])
    return method if method in _METHODS else "other"


def _route(found: Sequence[Scope]) -> str:
    return str(getattr(found[-1].get("route") if found else None, "path", "none"))
