"""Clients from settings: encrypted and by password, large messages, and a remedy where no broker answers."""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.admin import UserScramCredentialUpsertion
from kafka.coordinator.base import BaseCoordinator
from kafka.errors import OffsetOutOfRangeError
from pydantic import SecretStr

from flows.kafka.client import admin, consumer, group_consumer, poll, producer, reader
from flows.kafka.local_broker import free_port, local_broker
from schemas.errors import BrokerError
from schemas.stream_settings import KafkaSettings
from tests.fix_kafka import KafkaTopics, fresh_topics
from tests.kafka.certificates import Certificates, make_certificates
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("_soon")
PASSWORD = "geheim 7"  # noqa: S105 - of a broker that lives for one module
_PORTS = tuple[dict[str, int], Certificates, KafkaSettings]


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up a first contact after two seconds instead of ten."""
    monkeypatch.setattr("flows.kafka.client._ANSWER_TIMEOUT_S", 2.0)


@pytest.fixture(scope="module")
def guarded() -> Iterator[_PORTS]:
    """A broker with a port each for TLS with a client's certificate, SCRAM, and PLAIN over TLS; and its topics."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coilflow-test-")))
        certificates = make_certificates(folder)
        ports = {protocol: free_port() for protocol in ("SSL", "SASL_PLAINTEXT", "SASL_SSL")}
        properties = {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(certificates.broker),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(certificates.authority),
            "listener.name.ssl.ssl.client.auth": "required",
            "listener.name.sasl_plaintext.sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512",
            "listener.name.sasl_ssl.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": (
                f'org.apache.kafka.common.security.plain.PlainLoginModule required user_coilflow="{PASSWORD}";'
            ),
        }
        for mechanism in ("256", "512"):
            properties[f"listener.name.sasl_plaintext.scram-sha-{mechanism}.sasl.jaas.config"] = (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            )
        try:
            broker = stack.enter_context(local_broker(folder / "kafka", listeners=ports, properties=properties))
        except BrokerError as error:
            pytest.skip(f"{error}; {error.remedy}")
        kafka = fresh_topics(broker.bootstrap_servers)
        with admin(kafka) as client:
            for mechanism in ("SCRAM_SHA_256", "SCRAM_SHA_512"):
                client.alter_user_scram_credentials([UserScramCredentialUpsertion("coilflow", mechanism, PASSWORD)])
        yield ports, certificates, kafka


def _guarded_settings(guarded: _PORTS, protocol: str, mechanism: str | None = None, **other: Any) -> KafkaSettings:
    ports, certificates, kafka = guarded
    settings = {**kafka.model_dump(), "bootstrap_servers": f"127.0.0.1:{ports[protocol]}"}
    settings["security_protocol"] = protocol
    if mechanism is not None:
        settings |= {"sasl_mechanism": mechanism, "sasl_username": "coilflow", "sasl_password": SecretStr(PASSWORD)}
    if protocol.endswith("SSL"):
        settings["ssl_cafile"] = certificates.authority
    return KafkaSettings(**{**settings, **other})


def _send_and_read(kafka: KafkaSettings) -> bytes:
    sender = producer(kafka)
    place = sender.send(kafka.chunks_topic, value=b"through").get()
    sender.close()
    partition = TopicPartition(place.topic, place.partition)
    receiver = reader(kafka)
    try:
        receiver.assign([partition])
        receiver.seek(partition, place.offset)
        return bytes(_next(receiver).value)
    finally:
        receiver.close()


def _next(receiver: KafkaConsumer) -> Any:
    for _ in range(60):
        for records in receiver.poll(timeout_ms=1000).values():
            return records[0]
    raise AssertionError("no message came in a minute")


def test_a_client_with_a_certificate_passes_where_the_broker_asks_for_one(guarded: _PORTS) -> None:
    own = guarded[1].client
    assert _send_and_read(_guarded_settings(guarded, "SSL", ssl_certfile=own, ssl_keyfile=own)) == b"through"


@pytest.mark.parametrize(
    ("protocol", "mechanism"),
    [("SASL_PLAINTEXT", "SCRAM-SHA-256"), ("SASL_PLAINTEXT", "SCRAM-SHA-512"), ("SASL_SSL", "PLAIN")],
)
def test_a_client_with_a_password_passes(guarded: _PORTS, protocol: str, mechanism: str) -> None:
    assert _send_and_read(_guarded_settings(guarded, protocol, mechanism)) == b"through"


@pytest.mark.parametrize(("protocol", "mechanism"), [("SASL_PLAINTEXT", "SCRAM-SHA-256"), ("SASL_SSL", "PLAIN")])
def test_a_wrong_password_is_named_as_such_and_not_shown(guarded: _PORTS, protocol: str, mechanism: str) -> None:
    wrong = _guarded_settings(guarded, protocol, mechanism, sasl_password=SecretStr("something else"))
    with pytest.raises(BrokerError, match="does not let user coilflow in") as caught:
        consumer(wrong, instance_id=None)
    assert "SASL_PASSWORD" in caught.value.remedy
    assert "something else" not in f"{caught.value} {caught.value.remedy} {caught.value.__cause__}"


