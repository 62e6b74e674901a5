"""A bridge in this process between a real broker, a database of its own and a plant's database."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import paho.mqtt.client as paho
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from pydantic import SecretStr

from flows.inbox import InboxJudge
from flows.mqtt.bridge import Bridge
from flows.mqtt.desk import Desk
from flows.served import always
from processors.decode import decode_message
from processors.score import Scorer
from schemas.settings import Settings
from schemas.stream_settings import MqttSettings, StreamSettings
from store.databases import create_database, drop_database
from tests.fix_mqtt import MqttServer
from tests.flows.given import fill_plant_database
from tests.flows.judging import MeanScorer

MEAN = MeanScorer()

Running = Callable[..., AbstractContextManager[None]]


def settings_for(server: MqttServer, plant_dsn: str | None = None, cafile: Path | None = None) -> Settings:
    """Settings of a bridge to a broker."""
    return Settings(
        plant="linz",
        destinations=("mqtt:coilready",),
        plant_dsn=SecretStr(plant_dsn) if plant_dsn else None,
        stream=StreamSettings(settle_s=0.05),
        mqtt=MqttSettings(
            host=server.host,
            port=server.port,
            tls=cafile is not None,
            tls_cafile=cafile,
            username=server.username,
            password=SecretStr(server.password) if server.password else None,
        ),
    )


@contextmanager
def publisher(server: MqttServer) -> Iterator[paho.Client]:
    """The plant's own client, which comes back by itself."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="plant", clean_session=False)
    client.reconnect_delay_set(min_delay=1, max_delay=1)
    if server.cafile:
        client.tls_set(str(server.cafile))
        client.username_pw_set(server.username or "", server.password)
    client.connect(server.host, server.port)
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def send(client: paho.Client, topic: str, payload: str | bytes, qos: int = 2) -> None:
    """Publish, and wait until the broker has it."""
    info = client.publish(topic, payload, qos=qos)
    info.wait_for_publish(20)
    assert info.is_published()


@pytest.fixture
def bridge(database: str) -> Running:
    """Runs a bridge on the test's database while a block lasts."""

    @contextmanager
    def running(settings: Settings, ensemble: Scorer = MEAN) -> Iterator[None]:
        judge = InboxJudge(database, always(ensemble), settings, decode=decode_message)
        desk = Desk(settings=settings, current=always(ensemble), decode=decode_message, judge=judge)
        stop, loop = asyncio.Event(), asyncio.new_event_loop()

        async def serve() -> None:
            await Bridge(desk, database).run(stop)

        failed: list[BaseException] = []

        def run() -> None:
            try:
                loop.run_until_complete(serve())
            except Exception as error:  # noqa: BLE001 - raised again in the test
                failed.append(error)
            finally:
                loop.run_until_complete(loop.shutdown_default_executor())
                loop.close()

        thread = threading.Thread(target=run)
        judge.start()
        thread.start()
        try:
            yield
        finally:
            if thread.is_alive():
                loop.call_soon_threadsafe(stop.set)
            thread.join()
            judge.stop()
        if failed:
            raise failed[0]

    return running


@pytest.fixture
def plant_dsn(postgres_server: str) -> Iterator[str]:
    """The plant's own database with its tables, empty; `feedback` among them."""
    name = f"coilflow_plant_{threading.get_ident()}"
    drop_database(postgres_server, name)
    dsn = create_database(postgres_server, name)
    fill_plant_database([], dsn)
    with psycopg.connect(dsn) as connection:
        connection.execute(
            'create table feedback ("COILID" varchar(20), "Label" integer, "Descrip" text, ts timestamp)'
        )
    try:
        yield dsn
    finally:
        drop_database(postgres_server, name)
