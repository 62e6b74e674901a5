"""The topics that coilflow reads and writes: what they should be, which are missing, and what is wrong with others."""

from collections.abc import Mapping
from dataclasses import dataclass

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import TopicAlreadyExistsError

from schemas.stream_settings import KafkaSettings

DEAD_LETTER_SUFFIX = ".dead-letter"
# Headers that name the fault, and what our compression takes more than the sender's.
DEAD_LETTER_ROOM_BYTES = 65_536
_DAY_MS = 86_400_000
# Verdicts, operators' words and dead letters are few and small, and read late: by a report at the end of the month, by
# a consumer that is built next quarter, by whoever asks why a coil has no verdict.
_LONG_DAYS = 92.0
_EVER = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Topic:
    """A topic as it should be."""

    name: str
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicFault:
    """What is wrong with a topic, and what to do."""

    topic: str
    fault: str
    remedy: str


def dead_letter_topic(topic: str) -> str:
    """Name of the topic that takes the messages of `topic` that cannot be used."""
    return topic + DEAD_LETTER_SUFFIX


def topics(kafka: KafkaSettings) -> tuple[Topic, ...]:
    """The topics that an installation needs, as `create_topics` makes them.

    Chunks carry the broker's time, since deadlines run on it and a gauge's clock may be wrong. What is read has a
    dead-letter topic, which takes the largest message of its source and the headers that name the fault.
    """
    largest = kafka.largest_message_bytes
    chunks = {"message.timestamp.type": "LogAppendTime", **_kept(kafka.retention_days, largest)}
    many, long = kafka.partitions, _kept(_LONG_DAYS, largest)
    letters = _kept(_LONG_DAYS, 2 * largest + DEAD_LETTER_ROOM_BYTES)
    return (
        Topic(name=kafka.chunks_topic, partitions=many, config=chunks),
        Topic(name=dead_letter_topic(kafka.chunks_topic), partitions=1, config=letters),
        Topic(name=kafka.verdicts_topic, partitions=many, config=long),
        Topic(name=kafka.feedback_topic, partitions=many, config=long),
        Topic(name=dead_letter_topic(kafka.feedback_topic), partitions=1, config=letters),
        Topic(name=kafka.models_topic, partitions=1, config=long),  # in one order for all
    )


def missing_topics(client: KafkaAdminClient, kafka: KafkaSettings) -> tuple[Topic, ...]:
    """The topics that the brokers do not have yet."""
    there = set(client.list_topics())
    return tuple(topic for topic in topics(kafka) if topic.name not in there)


def create_topics(client: KafkaAdminClient, kafka: KafkaSettings) -> tuple[str, ...]:
    """Make the topics that are missing and wait until they can be used; returns their names."""
    missing = missing_topics(client, kafka)
    if not missing:
        return ()
    replicas = kafka.replication_factor or -1
    safe = {"min.insync.replicas": "2"} if replicas >= 3 else {}
    wanted = {
        topic.name: {
            "num_partitions": topic.partitions,
            "replication_factor": replicas,
            "configs": {**topic.config, **safe},
        }
        for topic in missing
    }
    made = client.create_topics(wanted, raise_errors=False)
    refused = [topic for topic in made["topics"] if topic["error_code"] not in (0, TopicAlreadyExistsError.errno)]
    if refused:
        client.create_topics({topic["name"]: wanted[topic["name"]] for topic in refused})  # raises what is wrong
    names = tuple(topic.name for topic in missing)
    client.wait_for_topics(names)
    return names


def topic_faults(client: KafkaAdminClient, kafka: KafkaSettings) -> tuple[TopicFault, ...]:
    """What is wrong with the topics that are there: settings with which coils would be lost, late or refused."""
    there = set(client.list_topics())
    found = [topic for topic in topics(kafka) if topic.name in there]
    if not found:
        return ()
    names = [topic.name for topic in found]
    partitions = {topic["name"]: len(topic["partitions"]) for topic in client.describe_topics(names)}
    configs = _configs(client, names)
    faults: list[TopicFault] = []
    for topic in found:
        faults += _config_faults(topic, configs[topic.name])
        if partitions[topic.name] < topic.partitions:
            faults.append(_too_few(topic, partitions[topic.name]))
    for source in (kafka.chunks_topic, kafka.feedback_topic):
        letters = dead_letter_topic(source)
        if source in configs and letters in configs:
            faults += _letter_faults(letters, configs[letters], configs[source])
    return tuple(faults)


def _kept(days: float, largest_bytes: int) -> dict[str, str]:
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(round(days * _DAY_MS)),
        "retention.bytes": str(_EVER),  # by time alone: a busy day must not shorten it
        "max.message.bytes": str(largest_bytes),
        "compression.type": "producer",
    }


def _configs(client: KafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    described = client.describe_configs(resources, config_filter="all")["topic"]
    return {
        name: {key: str(entry["value"]) for key, entry in described[name].items() if isinstance(entry, dict)}
        for name in names
    }


def _config_faults(topic: Topic, config: Mapping[str, str]) -> list[TopicFault]:
    wanted = topic.config
    faults = []
    time_type = wanted.get("message.timestamp.type")
    if time_type and config["message.timestamp.type"] != time_type:
        faults.append(
            _fault(topic.name, "message.timestamp.type", config, time_type, "deadlines need the broker's time")
        )
    if "compact" in config["cleanup.policy"]:
        faults.append(_fault(topic.name, "cleanup.policy", config, "delete", "compaction drops readings"))
    kept, wanted_ms = int(config["retention.ms"]), wanted["retention.ms"]
    if kept != _EVER and kept < int(wanted_ms):
        faults.append(_fault(topic.name, "retention.ms", config, wanted_ms, "an outage as long loses messages"))
    if int(config["retention.bytes"]) != _EVER:
        faults.append(_fault(topic.name, "retention.bytes", config, "-1", "a busy day shortens the retention"))
    if not topic.name.endswith(DEAD_LETTER_SUFFIX) and int(config["max.message.bytes"]) < int(
        wanted["max.message.bytes"]
    ):
        faults.append(
            _fault(topic.name, "max.message.bytes", config, wanted["max.message.bytes"], "larger messages are refused")
        )
    return faults


def _letter_faults(letters: str, config: Mapping[str, str], source: Mapping[str, str]) -> list[TopicFault]:
    least = int(source["max.message.bytes"]) + DEAD_LETTER_ROOM_BYTES
    if int(config["max.message.bytes"]) >= least:
        return []
    return [_fault(letters, "max.message.bytes", config, str(least), "the largest dead letters do not fit")]


def _fault(topic: str, key: str, config: Mapping[str, str], wanted: str, why: str) -> TopicFault:
    return TopicFault(
        topic=topic,
        fault=f"{key} is {config[key]}: {why}",
        remedy=f"kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config {key}={wanted}",
    )


def _too_few(topic: Topic, partitions: int) -> TopicFault:
    return TopicFault(
        topic=topic.name,
        fault=f"{partitions} partitions, {topic.partitions} are configured: more workers than that stand idle",
        # More partitions move keys: the coils that are open at that moment are split between two.
        remedy=f"set COILFLOW_KAFKA__PARTITIONS to {partitions}, or add partitions while the line stands still",
    )
