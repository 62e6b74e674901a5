"""What every request passes before its endpoint, and every answer after it: names, origins, sizes, times, headers."""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.rest.access import FORMS_OF_ALL, SAFE_METHODS
from console.rest.problems import ProblemError, problem
from console.rest.rates import EVENTS_PATH

LARGEST_EVENTS_BYTES = 8 * 1024 * 1024
LARGEST_BODY_BYTES = 1024 * 1024  # of all else
_LARGEST_FORM_BYTES = 64 * 1024  # of FORMS_OF_ALL: nobody is known before they are read
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
_LARGEST_BYTES = {EVENTS_PATH: LARGEST_EVENTS_BYTES} | dict.fromkeys(FORMS_OF_ALL, _LARGEST_FORM_BYTES)  # by path
_OWN_COOKIES = (b"coilflow_session=", b"coilflow_theme=")
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
    known = {_host_name(name) for name in (*names, "localhost", socket.gethostname(), socket.getfqdn())}

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        name = _host_name(headers.get("host", ""))
        is_free = scope["type"] != "http" or scope["path"] in _ASKED_BY_NAME or _needs_its_key(scope, headers)
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
        is_free = scope["type"] != "http" or scope["method"] in SAFE_METHODS or _needs_its_key(scope, headers)
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
        most = _LARGEST_BYTES.get(scope["path"], LARGEST_BODY_BYTES)
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


def unambiguous(app: ASGIApp) -> ASGIApp:
    """Refuse a body whose end two servers see in two places, and forms in a shape that no page here sends.

    A multipart form names the codec of its texts, and Python has some that take minutes for a megabyte.
    """

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        if "content-length" in headers and "transfer-encoding" in headers:  # RFC 9112, section 6.1
            answer = problem(
                HTTPStatus.BAD_REQUEST,
                "both Content-Length and Transfer-Encoding say where the body ends",
                remedy="send one of them",
                headers={"Connection": "close"},
            )
        elif headers.get("content-type", "").lower().lstrip().startswith("multipart/"):
            answer = problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "nothing here reads a multipart body",
                remedy="send JSON, or a form as application/x-www-form-urlencoded",
            )
        else:
            await app(scope, receive, send)
            return
        await answer(scope, receive, send)

    return run


def own_cookies_only(app: ASGIApp) -> ASGIApp:
    """Let the console's own cookies through: what others on this host keep in the browser is not for it.

    Python before 3.11.10 also needs seconds for a quoted one that is full of backslashes (CVE-2024-7592).
    """

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = [(name, _own(value) if name == b"cookie" else value) for name, value in scope["headers"]]
            scope = {**scope, "headers": headers}
        await app(scope, receive, send)

    return run


def _own(cookies: bytes) -> bytes:
    found = (one.strip() for one in cookies.split(b";"))
    return b"; ".join(one for one in found if one.startswith(_OWN_COOKIES) and b'"' not in one)


def _needs_its_key(scope: Scope, headers: Headers) -> bool:
    """Whether a key is shown where one is asked for; on a form for all it opens nothing, and excuses nothing."""
    return "authorization" in headers and scope["path"] not in FORMS_OF_ALL


def _too_large(most: int) -> ProblemError:
    told = f"{most // 2**20} MiB" if most >= 2**20 else f"{most // 2**10} KiB"
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body is larger than {told}",
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
