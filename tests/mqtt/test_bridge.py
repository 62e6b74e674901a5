"""The plant's MQTT topics: each message has one effect, whatever restarts, dies or is sent twice."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pyarrow as pa
import pytest

from schemas.errors import BrokerError
from schemas.stream_settings import StreamSettings
from schemas.verdicts import Scores
from store.coils import counts
from store.connection import Connection
from store.inbox import InboxEvent, coil_state, store_events
from store.verdicts import verdict_of
from tests.fix_mqtt import MqttServer
from tests.flows.given import Given, coil, coil_cells, events_of, tile_cells
from tests.flows.judging import MeanScorer
from tests.mqtt.conftest import Running, publisher, send, settings_for
from tests.store.given import key_of
from tests.waiting import wait_until


def fill(dsn: str, coils: Sequence[Given]) -> None:
    """Write coils into the plant's tables."""
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.executemany(
            'insert into "V_Coils" ("SID", "PLANT", "STARTTIME", "ZnMin", "ZnMax", "LENGTH", "CLASSLABEL")'
            " values (%(SID)s, %(PLANT)s, '2026-11-20', %(ZnMin)s, %(ZnMax)s, %(LENGTH)s, %(CLASSLABEL)s)",
            [coil_cells(c) for c in coils],
        )
        cursor.executemany(
            'insert into "GR_QPValues" ("COILID", "TILEID", "MID", "PLANT", "MEAN")'
            " values (%(COILID)s, %(TILEID)s, %(MID)s, %(PLANT)s, %(MEAN)s)",
            [tile for c in coils for tile in tile_cells(c)],
        )


def letters(connection: Connection) -> list[dict[str, Any]]:
    return connection.execute("select * from coilflow.dead_letters order by dead_letter_id").fetchall()


def said(connection: Connection) -> list[tuple[str, str]]:
    rows = connection.execute("select coil_id, label from coilflow.feedback order by feedback_id").fetchall()
    return [(row["coil_id"], row["label"]) for row in rows]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_coil_is_judged_from_the_plants_tables_and_announced(
    bridge: Running, mqtt_server: MqttServer, connection: Connection, plant_dsn: str, qos: int
) -> None:
    fill(plant_dsn, [coil("226031456"), coil("2")])
    with bridge(settings_for(mqtt_server, plant_dsn)), publisher(mqtt_server) as plant:
        wait_until(lambda: subscribed(plant, connection))
        send(plant, "assesscoil", '{"SID": 226031456}', qos=qos)
        wait_until(lambda: counts(connection).decided == 1)
    [outbox] = connection.execute("select destination, key from coilflow.outbox").fetchall()
    assert outbox == {"destination": "mqtt:coilready", "key": "linz/226031456"}


def subscribed(plant: Any, connection: Connection) -> bool:
    """Publishes until something arrives: the bridge listens then."""
    send(plant, "opfeedback", '{"COILID": "0", "LABEL": 1}', qos=1)
    return counts(connection).feedback > 0


def test_the_same_message_twice_is_one_verdict(
    bridge: Running, mqtt_server: MqttServer, connection: Connection, plant_dsn: str
) -> None:
    fill(plant_dsn, [coil("7")])
    with bridge(settings_for(mqtt_server, plant_dsn)), publisher(mqtt_server) as plant:
        wait_until(lambda: subscribed(plant, connection))
        event = {"specversion": "1.0", "type": "coil.ended", "id": "1", "source": "/mes"}
        send(plant, "assesscoil", '{"SID": "7"}')
        send(plant, "assesscoil", '{"SID": "7"}')
        send(plant, "assesscoil", json.dumps(event | {"data": {"plant": "linz", "coil_id": "7"}}))
        send(plant, "assesscoil", '{"SID": "absent"}')
        wait_until(lambda: counts(connection).dead_letters == 1)
    found = counts(connection)
    assert (found.verdicts, found.outbox, found.decided, found.dead_lettered) == (1, 1, 1, 1)


class BreaksOnce(MeanScorer):
    """Breaks on the first coil it sees, with an error that is none of ours."""

    def __init__(self) -> None:
        self.scored = 0

    def score(self, batch: pa.RecordBatch) -> Scores:
        """As `MeanScorer`, from the second time on."""
        self.scored += batch.num_rows > 0
        if self.scored == 1:
            raise ZeroDivisionError("of a model")
        return super().score(batch)


