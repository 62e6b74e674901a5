"""A processor that makes FlowFiles of nothing."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from nifiapi.properties import ProcessContext


class FlowFileSourceResult:
    """What `create` gives back; text becomes bytes."""

    class Java:
        implements = ["org.apache.nifi.python.processor.FlowFileSourceResult"]  # noqa: RUF012 - as the guide has it

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


class FlowFileSource(ABC):
    """Its `logger` and `identifier` are set after it was made, its context when it is scheduled."""

    identifier: Any = None
    logger: Any = None

    def setContext(self, context: Any) -> None:
        self.process_context = ProcessContext(context)

    def createFlowFile(self) -> FlowFileSourceResult | None:
        return self.create(self.process_context)

    @abstractmethod
    def create(self, context: ProcessContext) -> FlowFileSourceResult | None:
        """Do it."""
