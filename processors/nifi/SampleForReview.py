"""Verdict events in, those that a person should look at out."""

from nifiapi.flowfiletransform import FlowFileTransform, FlowFileTransformResult
from nifiapi.properties import ProcessContext, PropertyDescriptor
from nifiapi.relationship import Relationship

from flows.nifi import processor
from flows.nifi.sample_for_review import open_step


class SampleForReview(FlowFileTransform):
    """As NiFi sees `flows.nifi.sample_for_review`."""

    class Java:
        implements = ["org.apache.nifi.python.processor.FlowFileTransform"]

    class ProcessorDetails:
        version = "0.1.0"
        description = (
            "Picks the verdicts that ask for a person's look, with the reason and the chance with which each was drawn."
        )
        tags = ["coilflow", "coil", "galvanizing", "review", "sample"]

    def __init__(self, **kwargs: object) -> None:
        self.hosted = processor.hosted("sample_for_review", open_step)
        self.descriptors: list[PropertyDescriptor] = []
        self.relationships = [
            Relationship(name="success", description="No verdict asks for a look: content as it came."),
            Relationship(name="review", description="A line of JSON for each coil that a person should look at."),
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
