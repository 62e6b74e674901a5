"""One connection to an MQTT broker that keeps our session, acknowledging each message when it is told to.

A connection is used once. After its loss the broker sends again what was not acknowledged, by the same packet ids as
before: on a client that connects again by itself, an acknowledgement meant for an old copy could so be another
message's. Here old copies and their acknowledgements end with their connection.

MQTT 3.1.1 lets a client say nothing of how many messages it takes before it acknowledges; the broker's own window
(mosquitto: 20) is the bound, and where that is wide or none, ours: what comes beyond it is left at the broker, and
fetched by the next connection.
"""

import socket
import ssl
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from schemas.errors import BrokerError, CoilflowError, UsageError

MOST_HELD = 1000
MOST_HELD_BYTES = 64 * 2**20
_QOS = 1  # at 2 the broker keeps no copy of what it handed over, though nothing is stored yet
_NEVER_SUBSCRIBED = "coilflow/never/subscribed"
_KEEPALIVE_S = 15  # a broker that vanished without a word is noticed in one and a half times this
_CONNECT_S = 5.0
_ANSWER_S = 10.0  # of the broker, to connecting and subscribing, and at the end


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What is subscribed to, and where."""

    host: str
    port: int
    tls: bool
    cafile: Path | None  # PEM; None: those of the system
    client_id: str
    topic: str  # may have wildcards
    username: str | None
    password: str | None


class Session:
    """A connection that has subscribed; messages come in the order in which the broker sent them.

    Raises:
        BrokerError: the broker cannot be reached, or refused.
        UsageError: the CA file cannot be read, or the topic is no topic.
    """

    def __init__(self, target: Target) -> None:
        self._target, self._where = target, f"MQTT at {target.host}:{target.port}"
        self._changed = threading.Condition()
        self._held: deque[MQTTMessage] = deque()
        self._held_bytes = 0
        self._left_some = self._subscribed = self._acknowledged = self._confirmed = False
        self._broken: CoilflowError | None = None
        self._client = self._made()
        self._connect()

    def next(self, wait_s: float) -> MQTTMessage | None:
        """Return the next message; None where none came in this time, in seconds.

        Raises:
            BrokerError: the connection is lost: what it held comes again by the next one.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._held or self._broken or self._left_some, wait_s)
            self._raise_if_broken()
            if not self._held:
                return None
            message = self._held.popleft()
            self._held_bytes -= len(message.payload)
            return message

    @property
    def is_used_up(self) -> bool:
        """Whether all was given that it held, and more is at the broker that only the next connection gets."""
        with self._changed:
            return self._left_some and not self._held

    def acknowledge(self, message: MQTTMessage) -> None:
        """Let the broker forget a message of this connection; where that is lost, it comes again."""
        with self._changed:
            self._raise_if_broken()
        self._client.ack(message.mid, message.qos)
        self._acknowledged = True

    def close(self) -> None:
        """Leave once the broker has read what was acknowledged; it keeps the rest for the next connection.

        Else a next connection that comes soon could take the session over before, and would get those again.
        """
        if self._acknowledged and self._broken is None:
            self._client.unsubscribe(_NEVER_SUBSCRIBED)  # a question, for the answer comes in turn
            with self._changed:
                self._changed.wait_for(lambda: self._confirmed or self._broken, _ANSWER_S)
        self._client.disconnect()
        self._client.loop_stop()

    def _made(self) -> Client:
        target = self._target
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=target.client_id,
            clean_session=False,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = _CONNECT_S
        if target.username is not None:
            client.username_pw_set(target.username, target.password)
        if target.tls:
            client.tls_set_context(_tls(target.cafile))
        # All before it connects: the broker sends what it kept before we have subscribed.
        client.on_connect, client.on_subscribe = self._on_connect, self._on_subscribe
        client.on_message, client.on_disconnect = self._on_message, self._on_disconnect
        client.on_unsubscribe, client.on_socket_open = self._on_unsubscribe, _send_at_once
        return client

    def _connect(self) -> None:
        try:
            self._client.connect(self._target.host, self._target.port, _KEEPALIVE_S)
        except ssl.SSLError as error:
            why = getattr(error, "verify_message", None) or error.reason or str(error)
            raise BrokerError(
                f"{self._where}: TLS does not come about: {why}",
                remedy="give the PEM file of who signed the broker's certificate as CA File, and the name that is in it"
                " in Broker URI",
            ) from error
        except (OSError, ValueError) as error:  # ValueError: no host has such a name
            why = getattr(error, "strerror", None) or str(error)
            raise BrokerError(
                f"{self._where} cannot be reached: {why}",
                remedy="start the broker, or correct Broker URI; it is tried again by itself",
            ) from error
        self._client.loop_start()
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._subscribed or self._broken, _ANSWER_S)
                self._raise_if_broken()
                if not self._subscribed:
                    raise BrokerError(
                        f"{self._where} does not answer", remedy="see whether it is an MQTT broker, and how it does"
                    )
        except CoilflowError:
            self.close()
            raise

    def _raise_if_broken(self) -> None:
        if self._broken is not None:
            raise self._broken.with_traceback(None)

    def _break(self, error: CoilflowError) -> None:
        with self._changed:
            self._broken = self._broken or error
            self._changed.notify_all()

    def _on_connect(
        self, client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            said = BrokerError(
                f"{self._where} refused client {self._target.client_id}: {str(reason).lower()}",
                remedy="correct Username, Password and Client ID, or what the broker lets them do",
            )
            self._break(said)
            return
        try:
            client.subscribe(self._target.topic, qos=_QOS)
        except ValueError:
            said_ = f"property Topic: {self._target.topic!r} is no topic, and no pattern of topics"
            self._break(UsageError(said_, remedy="give a topic as assesscoil; + is a whole level, # a last one"))

    def _on_subscribe(
        self, _client: Client, _data: object, _mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            said = BrokerError(
                f"{self._where} does not let client {self._target.client_id} subscribe to {self._target.topic}",
                remedy="correct Topic, or what the broker lets this user do",
            )
            self._break(said)
            return
        with self._changed:
            self._subscribed = True
            self._changed.notify_all()

    def _on_unsubscribe(
        self, _client: Client, _data: object, _mid: int, _reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        with self._changed:
            self._confirmed = True
            self._changed.notify_all()

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        with self._changed:
            full = len(self._held) >= MOST_HELD or self._held_bytes + len(message.payload) > MOST_HELD_BYTES
            if self._left_some or (self._held and full):  # nothing after one that was left, to keep their order
                self._left_some = True
            else:
                self._held.append(message)
                self._held_bytes += len(message.payload)
            self._changed.notify_all()

    def _on_disconnect(
        self,
        _client: Client,
        _data: object,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        said = BrokerError(
            f"{self._where}: the connection was lost ({str(reason).lower()})",
            remedy="it comes back by itself; if it breaks again and again, see the broker's log: another client may"
            f" have the id {self._target.client_id}",
        )
        self._break(said)


def _send_at_once(_client: Client, _data: object, sock: object) -> None:
    """Else the kernel holds an acknowledgement back for 40 ms, and the broker may repeat what it was for."""
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _tls(cafile: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=cafile)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"property CA File: {cafile} cannot be read: {error.strerror or error}",
            remedy="give the PEM file of who signed the broker's certificate",
        ) from error
