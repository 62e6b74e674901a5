"""How connections are served: one that stands still is given up, and there are no more than a process bears."""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

_HEAD_S = 10.0  # for the head of a request, from the connection or the last answer on
_TAKE_S = 30.0  # for a client to take some of what is sent
_CONNECTIONS = 800  # more are answered 503: a process has 1024 files as a rule
_MOST_CONNECTIONS = 900  # more are closed unheard
_GRACE_S = 10  # for requests in hand, once told to stop


class Server(uvicorn.Server):
    """uvicorn's, for the console; told to stop, it ends the event streams, which would never end by themselves.

    Args:
        app: the console.
        proxies: addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.
    """

    def __init__(self, app: FastAPI, *, proxies: Sequence[IPv4Network | IPv6Network]) -> None:
        super().__init__(_config(app, proxies))
        self._feed = app.state.service.feed

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests in hand come to their end."""
        self._feed.end()
        await super().shutdown(sockets)


def _config(app: FastAPI, proxies: Sequence[IPv4Network | IPv6Network]) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=ImpatientProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=[str(proxy) for proxy in proxies],
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE_S,
    )


class ImpatientProtocol(H11Protocol):
    """uvicorn's, which waits for ever: for the head of a request, and for a client to take an answer."""

    _late: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn's
        """Wait for the first head."""
        super().connection_made(transport)
        if len(self.connections) > _MOST_CONNECTIONS:
            transport.abort()
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait no longer once a request is being answered."""
        super().data_received(data)
        if self._is_answering():
            self._wait_no_longer()

    def on_response_complete(self) -> None:
        """Wait for the next head, or the rest of a body that was refused."""
        super().on_response_complete()
        if not self._is_answering():
            self._wait()

    def pause_writing(self) -> None:
        """The client takes nothing for now."""
        super().pause_writing()
        self._stuck = self.loop.call_later(_TAKE_S, self.transport.abort)

    def resume_writing(self) -> None:
        """The client took some."""
        self._unstick()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for."""
        self._wait_no_longer()
        self._unstick()
        super().connection_lost(exc)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        self._wait_no_longer()
        self._late = self.loop.call_later(_HEAD_S, self._give_up)

    def _wait_no_longer(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _unstick(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
