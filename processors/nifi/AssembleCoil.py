"""Chunk events in, whole coils out."""

from nifiapi.flowfiletransform import FlowFileTransform, FlowFileTransformResult
from nifiapi.properties import ExpressionLanguageScope, ProcessContext, PropertyDescriptor, StandardValidators
from nifiapi.relationship import Relationship

from flows.nifi import processor
from flows.nifi.assemble_coil import open_step


class AssembleCoil(FlowFileTransform):
    """As NiFi sees `flows.nifi.assemble_coil`."""

    class Java:
        implements = ["org.apache.nifi.python.processor.FlowFileTransform"]

    class ProcessorDetails:
        version = "0.1.0"
        description = (
            "Takes chunk events of coils as they come, keeps them in coilflow's database, and gives the coils that are "
            "due (ended, silent too long, or revised) as one Arrow batch. An empty FlowFile asks for what is due: "
            "let GenerateFlowFile send one a second."
        )
        tags = ["coilflow", "coil", "galvanizing", "cloudevents", "assemble", "kafka"]

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

    CONTENT = PropertyDescriptor(
        name="Content",
        description="What FlowFiles hold. events: coil.chunk and coil.ended events as CloudEvents, one, an array or "
        "one a line. assesscoil: the plant's own messages that name a coil, to be read from the plant's tables.",
        required=True,
        default_value="events",
        allowable_values=["events", "assesscoil"],
    )

    BATCH_COILS = PropertyDescriptor(
        name="Batch Coils",
        description="Most coils in one FlowFile. NiFi takes about as long for a hundred as for one.",
        required=True,
        default_value="100",
        validators=[StandardValidators.POSITIVE_INTEGER_VALIDATOR],
    )

    LEASE = PropertyDescriptor(
        name="Lease",
        description="Seconds after which a coil that went on its way and got no verdict is taken again: longer than "
        "the flow ever holds a batch back. Each time it is twice as long, up to a day, and eight times in all.",
        required=True,
        default_value="300",
        validators=[StandardValidators.POSITIVE_INTEGER_VALIDATOR],
    )

    def __init__(self, **kwargs: object) -> None:
        self.hosted = processor.hosted("assemble_coil", open_step)
        self.descriptors = [
            self.DATABASE_DSN,
            self.DATA_DIRECTORY,
            self.PLANT,
            self.CONTENT,
            self.BATCH_COILS,
            self.LEASE,
        ]
        self.relationships = [
            Relationship(name="success", description="Coils that are due, as an Arrow batch for NormalizeCoil."),
            Relationship(
                name="waiting", description="The events are stored, and no coil is due.", auto_terminated=True
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
