"""`coilflow console`: REST and the page."""

import ipaddress
import signal
import socket
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Annotated

import typer

from console.output import err
from flows.mapping import decoder_of
from flows.observe import configure_logging, show_service
from flows.serving import following
from schemas.errors import UsageError
from schemas.settings import load_settings
from store.connection import connect
from store.embedded import embedded_postgres
from store.migrations import migrate
from store.sessions import link_for_engineer

_CONNECTIONS = 8
_WAIT_S = 2.0  # for a connection, before a client is told to come again


def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8321,
) -> int:
    """Serve REST and the page until SIGTERM, and judge the coils that come by it."""
    from console.rest.app import create_app  # noqa: PLC0415 - other commands start faster without
    from console.rest.connections import Server  # noqa: PLC0415
    from console.rest.service import running_service  # noqa: PLC0415

    settings = load_settings()
    configure_logging()
    show_service("console")
    with ExitStack() as stack:
        listening = stack.enter_context(listening_on(host, port))
        address = address_of(listening, host)
        err.print(f"coilflow console on {address}")
        if not _is_loopback(host):
            err.print(f"warning: {host} can be reached by others, who can read along: put a proxy with TLS before it")
        dsn = settings.database_dsn or stack.enter_context(embedded_postgres(settings.data_dir))
        migrate(dsn)
        if settings.database_dsn is None and _is_loopback(host):
            link = one_time_link(dsn, address, "local")
            err.print(f"sign in, once, within ten minutes: {link}" if link else "sign in by name and password")
        current = stack.enter_context(following(dsn, settings, kind="inbox")).current
        service = stack.enter_context(
            running_service(
                dsn, current, settings, decode=decoder_of(settings), connections=_CONNECTIONS, wait_s=_WAIT_S
            )
        )
        for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn stops on them, and then raises them again
            signal.signal(number, lambda *_: None)
        Server(create_app(service), proxies=settings.console.proxies).run(sockets=[listening])
    return 0


def one_time_link(dsn: str, address: str, name: str) -> str | None:
    """A link that signs an engineer of this machine in, once; who can make one may do all to the database anyway.

    Args:
        dsn: of a database of this version.
        address: of the console.
        name: of the engineer, who is made on first use.

    Returns:
        The link; None where that engineer was given a password, or disabled.

    Raises:
        StoreError: the database cannot be reached, or refused.
    """
    with connect(dsn) as connection:
        token = link_for_engineer(connection, name, now=datetime.now(UTC))
    return None if token is None else f"{address}/sign-in?once={token}"


def listening_on(host: str, port: int) -> socket.socket:
    """Take the port before anything is started."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise UsageError(
            f"{host} port {port} cannot be listened on: {error.strerror or error}",
            remedy="give another --port or --host, or stop what uses it",
        ) from error
    # Connections inherit it. asyncio sets it by itself only where a socket was made by protocol; without, the body of a
    # short answer waits 40 ms for the client to acknowledge the head.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def address_of(listening: socket.socket, host: str) -> str:
    """Where a console listens: for scripts that asked for a free port, and for people."""
    name = f"[{host}]" if listening.family is socket.AF_INET6 else host
    return f"http://{name}:{listening.getsockname()[1]}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
