"""What a processor can be told, and how it reads that."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

Validator = Callable[[str], bool]


class ExpressionLanguageScope(Enum):
    """What an expression in a property may refer to."""

    NONE = 1
    ENVIRONMENT = 2
    FLOWFILE_ATTRIBUTES = 3


def _whole(text: str, least: int) -> bool:
    return re.fullmatch(r"[+-]?\d+", text) is not None and least <= int(text) < 2**31


class StandardValidators:
    """Those that our processors name; Java's in the real one."""

    ALWAYS_VALID: Validator = staticmethod(lambda text: True)
    NON_EMPTY_VALIDATOR: Validator = staticmethod(bool)
    POSITIVE_INTEGER_VALIDATOR: Validator = staticmethod(lambda text: _whole(text, 1))
    FILE_EXISTS_VALIDATOR: Validator = staticmethod(lambda text: Path(text).exists())
    URI_VALIDATOR: Validator = staticmethod(lambda text: bool(text) and not re.search(r'[\s<>"{}|\\^`]', text))


class PropertyDescriptor:
    """One property; the attributes are named as NiFi's adapter reads them."""

    def __init__(
        self,
        name: str,
        description: str,
        required: bool = False,
        sensitive: bool = False,
        display_name: str | None = None,
        default_value: object = None,
        allowable_values: Sequence[str] | None = None,
        dependencies: Sequence[object] | None = None,
        expression_language_scope: ExpressionLanguageScope = ExpressionLanguageScope.NONE,
        dynamic: bool = False,
        validators: Sequence[Validator] | None = None,
        resource_definition: object = None,
        controller_service_definition: str | None = None,
    ) -> None:
        self.name, self.description = name, description
        self.required, self.sensitive, self.dynamic = required, sensitive, dynamic
        self.displayName = display_name
        self.defaultValue = None if default_value is None else str(default_value)
        self.allowableValues = allowable_values
        self.dependencies = dependencies
        self.expressionLanguageScope = expression_language_scope
        self.validators = [StandardValidators.ALWAYS_VALID] if validators is None else validators
        self.resourceDefinition = resource_definition
        self.controllerServiceDefinition = controller_service_definition


class JavaPropertyValue:
    """Java's value, which evaluates expressions: here `${NAME}` of the environment alone."""

    def __init__(self, text: str | None) -> None:
        self._text = text

    def getValue(self) -> str | None:
        return self._text

    def isExpressionLanguagePresent(self) -> bool:
        return "${" in (self._text or "")

    def evaluateAttributeExpressions(self) -> "JavaPropertyValue":
        if re.search(r"\$\{[^}]*:fail\(\)", self._text or ""):
            raise RuntimeError("An error occurred while calling o41.evaluateAttributeExpressions")
        return JavaPropertyValue(re.sub(r"\$\{([^}]+)\}", lambda found: os.environ.get(found[1], ""), self._text or ""))


class PythonPropertyValue:
    """What a processor gets of a property."""

    def __init__(
        self,
        property_value: Any,
        string_value: str | None,
        el_supported: bool,
        el_present: bool,
        referenced_attribute: str | None,
    ) -> None:
        self.property_value, self.value = property_value, string_value
        self.el_supported, self.el_present = el_supported, el_present
        self.referenced_attribute = referenced_attribute

    def getValue(self) -> str | None:
        return self.value

    def isExpressionLanguagePresent(self) -> bool:
        return self.el_present

    def evaluateAttributeExpressions(self, attributeMap: Any = None) -> "PythonPropertyValue":  # noqa: N803
        """As NiFi 2.9.0 does it: a bare `${NAME}` is an attribute, never the environment, and None breaks."""
        if not (self.el_supported and self.el_present):
            return self
        found = attributeMap.getAttribute(self.referenced_attribute)
        return PythonPropertyValue(self.property_value, found or "", self.el_supported, False, None)


class ProcessContext:
    """The configuration of a processor; made from Java's, here a list of descriptors and the texts that were set."""

    def __init__(self, java_context: tuple[Iterable[PropertyDescriptor], Mapping[str, str]]) -> None:
        descriptors, given = java_context
        self.property_values = {one.name: _value(one, given.get(one.name, one.defaultValue)) for one in descriptors}

    def getProperty(self, descriptor: str | PropertyDescriptor) -> PythonPropertyValue | None:
        return self.property_values.get(descriptor if isinstance(descriptor, str) else descriptor.name)


def _value(descriptor: PropertyDescriptor, text: str | None) -> PythonPropertyValue:
    supported = descriptor.expressionLanguageScope is not ExpressionLanguageScope.NONE
    java = JavaPropertyValue(text)
    bare = re.fullmatch(r"\$\{([^${}:]+)\}", text or "")
    return PythonPropertyValue(java, text, supported, java.isExpressionLanguagePresent(), bare[1] if bare else None)
