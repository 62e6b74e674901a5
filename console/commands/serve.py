"""`coilflow console`: REST for an MES without Kafka."""

import ipaddress
import signal
import socket
from contextlib import ExitStack
from typing import Annotated

import typer

from console.output import err
from flows.mapping import decoder_of
from flows.observe import configure_logging
from flows.serving import following
from schemas.errors import UsageError
from schemas.settings import load_settings
from store.embedded import embedded_postgres
from store.migrations import migrate

_CONNECTIONS = 8
_WAIT_S = 2.0  # for a connection, before a client is told to come again
_GRACE_S = 10  # for requests in hand, once told to stop


def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8321,
) -> int:
    """Serve REST under /api/v1 until SIGTERM, and judge the coils that come by it."""
    import uvicorn  # noqa: PLC0415 - other commands start faster without

    from console.rest.app import create_app  # noqa: PLC0415
    from console.rest.service import running_service  # noqa: PLC0415

    settings = load_settings()
    configure_logging()
    with ExitStack() as stack:
        listening = stack.enter_context(_listening(host, port))
        if not _is_loopback(host):
            err.print(
                f"warning: {host} can be reached by others, and there is no authentication yet: keep it behind one"
            )
        dsn = settings.database_dsn or stack.enter_context(embedded_postgres(settings.data_dir))
        migrate(dsn)
        current = stack.enter_context(following(dsn, settings, kind="inbox")).current
        service = stack.enter_context(
            running_service(
                dsn, current, settings, decode=decoder_of(settings), connections=_CONNECTIONS, wait_s=_WAIT_S
            )
        )
        config = uvicorn.Config(
            create_app(service), log_config=None, access_log=False, timeout_graceful_shutdown=_GRACE_S
        )
        for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn stops on them, and then raises them again
            signal.signal(number, lambda *_: None)
        uvicorn.Server(config).run(sockets=[listening])
    return 0


def _listening(host: str, port: int) -> socket.socket:
    """Take the port before anything is started; the address is printed for scripts that asked for a free one."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise UsageError(
            f"{host} port {port} cannot be listened on: {error.strerror or error}",
            remedy="give another --port or --host, or stop what uses it",
        ) from error
    name = f"[{host}]" if family is socket.AF_INET6 else host
    err.print(f"coilflow console on http://{name}:{listening.getsockname()[1]}/docs")
    return listening


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
