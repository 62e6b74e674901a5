"""What the console shows to Prometheus: its requests, by route and never by path, and its open event streams."""

import time
from collections.abc import MutableMapping
from typing import Any

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

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Measured:
    """ASGI middleware that counts and times every answer; outermost, so that refusals are counted too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.perf_counter()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                method, route = _method(scope), _route(scope)
                REQUESTS.labels(method, route, str(message["status"])).inc()
                REQUEST_SECONDS.labels(method, route).observe(time.perf_counter() - began_s)
            await send(message)

        await self._app(scope, receive, sending)


def _method(scope: MutableMapping[str, Any]) -> str:
    """A client may name any method: labels are bounded."""
    method = str(scope["method"])
    return method if method in _METHODS else "other"


def _route(scope: MutableMapping[str, Any]) -> str:
    return str(getattr(scope.get("route"), "path", "none"))
