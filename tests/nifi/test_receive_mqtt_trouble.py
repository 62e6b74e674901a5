"""What ReceiveMqtt cannot do is a bulletin with a remedy, once, and never an exception."""

import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.nifi import source
from flows.nifi.receive_mqtt import target_of
from flows.nifi.source import HostedSource, Source
from schemas.errors import UsageError
from tests.fix_mqtt import MqttServer
from tests.mqtt.conftest import publisher, send
from tests.nifi.receiving import NOWHERE, TOPIC, contents, next_of, properties, scheduled
from tests.nifi.running import PROCESSORS, Running, load
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def _calls_and_pauses_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "WAIT_S", 0.05)
    monkeypatch.setattr(source, "LONGEST_PAUSE_S", 0.1)


def test_a_broker_that_is_away_is_told_once_and_that_it_is_back_is_noted(mqtt_mosquitto: MqttServer) -> None:
    receiver = scheduled(properties(mqtt_mosquitto))
    assert receiver.take() is None
    mqtt_mosquitto.stop()
    wait_until(lambda: receiver.take() or len(receiver.logger.bulletins) == 2)
    assert [receiver.take() for _ in range(30)] == [None] * 30
    lost, away = receiver.logger.bulletins
    assert "connection was lost" in lost
    assert "cannot be reached" in away
    assert "Broker URI" in away
    mqtt_mosquitto.start()
    with publisher(mqtt_mosquitto) as plant:
        send(plant, TOPIC, b"1")
    assert contents(receiver, 1) == [b"1"]
    receiver.stop()
    assert receiver.logger.bulletins == [lost, away]
    assert [note.startswith("well again") for note in receiver.logger.notes] == [True]


def test_tls_with_a_password_and_who_signed_the_certificate(mqtt_secure: MqttServer) -> None:
    receiver = scheduled(secured(mqtt_secure))
    assert receiver.take() is None
    with publisher(mqtt_secure) as plant:
        send(plant, TOPIC, b"1")
    assert contents(receiver, 1) == [b"1"]
    receiver.stop()
    assert receiver.logger.bulletins == []


def secured(server: MqttServer) -> dict[str, str]:
    assert server.username is not None
    assert server.password is not None
    return properties(server, Username=server.username, Password=server.password, CA_File=str(server.cafile))


@pytest.mark.parametrize(
    ("name", "text", "said", "remedy"),
    [
        ("Password", "falsch", "not authorized", "Password"),
        ("Username", None, "Username is not", "set both"),
        ("CA File", None, "TLS does not come about", "CA File"),
        ("CA File", "", "cannot be read", "PEM"),
        ("Broker URI", "tcp://localhost:{port}", "connection was lost", "comes back"),
    ],
)
def test_what_a_broker_or_we_refuse_is_one_bulletin_with_a_remedy_and_gone_once_it_is_right(
    mqtt_secure: MqttServer, tmp_path: Path, name: str, text: str | None, said: str, remedy: str
) -> None:
    right = secured(mqtt_secure)
    no_pem = tmp_path / "no.pem"
    no_pem.write_text("nothing")
    wrong = None if text is None else text.format(port=mqtt_secure.port) or str(no_pem)
    receiver = scheduled({key: value for key, value in {**right, name: wrong}.items() if value is not None})
    assert [receiver.take() for _ in range(2)] == [None] * 2
    [bulletin] = receiver.logger.bulletins
    assert said in bulletin
    assert remedy in bulletin
    assert "falsch" not in bulletin
    assert str(mqtt_secure.password) not in bulletin
    receiver.stop()
    receiver.properties = right
    receiver.schedule()
    assert receiver.take() is None
    with publisher(mqtt_secure) as plant:
        send(plant, TOPIC, b"1")
    assert contents(receiver, 1) == [b"1"]
    receiver.stop()


def test_a_topic_that_is_none_is_told(mqtt_server: MqttServer) -> None:
    receiver = scheduled(properties(mqtt_server, Topic="a/#/b"))
    assert receiver.take() is None
    receiver.stop()
    [said] = receiver.logger.bulletins
    assert said.startswith("property Topic: 'a/#/b' is no topic")


