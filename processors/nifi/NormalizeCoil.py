"""Whole coils in, matrices out."""

from nifiapi.flowfiletransform import FlowFileTransform, FlowFileTransformResult
from nifiapi.properties import ExpressionLanguageScope, ProcessContext, PropertyDescriptor, StandardValidators
from nifiapi.relationship import Relationship

from flows.nifi import processor
from flows.nifi.normalize_coil import open_step


class NormalizeCoil(FlowFileTransform):
    """As NiFi sees `flows.nifi.normalize_coil`."""

    class Java:
        implements = ["org.apache.nifi.python.processor.FlowFileTransform"]

    class ProcessorDetails:
        version = "0.1.0"
        description = (
            "Makes one Arrow batch of matrices, as the models see coils, of whole coils: what AssembleCoil gives, or "
            "records of tiles or chunks as CSV, JSON or Arrow."
        )
        tags = ["coilflow", "coil", "galvanizing", "normalize", "arrow", "csv", "json"]

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

    FORMAT = PropertyDescriptor(
        name="Format",
        description="What FlowFiles hold. coils: what AssembleCoil gives. events: chunk events of whole coils. tiles "
        "csv, tiles json: a row a tile, or a chunk, of whole coils. arrow: the same in Arrow. detect: told from the "
        "content.",
        required=True,
        default_value="detect",
        allowable_values=["detect", "coils", "events", "tiles csv", "tiles json", "arrow"],
    )

    LIMITS_FILE = PropertyDescriptor(
        name="Limits File",
        description="JSON with the limits of the ensemble that scores. Where it is not set, those of the ensemble that "
        "coilflow's settings name.",
        validators=[StandardValidators.FILE_EXISTS_VALIDATOR],
        expression_language_scope=ExpressionLanguageScope.ENVIRONMENT,
    )

    def __init__(self, **kwargs: object) -> None:
        self.hosted = processor.hosted("normalize_coil", open_step)
        self.descriptors = [self.DATA_DIRECTORY, self.PLANT, self.FORMAT, self.LIMITS_FILE]
        self.relationships = [
            Relationship(name="success", description="Matrices, as an Arrow batch for ScoreCoil."),
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
