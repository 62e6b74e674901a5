"""Verdicts in, announcements out."""

from nifiapi.flowfiletransform import FlowFileTransform, FlowFileTransformResult
from nifiapi.properties import ExpressionLanguageScope, ProcessContext, PropertyDescriptor, StandardValidators
from nifiapi.relationship import Relationship

from flows.nifi import processor
from flows.nifi.record_verdict import open_step


class RecordVerdict(FlowFileTransform):
    """As NiFi sees `flows.nifi.record_verdict`."""

    class Java:
        implements = ["org.apache.nifi.python.processor.FlowFileTransform"]

    class ProcessorDetails:
        version = "0.1.0"
        description = (
            "Stores a batch of verdicts with its dead letters in one transaction, and gives the events that announce "
            "them. The same batch twice is stored once, and gives the same events."
        )
        tags = ["coilflow", "coil", "galvanizing", "verdict", "postgresql", "cloudevents"]

    DATABASE_DSN = PropertyDescriptor(
        name="Database DSN",
        description="PostgreSQL of coilflow, as postgresql://user:password@host/database. Where it is not set, "
        "COILFLOW_DATABASE_DSN of NiFi's environment holds.",
        sensitive=True,
        validators=[StandardValidators.NON_EMPTY_VALIDATOR],
        expression_language_scope=ExpressionLanguageScope.ENVIRONMENT,
    )

    DATA_DIRECTORY = PropertyDescriptor(
        name="Data Directory",
        description="Folder with coilflow.toml and the ensembles of this machine. Where it is not set, "
        "COILFLOW_DATA_DIR of NiFi's environment holds, else coilflow's own default.",
        validators=[StandardValidators.NON_EMPTY_VALIDATOR],
        expression_language_scope=ExpressionLanguageScope.ENVIRONMENT,
    )

    MODE = PropertyDescriptor(
        name="Mode",
        description="announce: verdicts are stored and announced. observe: they are stored, and nothing is announced. "
        "Where it is not set, coilflow's setting holds.",
        allowable_values=["announce", "observe"],
    )

    def __init__(self, **kwargs: object) -> None:
        self.hosted = processor.hosted("record_verdict", open_step)
        self.descriptors = [self.DATABASE_DSN, self.DATA_DIRECTORY, self.MODE]
        self.relationships = [
            Relationship(name="success", description="coil.verdict events of the verdicts that stand, one a line."),
            Relationship(
                name="observed", description="The verdicts are stored, and nothing is announced: Mode is observe."
            ),
            Relationship(
                name="nothing",
                description="No verdict of the batch stands: all were overtaken or refused, which is stored.",
                auto_terminated=True,
            ),
            Relationship(
                name="dead_letter",
                description="Never goes well as it is: content as it came, coilflow.error says why.",
            ),
        ]

    def getPropertyDescriptors(self) -> list[PropertyDescriptor]:
        return self.descriptors

    def getRelationships(self) -> list[Relationship]:
        return self.relationships

    def onScheduled(self, context: ProcessContext) -> None:
        processor.start(self.hosted, context, self.descriptors)

    def onStopped(self, context: ProcessContext) -> None:
        self.hosted.stop()

    def transform(self, context: ProcessContext, flowfile: processor.FlowFile) -> FlowFileTransformResult:
        done = processor.run(self.hosted, context, self.descriptors, flowfile, self.logger)
        return FlowFileTransformResult(done.relationship, attributes=dict(done.attributes), contents=done.contents)