def test_a_broker_that_refuses_the_topic_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"\x20\x02\x00\x00")  # CONNACK
                subscribe = connection.recv(1000)
                connection.sendall(b"\x90\x03" + subscribe[2:4] + b"\x80")  # SUBACK: failure
                connection.recv(1000)

        broker = threading.Thread(target=refuse)
        broker.start()
        receiver = scheduled({**NOWHERE, "Broker URI": f"tcp://127.0.0.1:{listener.getsockname()[1]}"})
        assert receiver.take() is None
        broker.join()
    receiver.stop()
    [said] = receiver.logger.bulletins
    assert "does not let client coilflow-nifi-assess subscribe to assesscoil" in said


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Broker URI", ""),
        ("Broker URI", "tcp://with a space"),
        ("Topic", ""),
        ("Client ID", ""),
        ("Username", ""),
        ("Password", ""),
        ("CA File", "/nowhere/ca.pem"),
        ("Quality of Service", "2"),
    ],
)
def test_a_property_that_is_wrong_is_named_before_anything_runs(name: str, text: str) -> None:
    kind = load(PROCESSORS / "ReceiveMqtt.py")
    [said] = Running(kind, {**NOWHERE, name: text}).invalid()
    assert name in said
    missing = [one.partition(":")[0] for one in Running(kind).invalid()]
    assert missing == ["Broker URI", "Topic", "Client ID"]


@pytest.mark.parametrize(
    "uri",
    ["localhost:1883", "http://plant", "tcp://", "tcp://plant:port", "tcp://plant:99999", "ssl://me:geheim@plant"],
)
def test_a_uri_that_is_none_of_mqtt_is_a_bulletin_without_what_may_be_secret(uri: str) -> None:
    receiver = scheduled({**NOWHERE, "Broker URI": uri})
    assert [receiver.take() for _ in range(2)] == [None] * 2
    receiver.stop()
    [said] = receiver.logger.bulletins
    assert said.startswith("property Broker URI is neither tcp://host:port nor ssl://host:port")
    assert "geheim" not in said


@given(uri=st.text(), topic=st.text(), client=st.text())
def test_whatever_properties_hold_is_a_target_or_a_usage_error(uri: str, topic: str, client: str) -> None:
    try:
        target = target_of({"Broker URI": uri, "Topic": topic, "Client ID": client})
    except UsageError:
        return
    assert target.host
    assert 0 < target.port < 2**16


def test_a_host_that_no_name_can_be_is_a_bulletin() -> None:
    receiver = scheduled({**NOWHERE, "Broker URI": "tcp://a..b"})
    assert receiver.take() is None
    receiver.stop()
    [said] = receiver.logger.bulletins
    assert "cannot be reached" in said


def test_an_expression_that_cannot_be_evaluated_is_told_and_does_not_hold_nifi() -> None:
    receiver = scheduled({**NOWHERE, "Topic": "${now():fail()}"})
    assert receiver.take() is None
    receiver.stop()
    [said] = receiver.logger.bulletins
    assert "cannot be evaluated" in said


def test_a_topic_of_nifis_environment_is_taken(mqtt_server: MqttServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANT_TOPIC", "hdg2/assesscoil")
    receiver = scheduled(properties(mqtt_server, Topic="${PLANT_TOPIC}"))
    assert receiver.take() is None
    with publisher(mqtt_server) as plant:
        send(plant, "hdg2/assesscoil", b"1")
    assert next_of(receiver).attributes["mqtt.topic"] == "hdg2/assesscoil"
    receiver.stop()


def test_an_error_that_nobody_foresaw_is_a_bulletin_too() -> None:
    def breaks(_: object) -> Source:
        raise ZeroDivisionError("by zero")

    running = Running(load(PROCESSORS / "ReceiveMqtt.py"), NOWHERE)
    running.processor.hosted = HostedSource("receive_mqtt", breaks)
    running.schedule()
    assert running.take() is None
    running.stop()
    [said] = running.logger.bulletins
    assert said.startswith("unexpected ZeroDivisionError: by zero")
