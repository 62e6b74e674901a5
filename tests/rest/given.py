"""Callers of the console: what each sends."""

import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx

from console.rest.app import create_app
from console.rest.connections import Server
from console.rest.service import Service
from schemas.access import Scope
from store.connection import connect
from store.keys import create_key
from tests.waiting import wait_until


@contextmanager
def served(service: Service) -> Iterator[str]:
    """The address of the console of a service, served as `coilflow console` does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(create_app(service), proxies=service.settings.console.proxies)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def bearer(dsn: str, *scopes: Scope) -> dict[str, str]:
    """Headers of a machine with a new key that has these scopes."""
    with connect(dsn) as connection:
        key = create_key(connection, f"test-{secrets.token_hex(4)}", scopes, expires_at=None, now=datetime.now(UTC))
    return {"authorization": f"Bearer {key}"}


def client_with(client: httpx.Client, dsn: str, *scopes: Scope) -> httpx.Client:
    """Another client of the same console, with a key that has these scopes only; without any, with no key."""
    return httpx.Client(base_url=client.base_url, headers=bearer(dsn, *scopes) if scopes else {}, timeout=120)