def test_a_coil_that_breaks_the_model_is_a_dead_letter_and_the_next_is_judged(
    bridge: Running, mqtt_server: MqttServer, connection: Connection, plant_dsn: str
) -> None:
    fill(plant_dsn, [coil("7"), coil("8")])
    with bridge(settings_for(mqtt_server, plant_dsn), BreaksOnce()), publisher(mqtt_server) as plant:
        wait_until(lambda: subscribed(plant, connection))
        send(plant, "assesscoil", '{"SID": "7"}')
        wait_until(lambda: counts(connection).dead_letters == 1)
        send(plant, "assesscoil", '{"SID": "8"}')
        wait_until(lambda: counts(connection).verdicts == 1)
    [letter] = letters(connection)
    assert letter["error"] == "unexpected ZeroDivisionError: of a model"
    assert bytes(letter["original"]) == b'{"SID": "7"}'


def test_readings_that_were_corrected_make_a_superseding_revision(
    bridge: Running, mqtt_server: MqttServer, connection: Connection, plant_dsn: str
) -> None:
    fill(plant_dsn, [coil("7")])
    with bridge(settings_for(mqtt_server, plant_dsn)), publisher(mqtt_server) as plant:
        wait_until(lambda: subscribed(plant, connection))
        send(plant, "assesscoil", '{"SID": "7"}')
        wait_until(lambda: counts(connection).verdicts == 1)
        with psycopg.connect(plant_dsn) as theirs:
            theirs.execute('update "GR_QPValues" set "MEAN" = "MEAN" + 1')
        send(plant, "assesscoil", '{"SID": "7"}')
        wait_until(lambda: counts(connection).superseding == 1)
    assert counts(connection).duplicated == 0


def test_a_coil_whose_events_were_received_ends_by_the_message(
    bridge: Running, mqtt_server: MqttServer, connection: Connection
) -> None:
    events = [
        InboxEvent(
            key=key_of("7"),
            source="/mes",
            event_id=e["id"],
            is_start=e["type"] == "coil.started",
            is_end=False,
            event=orjson.dumps(e),
        )
        for e in events_of(coil("7"))[:-1]
    ]
    store_events(connection, events, StreamSettings())
    with bridge(settings_for(mqtt_server)), publisher(mqtt_server) as plant:
        wait_until(lambda: subscribed(plant, connection))
        for _ in range(2):
            send(plant, "assesscoil", '{"SID": "7"}')
        wait_until(lambda: counts(connection).decided == 1)
    assert (counts(connection).verdicts, counts(connection).dead_letters) == (1, 0)


@pytest.mark.parametrize(
    ("topic", "payload", "fault"),
    [
        ("assesscoil", b'{"SID": "404"}', "not to be found"),
        ("assesscoil", b"226031456", "no JSON object"),
        ("assesscoil", b"{", "no JSON"),
        ("assesscoil", b"", "no JSON"),
        ("assesscoil", b'{"COILID": "7"}', "SID"),
        ("assesscoil", b'{"SID": "a\\u0000"}', "SID"),
        ("assesscoil", b'{"SID": "' + b"7" * 5000 + b'"}', "SID"),
        ("opfeedback", b"\xff", "not UTF-8"),
        ("opfeedback", b'{"COILID": "7", "LABEL": 3}', "LABEL"),
        ("opfeedback", b'{"COILID": "7"}', "no LABEL"),
        ("assesscoil", b'{"SID": "404", "WEIGHT": NaN}', "not to be found"),
        ("assesscoil", b'{"SID": ' + b"[" * 900 + b"]" * 900 + b"}", "300 deep"),
        ("opfeedback", b'{"data": ' + b'{"COILID": ' * 400 + b"1" + b"}" * 401, "300 deep"),
        ("opfeedback", b'{"specversion": "1.0", "type": "operator.feedback"}', "operator.feedback"),
    ],
)
def test_a_message_that_cannot_be_served_is_a_dead_letter_with_its_bytes_and_a_remedy(
    bridge: Running, mqtt_server: MqttServer, connection: Connection, topic: str, payload: bytes, fault: str
) -> None:
    with bridge(settings_for(mqtt_server)), publisher(mqtt_server) as plant:
        wait_until(lambda: subscribed(plant, connection))
        for _ in range(2):
            send(plant, topic, payload)
        send(plant, "opfeedback", '{"COILID": "last", "LABEL": 2}')
        wait_until(lambda: ("last", "NOK") in said(connection))
        wait_until(lambda: counts(connection).dead_letters == 1)
    [letter] = letters(connection)
    assert fault in letter["error"]
    assert letter["remedy"]
    assert letter["original"] == payload
    if "404" in payload.decode("latin-1"):
        state = coil_state(connection, key_of("404"))
        assert state is not None
        assert state.state == "dead_lettered"


