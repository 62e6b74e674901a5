"""Promises of `coilflow doctor` about Kafka."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from schemas.stream_settings import KafkaSettings
from tests.fix_kafka import KafkaTopics


@dataclass(frozen=True, kw_only=True)
class _Said:
    code: int
    out: str  # in one line
    err: str


def _doctor(folder: Path, database: str, kafka: KafkaSettings, *arguments: str) -> _Said:
    names = ("bootstrap_servers", "chunks_topic", "verdicts_topic", "feedback_topic", "models_topic", "partitions")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COILFLOW_")}
    environment |= {f"COILFLOW_KAFKA__{name.upper()}": str(getattr(kafka, name)) for name in names}
    environment |= {"COILFLOW_DATA_DIR": str(folder), "COILFLOW_DATABASE_DSN": database, "COLUMNS": "400"}
    command = [sys.executable, "-c", "from console.cli import main; main()", "doctor", *arguments]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return _Said(code=ran.returncode, out=" ".join(ran.stdout.split()), err=ran.stderr)


def test_right_topics_are_healthy(tmp_path: Path, database: str, kafka_topics: KafkaTopics) -> None:
    said = _doctor(tmp_path, database, kafka_topics())
    assert (said.code, said.err) == (0, "")
    assert "1 broker of version" in said.out
    assert "topics right" in said.out


def test_missing_topics_are_named_and_fix_makes_them(tmp_path: Path, database: str, kafka_topics: KafkaTopics) -> None:
    kafka = kafka_topics()
    other = kafka.model_copy(update={"chunks_topic": f"{kafka.chunks_topic}.other"})
    said = _doctor(tmp_path, database, other)
    assert said.code == 1
    assert f"lacks {other.chunks_topic}, {other.chunks_topic}.dead-letter" in said.out
    assert "coilflow doctor --fix" in said.out
    fixed = _doctor(tmp_path, database, other, "--fix")
    assert fixed.code == 0
    assert f"topics made: {other.chunks_topic}, {other.chunks_topic}.dead-letter" in fixed.out


def test_a_topic_set_wrongly_is_named_with_the_command_that_mends_it(
    tmp_path: Path, database: str, kafka_topics: KafkaTopics
) -> None:
    kafka = kafka_topics(retention_days=0.5)
    said = _doctor(tmp_path, database, kafka)
    assert said.code == 1
    assert "retention.ms is 43200000: an outage as long loses messages" in said.out
    assert f"--entity-name {kafka.chunks_topic} --add-config retention.ms=604800000" in said.out
