"""A client of the event stream, on a socket of its own."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx

from tests.waiting import wait_until

STREAM = "/api/v1/stream"


@dataclass
class Heard:
    """What came so far."""

    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)  # kind and data
    ids: list[str] = field(default_factory=list)  # of each event
    place: str | None = None  # the last id that came, also without an event
    ended: bool = False

    def coils(self) -> list[str]:
        """Ids of coils by verdicts, in their order."""
        return [data["coil_id"] for kind, data in self.events if kind == "verdict"]


@contextmanager
def hearing(client: httpx.Client, last: str | None = None, **parameters: str) -> Iterator[Heard]:
    """Listen while the block lasts; it begins once the stream has said where it begins."""
    url = client.base_url
    connection = http.client.HTTPConnection(url.host, url.port or 80, timeout=60)
    headers = {"authorization": client.headers["authorization"]} | ({"last-event-id": last} if last else {})
    connection.request("GET", f"{STREAM}?{urlencode(parameters)}", headers=headers)
    response = connection.getresponse()
    assert response.status == 200, response.read()
    heard = Heard()
    thread = threading.Thread(target=_read, args=(response, heard))
    thread.start()
    try:
        wait_until(lambda: heard.place is not None)
        yield heard
    finally:
        if connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        thread.join()
        connection.close()


def _read(response: http.client.HTTPResponse, heard: Heard) -> None:
    kind, data = "", ""
    with suppress(OSError, http.client.HTTPException, ValueError):  # it was closed
        while line := response.readline():
            name, _, value = line.decode().rstrip("\r\n").partition(": ")
            if name == "id":
                heard.place = value
            elif name == "event":
                kind = value
            elif name == "data":
                data += value
            elif not name and data:
                heard.ids.append(str(heard.place))
                heard.events.append((kind, json.loads(data)))
                kind, data = "", ""
    heard.ended = True
