"""The console in a thread of a process that does something else."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from console.commands.serve import address_of, listening_on, one_time_link
from flows.mapping import decoder_of
from flows.serving import following
from schemas.settings import Settings

_HOST = "127.0.0.1"
_CONNECTIONS = 4
_WAIT_S = 5.0  # for a connection: the machine has other things to do


@contextmanager
def console_beside(dsn: str, settings: Settings, name: str) -> Iterator[str]:
    """Serve the console on a free loopback port while the block lasts.

    Args:
        dsn: of a database of this version.
        settings: of what runs.
        name: of the engineer whom the link signs in.

    Yields:
        A link that signs in, once; the address alone where no link is made any more.

    Raises:
        StoreError: the database cannot be reached, or refused.
        UsageError: no port is free.
    """
    from console.rest.app import create_app  # noqa: PLC0415 - other commands start faster without
    from console.rest.connections import Server  # noqa: PLC0415
    from console.rest.service import running_service  # noqa: PLC0415

    with (
        listening_on(_HOST, 0) as listening,
        following(dsn, settings, kind="inbox") as serving,
        running_service(
            dsn, serving.current, settings, decode=decoder_of(settings), connections=_CONNECTIONS, wait_s=_WAIT_S
        ) as service,
    ):
        server = Server(create_app(service), proxies=())
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="console")
        thread.start()
        try:
            address = address_of(listening, _HOST)
            yield one_time_link(dsn, address, name) or address
        finally:
            server.should_exit = True
            thread.join()