def test_feedback_is_kept_once_and_a_change_of_mind_is_kept_too(
    bridge: Running, mqtt_server: MqttServer, connection: Connection
) -> None:
    event = {"specversion": "1.0", "type": "operator.feedback", "id": "1", "source": "/mes"}
    data = {"plant": "linz", "coil_id": "8", "label": "NOK", "given_at": "2026-11-20T12:00:00Z"}
    with bridge(settings_for(mqtt_server)), publisher(mqtt_server) as plant:
        wait_until(lambda: subscribed(plant, connection))
        for label in (1, 1, 2, 2, 1):
            send(plant, "opfeedback", json.dumps({"COILID": 7, "LABEL": label, "DESCRIP": "x"}))
        for _ in range(2):
            send(plant, "opfeedback", json.dumps(event | {"data": data}))
        wait_until(lambda: ("8", "NOK") in said(connection))
        wait_until(lambda: [label for name, label in said(connection) if name == "7"] == ["OK", "NOK", "OK"])


def test_feedback_without_a_label_is_read_from_the_plants_table(
    bridge: Running, mqtt_server: MqttServer, connection: Connection, plant_dsn: str
) -> None:
    with psycopg.connect(plant_dsn) as theirs:
        theirs.execute("insert into feedback values ('7', 2, 'bare', '2026-11-20 12:00'), ('7', 1, null, '2026-11-21')")
        theirs.execute("insert into feedback values ('7', 0, null, '2026-11-22'), ('8', 1, null, '2026-11-22')")
    with bridge(settings_for(mqtt_server, plant_dsn)), publisher(mqtt_server) as plant:
        wait_until(lambda: subscribed(plant, connection))
        for _ in range(2):
            send(plant, "opfeedback", '{"COILID": "7"}')
        send(plant, "opfeedback", '{"COILID": "404"}')
        wait_until(lambda: counts(connection).dead_letters == 1)
        wait_until(lambda: len(said(connection)) == 3)
    assert [label for name, label in said(connection) if name == "7"] == ["NOK", "OK"]
    assert "feedback has no label" in letters(connection)[0]["error"]


def test_a_coil_in_two_plants_is_that_of_our_plant_or_of_the_one_named(
    bridge: Running, mqtt_server: MqttServer, connection: Connection, plant_dsn: str
) -> None:
    here, there, wels = coil("7"), coil("7"), coil("7")
    there.plant, wels.plant = "graz", "wels"
    other = [coil("8"), coil("8")]
    other[0].plant, other[1].plant = "graz", "wels"
    fill(plant_dsn, [here, there, wels, *other])
    with bridge(settings_for(mqtt_server, plant_dsn)), publisher(mqtt_server) as plant:
        wait_until(lambda: subscribed(plant, connection))
        send(plant, "assesscoil", '{"SID": "7"}')
        send(plant, "assesscoil", '{"SID": "7", "PLANT": "graz"}')
        send(plant, "assesscoil", '{"SID": "8"}')
        wait_until(lambda: counts(connection).decided == 2 and counts(connection).dead_letters == 1)
    plants = connection.execute("select plant from coilflow.coils order by plant").fetchall()
    assert [row["plant"] for row in plants] == ["graz", "linz"]
    assert "several plants: graz, wels" in letters(connection)[0]["error"]


def test_what_comes_while_the_bridge_is_away_is_served_when_it_is_back(
    bridge: Running, mqtt_mosquitto: MqttServer, connection: Connection, plant_dsn: str
) -> None:
    fill(plant_dsn, [coil("7")])
    settings = settings_for(mqtt_mosquitto, plant_dsn)
    with publisher(mqtt_mosquitto) as plant:
        with bridge(settings):
            wait_until(lambda: subscribed(plant, connection))
        send(plant, "assesscoil", '{"SID": "7"}')
        assert counts(connection).verdicts == 0
        with bridge(settings):
            wait_until(lambda: counts(connection).verdicts == 1)