def test_a_broker_of_an_unknown_authority_is_not_trusted(guarded: _PORTS) -> None:
    with pytest.raises(BrokerError, match="certificate verify failed"):
        producer(_guarded_settings(guarded, "SASL_SSL", "PLAIN", ssl_cafile=None))


def test_a_certificate_file_that_is_none_is_named(guarded: _PORTS, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for file in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        with pytest.raises(BrokerError, match="certificates") as caught:
            producer(_guarded_settings(guarded, "SSL", ssl_cafile=file))
        assert "ssl_cafile" in caught.value.remedy


def test_without_a_broker_the_address_and_the_remedy_are_named() -> None:
    nowhere = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}")
    with pytest.raises(BrokerError, match="cannot be reached") as caught, admin(nowhere):
        pass
    assert "BOOTSTRAP_SERVERS" in caught.value.remedy
    assert not [thread for thread in threading.enumerate() if "kafka" in thread.name.lower()]
    with pytest.raises(BrokerError, match="no Kafka is configured"):
        producer(KafkaSettings())


def test_a_message_larger_than_an_answer_is_delivered_and_so_is_the_one_behind_it(kafka_topics: KafkaTopics) -> None:
    large = os.urandom(50_000_000)  # nothing can compress it
    kafka = kafka_topics(partitions=1, largest_message_bytes=52_428_800)
    sender = producer(kafka)
    sender.send(kafka.chunks_topic, value=large)
    sender.flush()
    sender.send(kafka.chunks_topic, value=b"small").get()
    sender.close()
    receiver = consumer(kafka, instance_id=None)
    receiver.assign([TopicPartition(kafka.chunks_topic, 0)])
    receiver.seek(TopicPartition(kafka.chunks_topic, 0), 0)
    assert _next(receiver).value == large
    receiver.seek(TopicPartition(kafka.chunks_topic, 0), 1)
    assert _next(receiver).value == b"small"
    receiver.close()


def test_a_position_that_the_log_does_not_hold_is_an_error_and_no_jump(kafka_topics: KafkaTopics) -> None:
    kafka = kafka_topics(partitions=1)
    receiver = consumer(kafka, instance_id=None)
    receiver.assign([TopicPartition(kafka.chunks_topic, 0)])
    receiver.seek(TopicPartition(kafka.chunks_topic, 0), 1000)
    with pytest.raises(OffsetOutOfRangeError):
        _next(receiver)
    receiver.close()


class _FromTheBeginning(ConsumerRebalanceListener):  # type: ignore[misc] # kafka-python ships no types
    def __init__(self, worker: KafkaConsumer) -> None:
        self.worker = worker

    def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        for partition in assigned:
            self.worker.seek(partition, 0)

    def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """Nothing to give back."""


def test_two_workers_share_the_partitions(kafka_topics: KafkaTopics) -> None:
    kafka = kafka_topics(partitions=4, session_timeout_s=1.5)
    workers = [consumer(kafka, instance_id=None), consumer(kafka, instance_id="second")]
    for worker in workers:
        worker.partitions_for_topic(kafka.chunks_topic)
        worker.subscribe([kafka.chunks_topic], listener=_FromTheBeginning(worker))
    for _ in range(200):
        for worker in workers:
            worker.poll(timeout_ms=100)
        shares = [worker.assignment() for worker in workers]
        if [len(share) for share in shares] == [2, 2]:
            break
    assert len(shares[0] | shares[1]) == 4
    for worker in workers:
        worker.close()


def test_a_join_that_outlasts_a_poll_is_not_forgotten(kafka_topics: KafkaTopics) -> None:
    kafka = kafka_topics(partitions=3)
    member = group_consumer(kafka, kafka.feedback_topic, instance_id=None)

    def has(partitions: int) -> bool:
        for _ in range(100):  # without a pause: the client begins a join anew that ends between two polls
            poll(member, timeout_ms=2)  # which no join is over in
        return len(member.assignment()) == partitions

    try:
        member.subscribe([kafka.feedback_topic])
        wait_until(lambda: has(3))
        with admin(kafka) as client:
            client.create_partitions({kafka.feedback_topic: 5})
        member._client.cluster.request_update()  # else it sees them within the minute
        wait_until(lambda: has(5))
    finally:
        member.close(autocommit=False)


def test_a_client_that_cannot_be_asked_to_join_again_is_refused_when_it_is_made(
    kafka_topics: KafkaTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka, threads = kafka_topics(partitions=1), set(threading.enumerate())
    monkeypatch.delattr(BaseCoordinator, "request_rejoin")  # as a later kafka-python may: it is nobody's promise
    for make in (consumer, partial(group_consumer, topic=kafka.feedback_topic)):
        with pytest.raises(BrokerError, match="cannot be asked to join a group again") as caught:
            make(kafka, instance_id=None)
        assert "kafka-python>=3.0.9,<4" in caught.value.remedy
    assert set(threading.enumerate()) <= threads, "nothing is left open"


def test_no_other_major_version_of_the_client_is_installed_whose_inner_parts_are_used() -> None:
    asked = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    assert '"kafka-python[crc32c,lz4,zstd]>=3.0.9,<4"' in asked
