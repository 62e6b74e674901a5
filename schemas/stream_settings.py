"""Settings of the streams: Kafka, MQTT, webhooks, and the rules by which an open coil ends."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

_Seconds = Annotated[float, Field(gt=0)]
_Count = Annotated[int, Field(ge=1)]
_Name = Annotated[str, Field(min_length=1)]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(_Group):
    """How to reach the brokers, and the topics."""

    bootstrap_servers: str | None = None  # "host:9092,other:9092"; None: no Kafka here
    group_id: _Name = "coilflow"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: Path | None = None  # CA that signed the brokers' certificates; None: the system's
    ssl_certfile: Path | None = None  # our own certificate, for mutual TLS
    ssl_keyfile: Path | None = None
    chunks_topic: _Name = "coil.chunks"
    verdicts_topic: _Name = "coil.verdicts"
    feedback_topic: _Name = "operator.feedback"
    models_topic: _Name = "model.events"
    partitions: _Count = 6  # of a topic that `doctor --fix` creates
    replication_factor: _Count | None = None  # None: the brokers' default
    retention_days: _Seconds = 7.0  # of coil.chunks: longer than the longest outage to be caught up
    largest_message_bytes: _Count = 1_048_576  # of coil.chunks; the dead-letter topic takes a little more
    session_timeout_s: _Seconds = 10.0  # a worker silent for so long loses its partitions

    @model_validator(mode="after")
    def _sasl_is_whole(self) -> "KafkaSettings":
        if self.security_protocol.startswith("SASL") and not (
            self.sasl_mechanism and self.sasl_username and self.sasl_password
        ):
            raise ValueError(
                f"security_protocol {self.security_protocol} needs sasl_mechanism, sasl_username, sasl_password"
            )
        return self


class StreamSettings(_Group):
    """When an open coil is decided, and how much of it is kept in memory."""

    deadline_s: _Seconds = 1800.0  # an open coil silent for so long, in broker time, is decided on what there is
    settle_s: _Seconds = 10.0  # an ended coil that lacks rows, or a late chunk, waits so long for more
    park_after_events: _Count = 10_000  # an open coil that holds a position back further goes to the database
    most_events_per_coil: _Count = 20_000  # more is a mistake: the coil is rejected
    warn_length_m: _Seconds | None = None  # early warning once a face is out of band over this length; None: never
    metres_per_position: _Seconds = 1.0  # length of one unit of `position`


class MqttSettings(_Group):
    """How to reach the plant's MQTT broker, and the topics there."""

    host: str | None = None  # None: no MQTT here
    port: Annotated[int, Field(ge=1, le=65535)] | None = None  # None: 1883, with TLS 8883
    client_id: _Name = "coilflow"  # names the persistent session: one bridge at a time
    username: str | None = None
    password: SecretStr | None = None
    tls: bool = False
    tls_cafile: Path | None = None  # None: the system's
    assess_topic: _Name = "assesscoil"
    feedback_topic: _Name = "opfeedback"
    qos: Literal[1, 2] = 2


class Webhook(_Group):
    """A URL that is told of verdicts; the body is signed (Standard Webhooks: HMAC-SHA-256 over id, time and body)."""

    url: Annotated[str, Field(pattern=r"^https?://")]
    secret: SecretStr
    timeout_s: _Seconds = 10.0


class TracingSettings(_Group):
    """Traces by OpenTelemetry: one a coil."""

    endpoint: Annotated[str, Field(pattern=r"^https?://")] | None = None  # collector's OTLP over HTTP; None: no traces
    share: Annotated[float, Field(gt=0, le=1)] = 1.0  # of coils; which ones follows from the coil, in every service
