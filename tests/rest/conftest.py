"""A console in this process, on a port and a database of its own, with a scorer that needs no model."""

import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
import uvicorn

from console.rest.app import create_app
from console.rest.service import Service, running_service
from flows.served import always
from processors.decode import decode_message
from schemas.access import Scope
from schemas.settings import Settings
from schemas.stream_settings import StreamSettings
from tests.flows.judging import MeanScorer
from tests.rest.given import bearer
from tests.waiting import wait_until

SETTINGS = Settings(stream=StreamSettings(settle_s=0.05), destinations=("kafka:coil.verdicts",))


@pytest.fixture
def service(database: str) -> Iterator[Service]:
    """Two connections, which are waited for a moment only."""
    with running_service(
        database, always(MeanScorer()), SETTINGS, decode=decode_message, connections=2, wait_s=0.2
    ) as running:
        yield running


@pytest.fixture
def client(service: Service, database: str) -> Iterator[httpx.Client]:
    """Speaks to the console, with a key that may do everything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(create_app(service), log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            wait_until(lambda: server.started)
            address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            with httpx.Client(base_url=address, headers=bearer(database, *Scope), timeout=30) as opened:
                yield opened
        finally:
            server.should_exit = True
            thread.join()
