"""What every request passes before its endpoint, and every answer after it: names, origins, sizes, times, headers."""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.rest.access import SAFE_METHODS
from console.rest.problems import ProblemError, problem
from console.rest.rates import EVENTS_PATH

LARGEST_EVENTS_BYTES = 8 * 1024 * 1024
LARGEST_BODY_BYTES = 1024 * 1024  # of all else
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
_HSTS = "max-age=31536000"
_ASKED_BY_NAME = ("/healthz", "/readyz", "/metrics")  # by machines, who know the console by any name; they show no coil


def secured(app: ASGIApp) -> ASGIApp:
    """Give every answer the headers that tell a browser what it may do with it, unless it brings its own."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if scope.get("scheme") == "https":
                    headers.setdefault("Strict-Transport-Security", _HSTS)
            await send(message)

        await app(scope, receive, send_secured)

    return run


def known_names_only(app: ASGIApp, *, names: Iterable[str]) -> ASGIApp:
    """Hear who calls this console by its address or one of its names, or has a key.

    Against DNS rebinding: a foreign page can let its own name point here, and a browser then takes it for that page.

    Args:
        app: that is guarded.
        names: beside addresses, localhost and this machine's own name.
    """
    known = {name.lower().rstrip(".") for name in (*names, "localhost", socket.gethostname(), socket.getfqdn())}

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        name = _host_name(headers.get("host", ""))
        is_free = scope["type"] != "http" or scope["path"] in _ASKED_BY_NAME or "authorization" in headers
        if is_free or name in known or _is_address(name):
            await app(scope, receive, send)
        else:
            answer = problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                "the console is not known by the name in `Host`",
                remedy="call it by its address, or add the name to the setting console.hosts",
            )
            await answer(scope, receive, send)

    return run


def own_pages_only(app: ASGIApp) -> ASGIApp:
    """Refuse what a browser sends on behalf of a foreign page, unless it only reads.

    By `Sec-Fetch-Site`, else `Origin` against `Host`; who sends neither is no browser of our time. With a key anything
    goes: no page has it.
    """

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        is_free = scope["type"] != "http" or scope["method"] in SAFE_METHODS or "authorization" in headers
        if is_free or _is_own(headers):
            await app(scope, receive, send)
        else:
            answer = problem(
                HTTPStatus.FORBIDDEN,
                "the request comes from a page of another origin",
                remedy="send it from a page of the console, or with a key",
            )
            await answer(scope, receive, send)

    return run


def bounded(app: ASGIApp, *, body_s: float) -> ASGIApp:
    """Read no body further than its limit, and wait for none longer than so many seconds."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        most = LARGEST_EVENTS_BYTES if scope["path"] == EVENTS_PATH else LARGEST_BODY_BYTES
        size, whole = 0, False
        until: float | None = None

        async def receive_bounded() -> Message:
            nonlocal size, whole, until
            if whole:  # what comes now is the end of the connection, in its own time
                return await receive()
            until = until or asyncio.get_running_loop().time() + body_s
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise ProblemError(
                    HTTPStatus.REQUEST_TIMEOUT,
                    f"the body had not come whole after {body_s:g} s",
                    remedy="send it faster, or less at once",
                    headers={"Connection": "close"},
                ) from None
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > most:
                raise _too_large(most)
            return message

        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > most:
            error = _too_large(most)
            await problem(error.status, str(error), remedy=error.remedy)(scope, receive, send)
        else:
            await app(scope, receive_bounded, send)

    return run


def _too_large(most: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body is larger than {most // 2**20} MiB",
        remedy="send fewer events at once" if most == LARGEST_EVENTS_BYTES else "send less at once",
    )


def _is_own(headers: Headers) -> bool:
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower() != ""


def _host_name(host: str) -> str:
    """Without its port, as in `[::1]:8321`."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
