"""What each of our processors does when NiFi calls it; the classes in processors/nifi only declare."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from flows.nifi.orphan import end_with_nifi
from flows.nifi.step import DEAD_LETTER, ERROR, FAILURE, REMEDY, STEP, Hosted, Properties, Step, StepResult
from flows.observe import log_without_values
from schemas.errors import UsageError

# Content comes through py4j as one text: NiFi, whose heap is 1 GB unless told otherwise, holds it three times.
LARGEST_CONTENT_BYTES = 64 * 2**20
_LONGEST_CHARS = 2000  # of an attribute


class Descriptor(Protocol):
    """What we use of NiFi's PropertyDescriptor."""

    name: str


class PropertyValue(Protocol):
    """What we use of NiFi's PythonPropertyValue."""

    el_supported: bool
    property_value: Any  # Java's, behind it

    def getValue(self) -> str | None:  # noqa: N802 - NiFi's name
        """Return the text as it is configured."""

    def isExpressionLanguagePresent(self) -> bool:  # noqa: N802 - NiFi's name
        """Whether there is an expression in it."""


class Context(Protocol):
    """What we use of NiFi's ProcessContext."""

    def getProperty(self, descriptor: str) -> PropertyValue | None:  # noqa: N802 - NiFi's name
        """Return the property's value; None where NiFi does not show it."""


class FlowFile(Protocol):
    """What we use of NiFi's InputFlowFile, each call a round trip to Java."""

    def getSize(self) -> int:  # noqa: N802 - NiFi's name
        """Return the length of the content in bytes."""

    def getContentsAsBytes(self) -> bytes:  # noqa: N802 - NiFi's name
        """Return the content."""

    def getAttributes(self) -> Mapping[str, str]:  # noqa: N802 - NiFi's name
        """Return all attributes."""


class Logger(Protocol):
    """What we use of NiFi's logger, which is Java's: one text a call."""

    def warn(self, message: str, /) -> None:
        """Log it, and show it as a bulletin."""


def hosted(name: str, open_step: Callable[[Properties], Step]) -> Hosted:
    """A processor's step, not started yet, in a process that ends with its NiFi; arguments as of `Hosted`."""
    end_with_nifi()
    log_without_values()
    return Hosted(name, open_step)


def start(hosted: Hosted, context: Context, descriptors: Iterable[Descriptor]) -> None:
    """Open a step with the processor's properties; raises nothing, for NiFi could not be stopped then."""
    hosted.start(evaluated(context, descriptors))


def run(
    hosted: Hosted, context: Context, descriptors: Iterable[Descriptor], flowfile: FlowFile, logger: Logger
) -> StepResult:
    """Do the step with one FlowFile; raises nothing, and what went wrong is a bulletin too."""
    hosted.start_unless_started(lambda: evaluated(context, descriptors))
    done = _bounded(_run(hosted, flowfile))
    if ERROR in done.attributes:
        _warn(logger, done)
    return done


def _run(hosted: Hosted, flowfile: FlowFile) -> StepResult:
    try:
        size = flowfile.getSize()
        if size > LARGEST_CONTENT_BYTES:
            return _too_large(hosted, size)
        content, attributes = bytes(flowfile.getContentsAsBytes()), dict(flowfile.getAttributes())
    except Exception as error:  # noqa: BLE001 - whatever py4j raised: NiFi would keep no reason
        said = {ERROR: f"NiFi did not hand over the content: {error}", STEP: hosted.name, REMEDY: "see NiFi's log"}
        return StepResult(relationship=FAILURE, attributes=said)
    return hosted.run(content, attributes)


def _bounded(done: StepResult) -> StepResult:
    """What quotes a FlowFile may be as long as that, and NiFi holds all attributes in memory."""
    short = {
        name: text if len(text) <= _LONGEST_CHARS else f"{text[: _LONGEST_CHARS - 1]}…"
        for name, text in done.attributes.items()
    }
    return replace(done, attributes=short)


def _too_large(hosted: Hosted, size: int) -> StepResult:
    most_mb = LARGEST_CONTENT_BYTES // 2**20
    return hosted.refuse(
        UsageError(
            f"the content has {size / 2**20:,.0f} MB, and at most {most_mb} MB can be taken at once",
            remedy="split it into FlowFiles of about a hundred coils, e.g. by SplitRecord",
        )
    )


def evaluated(context: Context, descriptors: Iterable[Descriptor]) -> Properties | UsageError:
    """Read the processor's properties, with expressions taken by Java; else return which error there is in one."""
    try:
        values = {one.name: context.getProperty(one.name) for one in descriptors}
        return {name: None if value is None else _text(value) for name, value in values.items()}
    except Exception as error:  # noqa: BLE001 - whatever Java raised
        return UsageError(f"a property cannot be evaluated: {error}", remedy="correct its expression, then start again")


def _text(value: PropertyValue) -> str | None:
    if not (value.el_supported and value.isExpressionLanguagePresent()):
        return value.getValue()
    # Java's own evaluation: NiFi's Python one takes ${NAME} for an attribute, and there is no FlowFile yet.
    text: str | None = value.property_value.evaluateAttributeExpressions().getValue()
    return text


def _warn(logger: Logger, done: StepResult) -> None:
    said, remedy = done.attributes[ERROR], done.attributes.get(REMEDY, "")
    what = "dead letter" if done.relationship == DEAD_LETTER else "to be tried again"
    logger.warn(f"{what}: {said}; {remedy}")
