"""Messages of an MQTT topic in, none lost."""

from nifiapi.flowfilesource import FlowFileSource, FlowFileSourceResult
from nifiapi.properties import ExpressionLanguageScope, ProcessContext, PropertyDescriptor, StandardValidators
from nifiapi.relationship import Relationship

from flows.nifi import source
from flows.nifi.receive_mqtt import open_source


class ReceiveMqtt(FlowFileSource):
    """As NiFi sees `flows.nifi.receive_mqtt`."""

    class Java:
        implements = ["org.apache.nifi.python.processor.FlowFileSource"]

    class ProcessorDetails:
        version = "0.1.0"
        description = (
            "Receives the messages of an MQTT topic, a FlowFile each, and acknowledges one to the broker once NiFi has "
            "stored its FlowFile: a NiFi that is killed loses none. It needs one concurrent task, run duration 0, run "
            "schedule 0 sec, and in a cluster the primary node."
        )
        tags = ["coilflow", "coil", "mqtt", "assesscoil", "opfeedback", "receive", "subscribe"]

    BROKER_URI = PropertyDescriptor(
        name="Broker URI",
        description="The MQTT broker, as tcp://host:1883, or ssl://host:8883 for TLS.",
        required=True,
        validators=[StandardValidators.URI_VALIDATOR],
        expression_language_scope=ExpressionLanguageScope.ENVIRONMENT,
    )

    TOPIC = PropertyDescriptor(
        name="Topic",
        description="What is subscribed to, as assesscoil; + and # are patterns. Another topic needs another Client "
        "ID, else the broker goes on sending messages of this one.",
        required=True,
        validators=[StandardValidators.NON_EMPTY_VALIDATOR],
        expression_language_scope=ExpressionLanguageScope.ENVIRONMENT,
    )

    CLIENT_ID = PropertyDescriptor(
        name="Client ID",
        description="By it the broker keeps messages while NiFi is away. Of this processor alone: two clients of one "
        "id throw each other out.",
        required=True,
        validators=[StandardValidators.NON_EMPTY_VALIDATOR],
        expression_language_scope=ExpressionLanguageScope.ENVIRONMENT,
    )

    USERNAME = PropertyDescriptor(
        name="Username",
        description="Who signs in at the broker. Not set: nobody.",
        validators=[StandardValidators.NON_EMPTY_VALIDATOR],
        expression_language_scope=ExpressionLanguageScope.ENVIRONMENT,
    )

    PASSWORD = PropertyDescriptor(
        name="Password",
        description="The password of who signs in at the broker.",
        sensitive=True,
        validators=[StandardValidators.NON_EMPTY_VALIDATOR],
        expression_language_scope=ExpressionLanguageScope.ENVIRONMENT,
    )

    CA_FILE = PropertyDescriptor(
        name="CA File",
        description="With ssl://: PEM file with the certificates of who signed the broker's. Not set: those that the "
        "system trusts.",
        validators=[StandardValidators.FILE_EXISTS_VALIDATOR],
        expression_language_scope=ExpressionLanguageScope.ENVIRONMENT,
    )

    def __init__(self, **kwargs: object) -> None:
        self.hosted = source.hosted("receive_mqtt", open_source)
        self.descriptors = [
            self.BROKER_URI,
            self.TOPIC,
            self.CLIENT_ID,
            self.USERNAME,
            self.PASSWORD,
            self.CA_FILE,
        ]
        self.relationships = [Relationship(name="success", description="A message, its content as it came.")]

    def getPropertyDescriptors(self) -> list[PropertyDescriptor]:
        return self.descriptors

    def getRelationships(self) -> list[Relationship]:
        return self.relationships

    def onScheduled(self, context: ProcessContext) -> None:
        self.hosted.start(context, self.descriptors)

    def onStopped(self, context: ProcessContext) -> None:
        self.hosted.stop()

    def create(self, context: ProcessContext) -> FlowFileSourceResult | None:
        done = self.hosted.create(context, self.descriptors, self.logger)
        if done is None:
            return None
        return FlowFileSourceResult(done.relationship, attributes=dict(done.attributes), contents=done.contents)
