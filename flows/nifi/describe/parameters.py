"""What a plant sets of its flows: one parameter context for all of them."""

from flows.nifi.describe.parts import Parameter

CONTEXT = "coilflow"

PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        name="database.dsn",
        description="PostgreSQL, e.g. postgresql://coilflow@db:5432/coilflow; holds a password, so sensitive.",
        sensitive=True,
    ),
    Parameter(
        name="data.directory",
        description="Folder of coilflow on NiFi's machine; not set: that of the user NiFi runs as.",
    ),
    Parameter(
        name="mode",
        description="announce, or observe: verdicts are stored and nobody is told of them.",
        value="announce",
    ),
    Parameter(name="plant", description="Plant of coils whose message names none.", value="default"),
    Parameter(name="batch.coils", description="Coils that one FlowFile holds at most.", value="100"),
    Parameter(
        name="lease.seconds",
        description="So long a coil may be on its way through the flow before it is taken again, s.",
        value="300",
    ),
    Parameter(name="kafka.brokers", description="Kafka: host:port, several by commas.", value="localhost:9092"),
    Parameter(
        name="kafka.security.protocol",
        description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.",
        value="PLAINTEXT",
    ),
    Parameter(
        name="kafka.sasl.mechanism",
        description="With SASL: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.",
        value="SCRAM-SHA-512",
    ),
    Parameter(name="kafka.sasl.username", description="With SASL: who signs in."),
    Parameter(name="kafka.sasl.password", description="With SASL: the password.", sensitive=True),
    Parameter(
        name="kafka.group",
        description="Consumer group; another than that of `coilflow worker assess` while both roads run.",
        value="coilflow-nifi",
    ),
    Parameter(name="kafka.topic.chunks", description="What the gauge measured.", value="coil.chunks"),
    Parameter(name="kafka.topic.verdicts", description="Where verdicts are told.", value="coil.verdicts"),
    Parameter(name="kafka.topic.feedback", description="What operators said of coils.", value="operator.feedback"),
    Parameter(
        name="mqtt.broker",
        description="MQTT: tcp://host:1883, or ssl://host:8883 with a truststore and a CA file.",
        value="tcp://localhost:1883",
    ),
    Parameter(name="mqtt.username", description="MQTT: who signs in; not set: nobody."),
    Parameter(name="mqtt.password", description="MQTT: the password.", sensitive=True),
    Parameter(
        name="mqtt.client",
        description="MQTT: how client ids begin; NiFis at one broker each need their own, or throw each other out.",
        value="coilflow-nifi",
    ),
    Parameter(name="mqtt.topic.assess", description="The plant asks for a coil of its tables.", value="assesscoil"),
    Parameter(name="mqtt.topic.feedback", description="The plant says what an operator judged.", value="opfeedback"),
    Parameter(name="mqtt.topic.ready", description="The plant learns the verdict.", value="coilready"),
    Parameter(
        name="tls.ca.file",
        description="TLS: PEM file on NiFi's machine with who signed the certificate of the MQTT broker, for what "
        "comes from there; not set: those that the system trusts.",
    ),
    Parameter(
        name="tls.truststore.file",
        description="TLS: store on NiFi's machine with who signed the certificates of the brokers; not set: no TLS.",
    ),
    Parameter(name="tls.truststore.type", description="TLS: PKCS12, JKS or BCFKS.", value="PKCS12"),
    Parameter(name="tls.truststore.password", description="TLS: opens the truststore.", sensitive=True),
    Parameter(
        name="tls.keystore.file",
        description="TLS: store on NiFi's machine with a client certificate and its key, where brokers ask for one.",
    ),
    Parameter(name="tls.keystore.type", description="TLS: PKCS12, JKS or BCFKS.", value="PKCS12"),
    Parameter(name="tls.keystore.password", description="TLS: opens the keystore and the key.", sensitive=True),
    Parameter(
        name="console.url",
        description="Where `coilflow console` answers; the scheduler is asked there to retrain.",
        value="http://localhost:8321",
    ),
    Parameter(
        name="console.authorization",
        description="How NiFi is known there: Bearer and a key of `coilflow keys create nifi --scope operate`.",
        sensitive=True,
    ),
)


def parameters(*names: str) -> tuple[Parameter, ...]:
    """Those of these names, in the order of the context; raises KeyError where one is unknown."""
    known = {one.name: one for one in PARAMETERS}
    wanted = {known[name].name for name in names}
    return tuple(one for one in PARAMETERS if one.name in wanted)


def ref(name: str) -> str:
    """How a property refers to a parameter."""
    return f"#{{{name}}}"
