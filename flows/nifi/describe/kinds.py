"""The processors and services that our flows are made of, with NiFi's names of their properties (2.9.0)."""

from collections.abc import Mapping

from flows.nifi.describe.parameters import ref
from flows.nifi.describe.parts import Bundle, Place, Processor, Service, nar
from flows.nifi.outcome import CONTENT_TYPE, PARTITION_KEY
from flows.nifi.properties import (
    BATCH_COILS,
    BROKER_URI,
    CA_FILE,
    CLIENT_ID,
    CONTENT,
    DATA_DIRECTORY,
    DATABASE_DSN,
    LEASE,
    MODE,
    PASSWORD,
    PLANT,
    TOPIC,
    USERNAME,
    Content,
)
from flows.nifi.step import FAILURE

OURS = Bundle(group="org.apache.nifi", artifact="python-extensions", version="0.1.0")
ORIGINAL = "original"  # NiFi's: every Python processor has it


KAFKA, KAFKA_API, KAFKA_3 = nar("nifi-kafka-nar"), nar("nifi-kafka-service-api-nar"), nar("nifi-kafka-3-service-nar")
MQTT, JOLT, STANDARD = nar("nifi-mqtt-nar"), nar("nifi-jolt-nar"), nar("nifi-standard-nar")
RECORDS, SERVICES_API = nar("nifi-record-serialization-services-nar"), nar("nifi-standard-services-api-nar")

_DATABASE = {DATABASE_DSN: ref("database.dsn"), DATA_DIRECTORY: ref("data.directory")}
OWN_PROPERTIES: Mapping[str, Mapping[str, str]] = {  # property -> value, of each of our types
    "AssembleCoil": {
        **_DATABASE,
        PLANT: ref("plant"),
        BATCH_COILS: ref("batch.coils"),
        LEASE: ref("lease.seconds"),
    },
    "NormalizeCoil": {DATA_DIRECTORY: ref("data.directory"), PLANT: ref("plant")},
    "ScoreCoil": _DATABASE,
    "RecordVerdict": {**_DATABASE, MODE: ref("mode")},
    "JoinFeedback": {**_DATABASE, PLANT: ref("plant")},
    "ScoreModels": _DATABASE,
    "SampleForReview": {},
}


def own(
    type_: str, name: str, place: Place, *, comments: str, ends: tuple[str, ...] = (), content: Content | None = None
) -> Processor:
    """One of our processors; what fails is tried again, with pauses that double, before it leaves by `failure`.

    Args:
        type_: the class in processors/nifi.
        name: as people see it.
        place: on the canvas.
        comments: what it does.
        ends: relationships that NiFi terminates, beside `original`.
        content: what AssembleCoil is given.
    """
    properties = dict(OWN_PROPERTIES[type_])
    if content is not None:
        properties[CONTENT] = content
    return Processor(
        name=name,
        type=type_,
        bundle=OURS,
        place=place,
        comments=comments,
        properties=properties,
        sensitive=frozenset({DATABASE_DSN} & properties.keys()),
        ended=frozenset({ORIGINAL, *ends}),
        retried=frozenset({FAILURE}),
    )


def _by_tls(tls: Service | None) -> dict[str, str | Service]:
    return {} if tls is None else {"SSL Context Service": tls}


def kafka_service(tls: Service | None) -> Service:
    """Connects to Kafka; the service for TLS is used where the parameters ask for SSL or SASL_SSL."""
    return Service(
        name="Kafka of the plant",
        type="org.apache.nifi.kafka.service.Kafka3ConnectionService",
        bundle=KAFKA_3,
        apis={"org.apache.nifi.kafka.service.api.KafkaConnectionService": KAFKA_API},
        properties={
            "bootstrap.servers": ref("kafka.brokers"),
            "security.protocol": ref("kafka.security.protocol"),
            "sasl.mechanism": ref("kafka.sasl.mechanism"),
            "sasl.username": ref("kafka.sasl.username"),
            "sasl.password": ref("kafka.sasl.password"),
            "isolation.level": "read_committed",
            "max.poll.records": "10000",
            "default.api.timeout.ms": "60 sec",
            "max.block.ms": "5 sec",
            "ack.wait.time": "5 sec",
            **_by_tls(tls),
        },
        sensitive=frozenset({"sasl.password"}),
    )


KAFKA_PARAMETERS = (
    "kafka.brokers",
    "kafka.security.protocol",
    "kafka.sasl.mechanism",
    "kafka.sasl.username",
    "kafka.sasl.password",
)
MQTT_PARAMETERS = ("mqtt.broker", "mqtt.username", "mqtt.password")
MQTT_CLIENT, MQTT_CA = "mqtt.client", "tls.ca.file"  # of those who receive


def consume_kafka(name: str, place: Place, kafka: Service, *, topic: str, comments: str) -> Processor:
    """Reads a topic; messages with the same headers share a FlowFile, a line each.

    Offsets are committed after NiFi has stored the FlowFile: at least once. The CloudEvents headers of binary mode
    become attributes `ce_*`; a message in binary mode so gets a FlowFile of its own.
    """
    return Processor(
        name=name,
        type="org.apache.nifi.kafka.processors.ConsumeKafka",
        bundle=KAFKA,
        place=place,
        comments=comments,
        properties={
            "Kafka Connection Service": kafka,
            "Group ID": ref("kafka.group"),
            "Topic Format": "names",
            "Topics": ref(topic),
            "auto.offset.reset": "earliest",
            "Commit Offsets": "true",
            "Max Uncommitted Time": "1 sec",
            "Max Uncommitted Size": "16 MB",  # of 64 that a processor of ours reads
            "Header Name Pattern": "(?i)(ce_.*|content-type)",
            "Header Encoding": "UTF-8",
            "Processing Strategy": "DEMARCATOR",
            "Message Demarcator": "\n",
            "Separate By Key": "false",
            "Key Attribute Encoding": "do-not-add",
        },
    )


