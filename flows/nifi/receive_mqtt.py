"""Messages of an MQTT topic in, each acknowledged to the broker once NiFi has stored its FlowFile.

NiFi commits what a call returned before it calls again, so each call acknowledges the message of the call before. Where
NiFi or this process ends in between, the broker sends that message again: each comes at least once, and what comes
after knows a coil again that it was asked for before. It subscribes at QoS 1 whatever the plant publishes with; at 2
the broker keeps no copy of what the client has heard (flows/mqtt/bridge.py).
"""

from pathlib import Path
from urllib.parse import urlsplit

from paho.mqtt.client import MQTTMessage

from flows.nifi.mqtt_session import Session, Target
from flows.nifi.properties import BROKER_URI, CA_FILE, CLIENT_ID, PASSWORD, TOPIC, USERNAME
from flows.nifi.step import SUCCESS, Properties, StepResult
from schemas.errors import CoilflowError, UsageError

_PORTS = {"tcp": 1883, "ssl": 8883}  # IANA


def open_source(properties: Properties) -> "MqttSource":
    """Make it; nothing is connected before the first call.

    Args:
        properties: of the processor.

    Raises:
        UsageError: a property is missing or wrong.
    """
    return MqttSource(target_of(properties), broker=_required(properties, BROKER_URI))


def target_of(properties: Properties) -> Target:
    """What the properties ask for; raises UsageError where one is missing or wrong, without its text."""
    uri = _required(properties, BROKER_URI)
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        raise _no_uri() from None
    if parts.scheme not in _PORTS or not parts.hostname or parts.username or parts.path.strip("/"):
        raise _no_uri()
    username, password, cafile = (properties.get(name) or None for name in (USERNAME, PASSWORD, CA_FILE))
    if password is not None and username is None:
        raise UsageError("property Password is set, and Username is not", remedy="set both, or neither")
    return Target(
        host=parts.hostname,
        port=port or _PORTS[parts.scheme],
        tls=parts.scheme == "ssl",
        cafile=None if cafile is None else Path(cafile),
        client_id=_required(properties, CLIENT_ID),
        topic=_required(properties, TOPIC),
        username=username,
        password=password,
    )


class MqttSource:
    """One message a call.

    Args:
        target: where from.
        broker: as people wrote it, for attribute `mqtt.broker`.
    """

    def __init__(self, target: Target, *, broker: str) -> None:
        self._target, self._broker = target, broker
        self._session: Session | None = None
        self._given: MQTTMessage | None = None  # of this session, returned and not acknowledged

    def receive(self, wait_s: float) -> StepResult | None:
        """Acknowledge the message before, then return the next; arguments and errors as of `Source`."""
        try:
            if self._session is None:
                self._session = Session(self._target)
            self._acknowledge(self._session)
            if self._session.is_used_up:
                self._session.close()
                self._session = Session(self._target)
            message = self._session.next(wait_s)
        except CoilflowError:
            self._leave()
            raise
        self._given = message
        return None if message is None else self._flowfile(message)

    def close(self) -> None:
        """Acknowledge what was returned, and leave; the rest comes again with the next start."""
        try:
            if self._session is not None:
                self._acknowledge(self._session)
        finally:
            self._leave()

    def _acknowledge(self, session: Session) -> None:
        given, self._given = self._given, None
        if given is not None:
            session.acknowledge(given)

    def _leave(self) -> None:
        session, self._session, self._given = self._session, None, None
        if session is not None:
            session.close()

    def _flowfile(self, message: MQTTMessage) -> StepResult:
        attributes = {  # as NiFi's ConsumeMQTT names them
            "mqtt.broker": self._broker,
            "mqtt.topic": message.topic,
            "mqtt.qos": str(message.qos),
            "mqtt.isDuplicate": str(message.dup).lower(),
            "mqtt.isRetained": str(message.retain).lower(),
        }
        return StepResult(relationship=SUCCESS, contents=bytes(message.payload), attributes=attributes)


def _required(properties: Properties, name: str) -> str:
    text = (properties.get(name) or "").strip()
    if not text:
        raise UsageError(f"property {name} is not set", remedy="set it, then start again")
    return text


def _no_uri() -> UsageError:
    return UsageError(
        f"property {BROKER_URI} is neither tcp://host:port nor ssl://host:port",
        remedy="correct it; user and password have properties of their own",
    )
