"""The plant's MQTT broker learns each verdict, also after a restart."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import aiomqtt
import orjson
import pytest

from flows.mqtt.client import mqtt_client
from flows.outbox.publish import open_publisher
from flows.outbox.relay import Relay
from schemas.errors import BrokerError
from schemas.events import EVENT
from schemas.settings import Settings
from schemas.stream_settings import MqttSettings
from schemas.verdicts import Label
from store.connection import Connection
from store.verdicts import record_verdicts
from tests.fix_mqtt import MqttServer
from tests.outbox.given import HASTY, announce, eventually, running, unpublished
from tests.store.given import NOON, decided

READY, EVENTS = "mqtt:coilready", "mqtt-event:coilflow/verdicts"


def settings_of(server: MqttServer, **more: object) -> Settings:
    return Settings(mqtt=MqttSettings(host=server.host, port=server.port, **more))


def relay_to(settings: Settings, database: str) -> Relay:
    return Relay(
        database,
        destinations=frozenset({READY, EVENTS}),
        open_publisher=partial(open_publisher, settings=settings),
        pace=HASTY,
    )


@contextmanager
def listening(settings: Settings) -> Iterator[list[tuple[str, bytes]]]:
    """Keep what comes on every topic, through any restart of the broker."""
    got: list[tuple[str, bytes]] = []
    ready, stop = threading.Event(), threading.Event()

    async def hear() -> None:
        while True:
            try:
                async with mqtt_client(settings.mqtt, identifier="plant", clean_session=False) as client:
                    await client.subscribe("#", qos=2)
                    ready.set()
                    async for message in client.messages:
                        assert isinstance(message.payload, bytes)
                        got.append((str(message.topic), message.payload))
            except aiomqtt.MqttError:
                await asyncio.sleep(0.05)

    async def listen() -> None:
        # Cancelled once, at the end: a wait for a message that is given up may take the message with it.
        hearing, stopping = asyncio.create_task(hear()), asyncio.create_task(asyncio.to_thread(stop.wait))
        await asyncio.wait({hearing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if hearing.done():
            hearing.result()
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)

    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(asyncio.run, listen())
        try:
            assert ready.wait(20)
            yield got
        finally:
            stop.set()
            done.result()


def test_the_plant_gets_its_own_payload_and_others_the_event(
    mqtt_server: MqttServer, connection: Connection, database: str
) -> None:
    settings = settings_of(mqtt_server)
    labels = {"1": Label.OK, "2": Label.NOK, "3": Label.UNDECIDED}
    batch = [decided(coil_id, label=label) for coil_id, label in labels.items()]
    with listening(settings) as got, running(relay_to(settings, database)):
        record_verdicts(connection, batch, decided_at=NOON, destinations=(READY, EVENTS))
        eventually(lambda: len(got) == 6)
        eventually(lambda: unpublished(connection) == 0)
    plant = [orjson.loads(payload) for topic, payload in got if topic == "coilready"]
    assert sorted(plant, key=lambda one: str(one["SID"])) == [
        {"SID": "1", "LABEL": 1},
        {"SID": "2", "LABEL": 2},
        {"SID": "3", "LABEL": 0},
    ]
    events = [EVENT.validate_json(payload) for topic, payload in got if topic == "coilflow/verdicts"]
    assert {event.subject for event in events} == set(labels)


def test_a_warning_is_no_news_for_the_plants_own_topic(
    mqtt_server: MqttServer, connection: Connection, database: str
) -> None:
    announce(connection, "1", to=(READY,))
    connection.execute("""update coilflow.outbox set payload = jsonb_set(payload, '{type}', '"coil.warning"')""")
    settings = settings_of(mqtt_server)
    with listening(settings) as got, running(relay_to(settings, database)):
        eventually(lambda: unpublished(connection) == 0)
        announce(connection, "2", to=(READY,))
        eventually(lambda: got)
    assert [orjson.loads(payload)["SID"] for _, payload in got] == ["2"]


def test_a_broker_that_restarts_loses_no_verdict(
    mqtt_mosquitto: MqttServer, connection: Connection, database: str
) -> None:
    settings = settings_of(mqtt_mosquitto)
    with listening(settings) as got, running(relay_to(settings, database)):
        announce(connection, "1", to=(READY,))
        eventually(lambda: len(got) == 1)
        mqtt_mosquitto.kill()
        announce(connection, "2", "3", to=(READY,))
        mqtt_mosquitto.start()
        announce(connection, "4", to=(READY,))
        eventually(lambda: unpublished(connection) == 0)
        eventually(lambda: {orjson.loads(payload)["SID"] for _, payload in got} == {"1", "2", "3", "4"})


def test_tls_and_a_password_are_given_and_asked_for(
    mqtt_secure: MqttServer, connection: Connection, database: str
) -> None:
    secure = {"tls": True, "tls_cafile": mqtt_secure.cafile, "username": mqtt_secure.username}
    settings = settings_of(mqtt_secure, password=mqtt_secure.password, **secure)
    announce(connection, "1", to=(READY,))
    with running(relay_to(settings, database)):
        eventually(lambda: unpublished(connection) == 0)
    wrong = settings_of(mqtt_secure, **secure, password="wrong-one")  # noqa: S106 - no secret
    with pytest.raises(BrokerError) as caught, open_publisher(READY, wrong):
        pass
    assert "wrong-one" not in str(caught.value) + caught.value.remedy
