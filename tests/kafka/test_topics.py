"""Topics: made as an installation needs them, and checked where others made them."""

from kafka.admin import ConfigResource, ConfigResourceType

from flows.kafka.client import admin
from flows.kafka.topics import create_topics, missing_topics, topic_faults, topics
from schemas.stream_settings import KafkaSettings
from tests.fix_kafka import KafkaTopics


def _alter(kafka: KafkaSettings, topic: str, **config: str) -> None:
    with admin(kafka) as client:
        changed = {key.replace("_", "."): value for key, value in config.items()}
        client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, changed)])
        for _ in range(1000):  # the brokers learn of it one after another
            described = client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
            found = described["topic"][topic]
            if all(found[key]["value"] == value for key, value in changed.items()):
                return
    raise AssertionError(f"the brokers do not take {changed}")


def _faults(kafka: KafkaSettings) -> list[str]:
    with admin(kafka) as client:
        return [f"{fault.topic}: {fault.fault}" for fault in topic_faults(client, kafka)]


def test_the_topics_made_for_an_installation_are_right(kafka_topics: KafkaTopics) -> None:
    kafka = kafka_topics(partitions=2)
    with admin(kafka) as client:
        assert missing_topics(client, kafka) == ()
        assert topic_faults(client, kafka) == ()
        described = client.describe_topics([topic.name for topic in topics(kafka)])
    assert {topic["name"]: len(topic["partitions"]) for topic in described} == {
        topic.name: topic.partitions for topic in topics(kafka)
    }


def test_making_topics_again_makes_only_those_that_are_missing(kafka_topics: KafkaTopics) -> None:
    kafka = kafka_topics()
    more = kafka.model_copy(update={"verdicts_topic": f"{kafka.verdicts_topic}.other"})
    with admin(kafka) as client:
        assert create_topics(client, kafka) == ()
        assert create_topics(client, more) == (more.verdicts_topic,)
        assert create_topics(client, more) == ()


def test_a_topic_with_which_coils_would_be_late_or_lost_is_named(kafka_topics: KafkaTopics) -> None:
    kafka = kafka_topics(partitions=1)
    name = kafka.chunks_topic
    _alter(
        kafka,
        name,
        message_timestamp_type="CreateTime",
        retention_ms="1000",
        retention_bytes="1000000",
        cleanup_policy="compact",
        max_message_bytes="1000",
    )
    assert _faults(kafka.model_copy(update={"partitions": 4}))[:6] == [
        f"{name}: message.timestamp.type is CreateTime: deadlines need the broker's time",
        f"{name}: cleanup.policy is compact: compaction drops readings",
        f"{name}: retention.ms is 1000: an outage as long loses messages",
        f"{name}: retention.bytes is 1000000: a busy day shortens the retention",
        f"{name}: max.message.bytes is 1000: larger messages are refused",
        f"{name}: 1 partitions, 4 are configured: more workers than that stand idle",
    ]


def test_a_dead_letter_topic_too_small_for_what_its_source_takes_is_named(kafka_topics: KafkaTopics) -> None:
    kafka = kafka_topics()
    _alter(kafka, kafka.chunks_topic, max_message_bytes="50000000")
    assert _faults(kafka) == [
        f"{kafka.chunks_topic}.dead-letter: max.message.bytes is 2162688: the largest dead letters do not fit"
    ]


def test_a_topic_kept_for_ever_is_right(kafka_topics: KafkaTopics) -> None:
    kafka = kafka_topics()
    _alter(kafka, kafka.chunks_topic, retention_ms="-1")
    assert _faults(kafka) == []
