"""A plant around a real NiFi: Kafka, MQTT, both databases, coilflow as a plant installs it."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from flows.kafka.client import producer
from models.ensemble import SHIPPED, load_ensemble, write_ensemble
from schemas.bundles import EnsembleManifest
from schemas.coils import CoilKey
from schemas.settings import Settings
from schemas.stream_settings import KafkaSettings, StreamSettings
from store.connection import connect, parameters_of
from tests.fix_mqtt import MqttServer
from tests.nifi.real.server import NifiServer

DEADLINE_S = 90.0  # after a SIGKILL Kafka holds the partitions for the dead consumer for 45 s
STRUCTURED = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
SECOND = "second-of-the-test"


@dataclass(kw_only=True)
class World:
    """Where everything is."""

    folder: Path
    nifi: NifiServer
    commands: Path  # of the environment that a plant installed
    dsn: str
    plant_source: str  # the plant's tables, as `coilflow assess` takes them
    kafka: KafkaSettings
    mqtt: MqttServer
    ready: "Ready"
    sent: list[bytes] = field(default_factory=list)  # events, for the local host

    @property
    def settings(self) -> Settings:
        """Of coilflow in NiFi, and of the local host that it is held against."""
        return Settings(
            data_dir=self.folder / "data",
            threads=1,
            plant_dsn=SecretStr(self.plant_source),
            stream=StreamSettings(deadline_s=DEADLINE_S),
        )

    def coilflow(self, *words: str) -> tuple[int, str]:
        """Run the command of the environment: exit status, and what it said."""
        done = subprocess.run(
            [str(self.commands / "coilflow"), *words],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr

    def deployed(self, command: str, *words: str) -> tuple[int, str]:
        """Run `coilflow nifi COMMAND` against the NiFi that runs."""
        return self.coilflow("nifi", command, *words, "--url", self.nifi.url)

    def environment(self) -> dict[str, str]:
        """Of every command: nothing of ours but where data and database are."""
        ours = ("COILFLOW_", "PYTHONPATH")  # a checkout on the path would hide what is installed
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return kept | {"COILFLOW_DATA_DIR": str(self.folder / "data"), "COILFLOW_DATABASE_DSN": self.dsn}

    def send_events(self, coils: Sequence[Sequence[bytes]]) -> None:
        """Put coils on the topic, their events between each other's."""
        sender = producer(self.kafka)
        for place in range(max(map(len, coils))):
            for lines in coils:
                if place < len(lines):
                    key = b"%x" % id(lines)  # a coil's events stay in one partition, whatever is in them
                    sender.send(self.kafka.chunks_topic, key=key, value=lines[place], headers=STRUCTURED)
        sender.flush()
        sender.close()
        self.sent += [line for lines in coils for line in lines]

    def tell(self, topic: str, *payloads: dict[str, Any]) -> None:
        """Publish as the plant does, at QoS 2."""
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="plant")
        client.connect(self.mqtt.host, self.mqtt.port)
        client.loop_start()
        for payload in payloads:
            client.publish(topic, json.dumps(payload), qos=2).wait_for_publish(30)
        client.disconnect()
        client.loop_stop()

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """What the database holds."""
        with connect(self.dsn) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def lock_out(self, *, for_s: float) -> None:
        """Keep everybody out of the database for a while, as an outage does."""
        known = parameters_of(self.dsn)
        name = sql.Identifier(known["dbname"])
        allow = sql.SQL("alter database {} with allow_connections {}")
        with connect(make_conninfo("", **{**known, "dbname": "postgres"})) as connection:
            connection.execute(allow.format(name, sql.SQL("false")))
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (known["dbname"],)
            )
            try:
                threading.Event().wait(for_s)
            finally:
                connection.execute(allow.format(name, sql.SQL("true")))

    def open(self) -> str:
        """What is not decided, and how the flows do: for a person who wonders why."""
        rows = self.rows("select * from coilflow.inbox_coils")
        return "\n".join([*map(str, rows), self.deployed("status")[1]])

    def drained(self) -> bool:
        """Whether nothing is on its way any more: no FlowFile between processors, no event in the inbox."""
        status = [orjson.loads(line) for line in self.deployed("status", "--json")[1].splitlines()]
        queued = [queue for flow in status for queue in flow["queues"] if queue["destination"] != "Funnel"]
        ticks = {"each second"}
        return not [one for one in queued if one["source"] not in ticks] and not self.rows(
            "select 1 from coilflow.inbox"
        )

    def ended(self) -> set[CoilKey]:
        """Coils with a verdict, or with a dead letter in its place."""
        query = """
            select plant, coil_id from coilflow.verdicts
            union select plant, coil_id from coilflow.dead_letters where whole_coil
        """
        return {CoilKey(**row) for row in self.rows(query)}


@dataclass
class Ready:
    """What `coilready` told the plant, also while nobody listened: the broker keeps it."""

    said: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def listening(mqtt: MqttServer, topic: str) -> Iterator[Ready]:
    """Subscribe at QoS 2 while the block lasts."""
    ready = Ready()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="plant-listens", clean_session=False)

    def heard(_: object, __: object, message: paho.MQTTMessage) -> None:
        with ready.lock:
            ready.said.append(orjson.loads(message.payload))

    def connected(*_: object) -> None:
        client.subscribe(topic, qos=2)

    subscribed = threading.Event()
    client.on_message = heard
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_connect = connected
    client.connect(mqtt.host, mqtt.port)
    client.loop_start()
    with ExitStack() as stack:
        stack.callback(client.loop_stop)
        stack.callback(client.disconnect)
        assert subscribed.wait(20.0)
        yield ready


def second_ensemble(folder: Path) -> Path:
    """Two of the shipped members, as another version: it says something else of most coils."""
    shipped = EnsembleManifest.model_validate_json((SHIPPED / "ensemble.json").read_bytes())
    write_ensemble(
        folder,
        name=shipped.name,
        version=SECOND,
        members=[SHIPPED / name for name in ("cnn1d", "yolov8n-cls")],
        thresholds={"limits": shipped.thresholds["limits"]},
        limits=shipped.limits,
    )
    load_ensemble(folder, threads=1)
    return folder
