"""From a destination's name to the function that publishes there."""

from contextlib import AbstractContextManager

from flows.outbox.outcomes import Publish
from flows.outbox.to_kafka import kafka_publisher
from flows.outbox.to_mqtt import event_payload, mqtt_publisher, plant_payload
from flows.outbox.to_webhook import webhook_publisher
from schemas.errors import UsageError
from schemas.settings import Settings


def open_publisher(destination: str, settings: Settings) -> AbstractContextManager[Publish]:
    """Connect to a destination for as long as the block lasts.

    Args:
        destination: as in the settings: `kafka:TOPIC`, `mqtt:TOPIC`, `mqtt-event:TOPIC` or `webhook:NAME`.
        settings: brokers and webhooks.

    Returns:
        A block that yields the function to publish with; entering it raises BrokerError where nobody answers.

    Raises:
        UsageError: the settings do not say where that is.
    """
    system, _, name = destination.partition(":")
    if system == "kafka":
        return kafka_publisher(name, settings.kafka)
    if system == "mqtt":
        return mqtt_publisher(name, settings.mqtt, plant_payload)
    if system == "mqtt-event":
        return mqtt_publisher(name, settings.mqtt, event_payload)
    if system == "webhook" and name in settings.webhooks:
        return webhook_publisher(name, settings.webhooks[name])
    raise UsageError(
        f"events wait for {destination}, which the settings do not define",
        remedy=f"define it again under webhooks, or delete its rows: they wait for {destination} in coilflow.outbox",
    )
