"""ReceiveMqtt on a real broker: whatever is killed, cut or restarted, each message becomes a FlowFile at least once."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from flows.nifi import mqtt_session, source
from tests.fix_mqtt import MqttServer
from tests.mqtt.conftest import publisher, send
from tests.nifi.receiving import CLIENT, SENTINEL, TOPIC, contents, next_of, properties, scheduled, up_to_the_sentinel
from tests.nifi.running import API, ROOT


@pytest.fixture(autouse=True)
def _calls_and_pauses_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "WAIT_S", 0.05)
    monkeypatch.setattr(source, "LONGEST_PAUSE_S", 0.1)


@pytest.fixture(name="known")
def _known(mqtt_mosquitto: MqttServer) -> MqttServer:
    """A broker that knows our session: it was here once."""
    first = scheduled(properties(mqtt_mosquitto))
    assert first.take() is None
    first.stop()
    assert first.logger.bulletins == []
    return mqtt_mosquitto


@contextmanager
def another(server: MqttServer) -> Iterator[None]:
    """A client with our id, which throws us out; it acknowledges nothing."""
    subscribed = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=CLIENT, clean_session=False, manual_ack=True)
    client.on_connect = lambda *_: subscribed.set()
    client.connect(server.host, server.port)
    client.loop_start()
    try:
        assert subscribed.wait(20)
        yield
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("payload", [b'{"SID": 226031456}', b"\x00\xff\xfe", b""])
def test_a_message_is_a_flowfile_with_the_bytes_as_they_came(mqtt_server: MqttServer, payload: bytes, qos: int) -> None:
    receiver = scheduled(properties(mqtt_server))
    assert receiver.take() is None
    with publisher(mqtt_server) as plant:
        send(plant, TOPIC, payload, qos=qos)
        came = next_of(receiver)
    receiver.stop()
    assert came.content == payload
    assert came.attributes == {
        "coilflow.step": "receive_mqtt",
        "mqtt.broker": f"tcp://{mqtt_server.host}:{mqtt_server.port}",
        "mqtt.topic": TOPIC,
        "mqtt.qos": str(min(qos, 1)),
        "mqtt.isDuplicate": "false",
        "mqtt.isRetained": "false",
    }


def test_what_came_while_it_was_stopped_comes_in_order_and_nothing_is_thrown_away_as_it_connects(
    known: MqttServer,
) -> None:
    sent = [str(i).encode() for i in range(100)]  # more than the broker sends unacknowledged
    with publisher(known) as plant:
        for payload in sent:
            send(plant, TOPIC, payload)
    receiver = scheduled(properties(known))
    assert contents(receiver, len(sent)) == sent
    receiver.stop()


_KILLED = f"""
import sys, threading
sys.path[:0] = [{str(ROOT)!r}, {str(API)!r}]
from tests.nifi.receiving import contents, scheduled
receiver = scheduled({{"Broker URI": sys.argv[1], "Topic": {TOPIC!r}, "Client ID": {CLIENT!r}}})
print([one.decode() for one in contents(receiver, int(sys.argv[2]))], flush=True)
threading.Event().wait(60)
"""


def test_a_message_whose_flowfile_may_not_be_stored_when_the_process_is_killed_comes_again(known: MqttServer) -> None:
    with publisher(known) as plant:
        for payload in (b"1", b"2", b"3", SENTINEL):
            send(plant, TOPIC, payload)
    command = [sys.executable, "-c", _KILLED, properties(known)["Broker URI"], "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "['1', '2', '3']\n"
        process.send_signal(signal.SIGKILL)
    receiver = scheduled(properties(known))
    again = next_of(receiver)
    assert again.attributes["mqtt.isDuplicate"] == "true"
    came = [again.content, *up_to_the_sentinel(receiver)]
    receiver.stop()
    assert came[-2:] == [b"3", SENTINEL], "3 was handed over, and not asked for the next"
    assert came[0] in (b"1", b"2", b"3"), "of the others, acknowledgements may have been on their way"


def test_a_message_is_acknowledged_by_the_next_call_and_not_before(known: MqttServer) -> None:
    with publisher(known) as plant:
        send(plant, TOPIC, b"1")
        send(plant, TOPIC, b"2")
    first = scheduled(properties(known))
    assert contents(first, 1) == [b"1"]
    with another(known):
        pass
    second = scheduled(properties(known))
    assert contents(second, 2) == [b"1", b"2"]
    second.stop()


def test_after_a_clean_end_nothing_comes_again(known: MqttServer) -> None:
    with publisher(known) as plant:
        for payload in (b"1", b"2"):
            send(plant, TOPIC, payload)
        first = scheduled(properties(known))
        assert contents(first, 2) == [b"1", b"2"]
        first.stop()
        send(plant, TOPIC, SENTINEL)
        second = scheduled(properties(known))
        assert contents(second, 1) == [SENTINEL]
        second.stop()


def test_what_was_not_handed_over_when_it_was_stopped_stays_at_the_broker(known: MqttServer) -> None:
    sent = [str(i).encode() for i in range(10)]
    with publisher(known) as plant:
        for payload in sent:
            send(plant, TOPIC, payload)
    came = []
    for _ in sent:  # as by *Run once*
        once = scheduled(properties(known))
        came += contents(once, 1)
        once.stop()
        assert once.take() is None, "of a task that was terminated: nobody commits it"
    assert came == sent


def test_a_broker_that_restarts_meanwhile_costs_no_message(known: MqttServer) -> None:
    receiver = scheduled(properties(known))
    with publisher(known) as plant:
        for payload in (b"1", b"2"):
            send(plant, TOPIC, payload)
        assert contents(receiver, 1) == [b"1"]
    known.restart()
    with publisher(known) as plant:
        send(plant, TOPIC, SENTINEL)
    came = up_to_the_sentinel(receiver)
    receiver.stop()
    assert came in ([b"1", b"2", SENTINEL], [b"2", SENTINEL])
    [bulletin], [note] = receiver.logger.bulletins, receiver.logger.notes
    assert "connection was lost" in bulletin or "cannot be reached" in bulletin
    assert note.startswith("well again")


def test_acknowledgements_of_a_connection_that_broke_are_no_other_messages(known: MqttServer) -> None:
    sent = [str(i).encode() for i in range(50)]
    receiver = scheduled(properties(known))
    assert receiver.take() is None
    came: list[bytes] = []
    with publisher(known) as plant:
        for number, payload in enumerate(sent):
            send(plant, TOPIC, payload)
            if number % 3 == 0:
                came += contents(receiver, 1)
            if number in (10, 25, 40):
                with another(known):
                    pass
        send(plant, TOPIC, SENTINEL)
        came += up_to_the_sentinel(receiver)
        receiver.stop()
        assert list(dict.fromkeys(came)) == [*sent, SENTINEL]
        send(plant, TOPIC, b"after")
    second = scheduled(properties(known))
    assert contents(second, 1) == [b"after"]
    second.stop()


@pytest.mark.parametrize("bound", ["MOST_HELD", "MOST_HELD_BYTES"])
def test_a_broker_that_sends_more_than_is_held_keeps_the_rest_and_its_order(
    known: MqttServer, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(mqtt_session, bound, 4)
    sent = [str(i).encode() * 3 for i in range(30)]
    with publisher(known) as plant:
        for payload in sent:
            send(plant, TOPIC, payload)
        receiver = scheduled(properties(known))
        assert contents(receiver, len(sent)) == sent
        receiver.stop()
        assert receiver.logger.bulletins == []
        send(plant, TOPIC, SENTINEL)
    second = scheduled(properties(known))
    assert contents(second, 1) == [SENTINEL]
    second.stop()


def test_what_comes_after_messages_that_were_left_at_the_broker_does_not_overtake_them(
    known: MqttServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_session, "MOST_HELD", 2)
    sent = [str(i).encode() for i in range(10)]
    receiver, witness = scheduled(properties(known)), scheduled({**properties(known), "Client ID": "witness"})
    assert [receiver.take(), witness.take()] == [None, None]
    with publisher(known) as plant:
        for payload in sent[:5]:
            send(plant, TOPIC, payload)
        came = contents(receiver, 1)
        for payload in sent[5:]:  # there is room for one
            send(plant, TOPIC, payload)
    assert contents(witness, 10) == sent, "by now the broker has sent them"
    assert [*came, *contents(receiver, 9)] == sent
    receiver.stop()
    witness.stop()


def test_where_it_is_scheduled_and_not_run_as_on_nodes_that_are_not_primary_it_leaves_the_session_alone(
    known: MqttServer,
) -> None:
    primary = scheduled(properties(known))
    assert primary.take() is None
    other = scheduled(properties(known))
    with publisher(known) as plant:
        send(plant, TOPIC, b"1")
    assert contents(primary, 1) == [b"1"]
    assert primary.logger.bulletins == []
    primary.stop()
    other.stop()


def test_a_process_that_died_goes_on_though_nifi_does_not_schedule_it_again(known: MqttServer) -> None:
    receiver = scheduled(properties(known))
    receiver.process_dies()
    with publisher(known) as plant:
        send(plant, TOPIC, b"1")
    assert contents(receiver, 1) == [b"1"]
    receiver.stop()
