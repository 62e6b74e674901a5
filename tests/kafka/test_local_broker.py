"""The local broker: it keeps what was sent over a kill, and says what it lacks."""

from pathlib import Path

import pytest
from kafka import TopicPartition

from flows.kafka.client import producer, reader
from flows.kafka.local_broker import LocalBroker, broker_jars, local_broker
from schemas.errors import BrokerError
from tests.fix_kafka import fresh_topics


def test_a_killed_broker_comes_back_on_its_port_with_what_it_had(private_broker: LocalBroker) -> None:
    kafka = fresh_topics(private_broker.bootstrap_servers, partitions=1)
    sender = producer(kafka)
    sender.send(kafka.chunks_topic, value=b"before").get()
    killed = private_broker.pid
    private_broker.kill()
    with pytest.raises(BrokerError, match="down"):
        assert private_broker.pid
    after = sender.send(kafka.chunks_topic, value=b"after")
    private_broker.start()
    assert private_broker.pid != killed
    assert after.get().offset == 1  # the producer sends again by itself
    sender.close()
    receiver = reader(kafka)
    receiver.assign([TopicPartition(kafka.chunks_topic, 0)])
    receiver.seek_to_beginning()
    came: list[bytes] = []
    for _ in range(60):
        came += [record.value for records in receiver.poll(timeout_ms=1000).values() for record in records]
        if len(came) == 2:
            break
    receiver.close()
    assert came == [b"before", b"after"]


def test_without_java_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerError, match="Java is not installed") as caught, local_broker(tmp_path / "kafka"):
        pass
    assert "COILFLOW_KAFKA__BOOTSTRAP_SERVERS" in caught.value.remedy


def test_an_old_java_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    old = tmp_path / "bin" / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    old.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(BrokerError, match="Java 11, Kafka needs 17"), local_broker(tmp_path / "kafka"):
        pass


def test_without_maven_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerError, match="Maven is not installed") as caught:
        broker_jars(tmp_path / "java")
    assert "maven" in caught.value.remedy


def test_a_failed_download_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maven = tmp_path / "mvn"
    maven.write_text("#!/bin/sh\necho '[ERROR] no repository'\nexit 1\n")
    maven.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(BrokerError, match="no repository"):
        broker_jars(tmp_path / "java")
    assert list((tmp_path / "cache" / "coilflow").iterdir()) == []


def test_a_broker_that_cannot_start_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "kafka"
    with (
        pytest.raises(BrokerError, match="local Kafka broker") as caught,
        local_broker(folder, properties={"node.id": "none"}),
    ):
        pass
    assert "none" in str(caught.value)
    assert str(folder / "broker.log") in caught.value.remedy