def publish_kafka(
    name: str, place: Place, kafka: Service, services: tuple[Service, Service], *, topic: str
) -> Processor:
    """Writes each line as one message in a transaction, with the key and content type that RecordVerdict gives it."""
    reader, writer = services
    return Processor(
        name=name,
        type="org.apache.nifi.kafka.processors.PublishKafka",
        bundle=KAFKA,
        place=place,
        comments="A CloudEvent a message, in structured mode, by the key of plant and coil; a repeat has the same id.",
        properties={
            "Kafka Connection Service": kafka,
            "Topic Name": ref(topic),
            "Failure Strategy": "Route to Failure",
            "acks": "all",
            "compression.type": "none",
            "max.request.size": "1 MB",
            "Transactions Enabled": "true",
            "Record Reader": reader,
            "Record Writer": writer,
            "Publish Strategy": "USE_VALUE",
            "Message Key Field": PARTITION_KEY,
            "FlowFile Attribute Header Pattern": CONTENT_TYPE,
            "Header Encoding": "UTF-8",
        },
        ended=frozenset({"success"}),
        retried=frozenset({"failure"}),
    )


def receive_mqtt(name: str, place: Place, *, topic: str, client: str, comments: str) -> Processor:
    """Reads a topic with a session that the broker keeps while NiFi is away; on one node of a cluster.

    It acknowledges a message as NiFi calls it the next time: so one task, and no run duration.

    Args:
        name: as people see it.
        place: on the canvas.
        topic: the parameter that names it.
        client: follows the plant's prefix in the client id, which must be of its own at the broker.
        comments: what it does.
    """
    return Processor(
        name=name,
        type="ReceiveMqtt",
        bundle=OURS,
        place=place,
        comments=comments,
        properties={
            BROKER_URI: ref("mqtt.broker"),
            TOPIC: ref(topic),
            CLIENT_ID: f"{ref(MQTT_CLIENT)}-{client}",
            USERNAME: ref("mqtt.username"),
            PASSWORD: ref("mqtt.password"),
            CA_FILE: ref(MQTT_CA),
        },
        sensitive=frozenset({PASSWORD}),
        every="50 ms",  # else NiFi asks thousands of times a second where the process has died and is not back yet
        tasks=1,
        one_node=True,
    )


def publish_mqtt(name: str, place: Place, tls: Service | None, *, topic: str) -> Processor:
    """Writes each line as one message; on every node, by a client id of its own that NiFi makes up."""
    return Processor(
        name=name,
        type="org.apache.nifi.processors.mqtt.PublishMQTT",
        bundle=MQTT,
        place=place,
        comments="A message a verdict, at QoS 2.",
        properties={
            "Broker URI": ref("mqtt.broker"),
            "MQTT Specification Version": "0",
            "Username": ref("mqtt.username"),
            "Password": ref("mqtt.password"),
            "Connection Timeout": "30",
            "Keep Alive": "60",
            **_by_tls(tls),
            "Quality of Service": "2",
            "Session State": "true",
            "Topic": ref(topic),
            "Retain Message": "false",
            "Message Demarcator": "\n",
        },
        sensitive=frozenset({"Password"}),
        ended=frozenset({"success"}),
        retried=frozenset({"failure"}),
    )


def tick(name: str, place: Place, *, every: str, comments: str, text: str | None = None) -> Processor:
    """An empty FlowFile, or this text, so often; on one node of a cluster."""
    return Processor(
        name=name,
        type="org.apache.nifi.processors.standard.GenerateFlowFile",
        bundle=STANDARD,
        place=place,
        comments=comments,
        properties={
            "File Size": "0B",
            "Batch Size": "1",
            "Data Format": "Text",
            "Unique FlowFiles": "false",
            "Character Set": "UTF-8",
            **({} if text is None else {"Custom Text": text, "Mime Type": "application/json"}),
        },
        every=every,
        one_node=True,
    )


def json_services() -> tuple[Service, Service]:
    """Read and write JSON, an object a line."""
    api = {"org.apache.nifi.serialization.RecordReaderFactory": SERVICES_API}
    reader = Service(
        name="Lines of JSON",
        type="org.apache.nifi.json.JsonTreeReader",
        bundle=RECORDS,
        apis=api,
        properties={"Schema Access Strategy": "infer-schema", "Starting Field Strategy": "ROOT_NODE"},
    )
    writer = Service(
        name="To lines of JSON",
        type="org.apache.nifi.json.JsonRecordSetWriter",
        bundle=RECORDS,
        apis={"org.apache.nifi.serialization.RecordSetWriterFactory": SERVICES_API},
        properties={
            "Schema Write Strategy": "no-schema",
            "Schema Access Strategy": "inherit-record-schema",
            "Suppress Null Values": "suppress-missing",
            "Pretty Print JSON": "false",
            "Allow Scientific Notation": "false",
            "Output Grouping": "output-oneline",
        },
    )
    return reader, writer
