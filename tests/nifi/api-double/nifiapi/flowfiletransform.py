"""A processor that makes one FlowFile of one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from nifiapi.properties import ProcessContext


class FlowFileTransformResult:
    """What `transform` gives back; text becomes bytes."""

    class Java:
        implements = ["org.apache.nifi.python.processor.FlowFileTransformResult"]  # noqa: RUF012 - as the guide has it

    def __init__(
        self, relationship: str, attributes: Mapping[str, str] | None = None, contents: str | bytes | None = None
    ) -> None:
        self.relationship, self.attributes = relationship, attributes
        self.contents = contents.encode() if isinstance(contents, str) else contents

    def getRelationship(self) -> str:
        return self.relationship

    def getContents(self) -> bytes | None:
        return self.contents

    def getAttributes(self) -> Mapping[str, str] | None:
        return self.attributes


class FlowFileTransform(ABC):
    """Its `logger` and `identifier` are set after it was made, its context when it is scheduled."""

    identifier: Any = None
    logger: Any = None

    def setContext(self, context: Any) -> None:
        self.process_context = ProcessContext(context)

    def transformFlowFile(self, flowfile: Any) -> FlowFileTransformResult:
        return self.transform(self.process_context, flowfile)

    @abstractmethod
    def transform(self, context: ProcessContext, flowFile: Any) -> FlowFileTransformResult:  # noqa: N803
        """Do it."""
