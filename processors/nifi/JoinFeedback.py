"""People's verdicts in, what they were joined with out."""

from nifiapi.flowfiletransform import FlowFileTransform, FlowFileTransformResult
from nifiapi.properties import ExpressionLanguageScope, ProcessContext, PropertyDescriptor, StandardValidators
from nifiapi.relationship import Relationship

from flows.nifi import processor
from flows.nifi.join_feedback import open_step


class JoinFeedback(FlowFileTransform):
    """As NiFi sees `flows.nifi.join_feedback`."""

    class Java:
        implements = ["org.apache.nifi.python.processor.FlowFileTransform"]

    class ProcessorDetails:
        version = "0.1.0"
        description = (
            "Stores what people said of coils (opfeedback messages or operator.feedback events) beside the verdicts, "
            "and says whether they agree."
        )
        tags = ["coilflow", "coil", "galvanizing", "feedback", "opfeedback", "label"]

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

    PLANT = PropertyDescriptor(
        name="Plant",
        description="Plant of coils whose source names none, as linz-hdg2. Where it is not set, coilflow's "
        "setting holds.",
        validators=[StandardValidators.NON_EMPTY_VALIDATOR],
        expression_language_scope=ExpressionLanguageScope.ENVIRONMENT,
    )

    def __init__(self, **kwargs: object) -> None:
        self.hosted = processor.hosted("join_feedback", open_step)
        self.descriptors = [self.DATABASE_DSN, self.DATA_DIRECTORY, self.PLANT]
        self.relationships = [
            Relationship(
                name="success",
                description="A line of JSON for each label: what it was joined with, and whether they agree.",
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