def test_a_broker_restarted_while_messages_flow_loses_and_doubles_nothing(
    bridge: Running, mqtt_mosquitto: MqttServer, connection: Connection, plant_dsn: str
) -> None:
    names = [str(number) for number in range(100, 140)]
    fill(plant_dsn, [coil(name, rows=3) for name in names])
    with bridge(settings_for(mqtt_mosquitto, plant_dsn)), publisher(mqtt_mosquitto) as plant:
        wait_until(lambda: subscribed(plant, connection))
        infos = [plant.publish("assesscoil", json.dumps({"SID": name}), qos=1 + n % 2) for n, name in enumerate(names)]
        wait_until(lambda: counts(connection).verdicts > 3)
        mqtt_mosquitto.restart()
        for info in infos:
            info.wait_for_publish(20)
        wait_until(lambda: counts(connection).decided == len(names))
    found = counts(connection)
    assert (found.verdicts, found.outbox, found.duplicated, found.dead_letters) == (len(names), len(names), 0, 0)


def test_a_database_cut_off_in_mid_way_loses_and_doubles_nothing(
    bridge: Running, mqtt_server: MqttServer, connection: Connection, database: str, plant_dsn: str
) -> None:
    names = [str(number) for number in range(100, 130)]
    fill(plant_dsn, [coil(name, rows=3) for name in names])
    with bridge(settings_for(mqtt_server, plant_dsn)), publisher(mqtt_server) as plant:
        wait_until(lambda: subscribed(plant, connection))
        for name in names:
            plant.publish("assesscoil", json.dumps({"SID": name}), qos=2)
            with psycopg.connect(database, autocommit=True) as cutting:
                cutting.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'coilflow mqtt'"
                )
        wait_until(lambda: counts(connection).decided == len(names))
    found = counts(connection)
    assert (found.verdicts, found.outbox, found.duplicated, found.dead_letters) == (len(names), len(names), 0, 0)


def test_tls_and_a_password(bridge: Running, mqtt_secure: MqttServer, connection: Connection) -> None:
    with bridge(settings_for(mqtt_secure, cafile=mqtt_secure.cafile)), publisher(mqtt_secure) as plant:
        wait_until(lambda: subscribed(plant, connection))


def test_a_wrong_password_is_an_error_that_does_not_show_it(bridge: Running, mqtt_secure: MqttServer) -> None:
    mqtt_secure.password = "falsch"  # noqa: S105
    with pytest.raises(BrokerError) as caught, bridge(settings_for(mqtt_secure, cafile=mqtt_secure.cafile)):
        pass
    assert "falsch" not in f"{caught.value} {caught.value.remedy}"


def test_a_bridge_killed_before_it_acknowledged_serves_the_message_again(
    mqtt_mosquitto: MqttServer, connection: Connection, database: str, plant_dsn: str, tmp_path: Path
) -> None:
    fill(plant_dsn, [coil("7")])
    environment = os.environ | {
        "COILFLOW_DATA_DIR": str(tmp_path),
        "COILFLOW_DATABASE_DSN": database,
        "COILFLOW_PLANT": "linz",
        "COILFLOW_PLANT_DSN": plant_dsn,
        "COILFLOW_MQTT__HOST": mqtt_mosquitto.host,
        "COILFLOW_MQTT__PORT": str(mqtt_mosquitto.port),
    }
    command = [sys.executable, "-c", "from console.cli import main; main()", "bridge", "mqtt"]
    with publisher(mqtt_mosquitto) as plant, psycopg.connect(database) as holding:
        first = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: subscribed(plant, connection), 60)
            holding.execute("lock table coilflow.coils in exclusive mode")
            send(plant, "assesscoil", '{"SID": "7"}')
            wait_until(
                lambda: (
                    connection.execute(
                        "select from pg_stat_activity"
                        " where application_name = 'coilflow mqtt' and wait_event_type = 'Lock'"
                    ).fetchone()
                    is not None
                )
            )
        finally:
            first.kill()
            first.wait(20)
        holding.rollback()
        assert verdict_of(connection, key_of("7")) is None
        second = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: counts(connection).verdicts == 1, 60)
        finally:
            second.send_signal(signal.SIGTERM)
            assert second.wait(20) == 0
    found = counts(connection)
    assert (found.verdicts, found.decided, found.duplicated) == (1, 1, 0)
