"""Matrices in, verdicts out."""

from nifiapi.flowfiletransform import FlowFileTransform, FlowFileTransformResult
from nifiapi.properties import ExpressionLanguageScope, ProcessContext, PropertyDescriptor, StandardValidators
from nifiapi.relationship import Relationship

from flows.nifi import processor
from flows.nifi.score_coil import open_step


class ScoreCoil(FlowFileTransform):
    """As NiFi sees `flows.nifi.score_coil`."""

    class Java:
        implements = ["org.apache.nifi.python.processor.FlowFileTransform"]

    class ProcessorDetails:
        version = "0.1.0"
        description = (
            "Lets the serving ensemble judge a batch of matrices: OK, NOK or UNDECIDED for every coil. Follows the "
            "registry: a new champion takes over between two batches, and shadows judge too."
        )
        tags = ["coilflow", "coil", "galvanizing", "onnx", "verdict", "model"]

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

    def __init__(self, **kwargs: object) -> None:
        self.hosted = processor.hosted("score_coil", open_step)
        self.descriptors = [self.DATABASE_DSN, self.DATA_DIRECTORY]
        self.relationships = [
            Relationship(name="success", description="Verdicts, as an Arrow batch for RecordVerdict."),
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
