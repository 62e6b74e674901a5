"""To MQTT: the plant's own payload, or whole CloudEvents; acknowledged by the broker at QoS 1 or 2."""

import asyncio
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import aiomqtt
import orjson
from anyio.from_thread import start_blocking_portal

from flows.mqtt.client import mqtt_client
from flows.outbox.outcomes import SENT, Outcome, Publish, failed, refused
from schemas.errors import BrokerError
from schemas.mqtt import CoilReady
from schemas.stream_settings import MqttSettings
from schemas.verdicts import Label
from store.outbox import OutboxRow

_LABELS = {Label.UNDECIDED: 0, Label.OK: 1, Label.NOK: 2}
_LARGEST_BYTES = 268_435_455  # of a message, by MQTT 3.1.1, section 2.2.3

Payload = Callable[[OutboxRow], bytes | None]  # None: this topic does not want such an event


@contextmanager
def mqtt_publisher(topic: str, mqtt: MqttSettings, payload: Payload) -> Iterator[Publish]:
    """Publish to a topic, each message until the broker acknowledged it.

    The session is clean and the client's name its own: what a broken connection leaves open is sent again by the relay,
    with the same id, and not by the client as well.

    Raises:
        BrokerError: the broker does not answer, or refuses the user.
    """
    with start_blocking_portal() as portal:
        client = portal.call(
            partial(mqtt_client, mqtt, identifier=f"{mqtt.client_id}-outbox-{uuid.uuid4().hex[:8]}", clean_session=True)
        )
        try:
            portal.call(client.__aenter__)
        except aiomqtt.MqttError as error:
            raise BrokerError(
                f"MQTT at {mqtt.host}: {error}",
                remedy="check COILFLOW_MQTT__HOST, __PORT, __USERNAME, __PASSWORD and __TLS, and that the broker runs",
            ) from error
        try:
            yield lambda rows: portal.call(_publish, client, topic, mqtt.qos, payload, rows)
        finally:
            portal.call(_leave, client)


def plant_payload(row: OutboxRow) -> bytes | None:
    """`coilready` as the plant knows it; None for what is no verdict."""
    if row.event is None or row.event["type"] != "coil.verdict":
        return None
    data = row.event["data"]
    ready = CoilReady(SID=data["coil_id"], LABEL=_LABELS[Label(data["label"])])
    return orjson.dumps(ready.model_dump())


def event_payload(row: OutboxRow) -> bytes | None:
    """The CloudEvent in structured JSON; None for a dead letter, which is none."""
    return None if row.event is None else orjson.dumps(row.event)


async def _publish(
    client: aiomqtt.Client, topic: str, qos: int, payload: Payload, rows: Sequence[OutboxRow]
) -> Sequence[Outcome]:
    return await asyncio.gather(*(_publish_one(client, topic, qos, payload, row) for row in rows))


async def _publish_one(client: aiomqtt.Client, topic: str, qos: int, payload: Payload, row: OutboxRow) -> Outcome:
    try:
        body = payload(row)
    except (KeyError, ValueError) as error:
        return refused(f"no payload can be made of the event ({type(error).__name__}: {error})")
    if body is None:
        return SENT
    if len(body) > _LARGEST_BYTES:
        return refused(f"{len(body)} bytes are more than an MQTT message may have")
    try:
        await client.publish(topic, body, qos=qos)
    except aiomqtt.MqttError as error:
        return failed(str(error))
    return SENT


async def _leave(client: aiomqtt.Client) -> None:
    try:
        await client.__aexit__(None, None, None)
    except aiomqtt.MqttError:
        return  # the connection broke already: what was open on it counts as not sent
