"""A webhook is told of each event, signed, and what it answers decides what becomes of the row."""

import base64
import hashlib
import hmac
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from flows.outbox.relay import Relay
from flows.outbox.to_webhook import signature, webhook_publisher
from schemas.errors import UsageError
from schemas.events import EVENT
from schemas.stream_settings import Webhook
from store.connection import Connection
from store.outbox import waiting_rows
from tests.outbox.given import HASTY, announce, eventually, running, unpublished

MES = "webhook:mes"
SECRET = base64.b64encode(b"a secret of 24 bytes ...").decode()


class Receiver(ThreadingHTTPServer):
    """An MES: keeps what it got, answers what it is told to answer."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: dict[str, int] = {}  # by coil id; else 204

    @property
    def webhook(self) -> Webhook:
        """Settings of the webhook that leads here."""
        return Webhook(url=f"http://127.0.0.1:{self.server_port}/coils", secret=SecretStr("whsec_" + SECRET))

    @property
    def coils(self) -> list[str]:
        """Coil ids in the order in which they came."""
        return [orjson.loads(body)["subject"] for _, body in list(self.got)]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Keep it and answer."""
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.answers.get(orjson.loads(body)["subject"], 204))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def relay_to(receiver: Receiver, database: str) -> Relay:
    return Relay(
        database,
        destinations=frozenset({MES}),
        open_publisher=lambda _: webhook_publisher("mes", receiver.webhook),
        pace=HASTY,
    )


def test_the_body_is_the_event_and_its_signature_can_be_checked(
    receiver: Receiver, connection: Connection, database: str
) -> None:
    announce(connection, "1", to=(MES,))
    with running(relay_to(receiver, database)):
        eventually(lambda: unpublished(connection) == 0)
    [(headers, body)] = receiver.got
    event = EVENT.validate_json(body)
    assert (event.type, event.subject, event.id) == ("coil.verdict", "1", headers["webhook-id"])
    assert headers["content-type"] == "application/cloudevents+json"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(base64.b64decode(SECRET), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_the_signature_is_that_of_the_standards_own_example() -> None:
    made = signature(
        base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        event_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp_s=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("status", [408, 429, 500, 503, 302])
def test_what_may_pass_is_tried_again_with_the_same_id(
    receiver: Receiver, connection: Connection, database: str, status: int
) -> None:
    receiver.answers["1"] = status
    announce(connection, "1", to=(MES,))
    with running(relay_to(receiver, database)):
        eventually(lambda: len(receiver.got) > HASTY.most_attempts + 1)
        receiver.answers.clear()
        eventually(lambda: unpublished(connection) == 0)
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1


@pytest.mark.parametrize("status", [400, 404, 413])
def test_what_is_refused_for_good_is_set_aside_and_the_others_arrive(
    receiver: Receiver, connection: Connection, database: str, status: int
) -> None:
    receiver.answers["1"] = status
    announce(connection, "1", "2", to=(MES,))
    with running(relay_to(receiver, database)):
        eventually(
            lambda: connection.execute("select 1 as found from coilflow.outbox where refused_at is not null").fetchone()
        )
        announce(connection, "3", to=(MES,))
        eventually(lambda: unpublished(connection) == 1)
    assert receiver.coils.count("1") == HASTY.most_attempts
    assert [coil for coil in receiver.coils if coil != "1"] == ["2", "3"]
    [row] = connection.execute("select refusal from coilflow.outbox where refused_at is not null").fetchall()
    assert row["refusal"].startswith(str(status))


def test_a_receiver_that_is_not_there_is_waited_for(connection: Connection, database: str) -> None:
    announce(connection, "1", to=(MES,))
    gone = Webhook(url="http://127.0.0.1:9/", secret=SecretStr("s"))
    [row] = waiting_rows(connection, MES, slots=frozenset(range(64)))
    with webhook_publisher("mes", gone) as publish:
        assert [outcome.kind for outcome in publish([row])] == ["failed"]


def test_a_secret_that_is_no_base64_is_wrong_use_and_is_not_shown() -> None:
    webhook = Webhook(url="http://localhost/", secret=SecretStr("whsec_geheim!"))
    with pytest.raises(UsageError) as caught, webhook_publisher("mes", webhook):
        pass
    assert "geheim" not in str(caught.value) + caught.value.remedy
