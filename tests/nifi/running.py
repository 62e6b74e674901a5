"""Runs a processor as NiFi 2.9.0 does, without NiFi: its loader's, its validator's and its transfer's rules."""

import importlib.util
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PROCESSORS = ROOT / "processors" / "nifi"
API = Path(__file__).parent / "api-double"
SOURCES = ("ReceiveMqtt",)  # which make FlowFiles of nothing
TRANSFORMS = tuple(sorted(file.stem for file in PROCESSORS.glob("*.py") if file.stem not in SOURCES))
IMPLICIT = {"failure", "original"}


class RolledBackError(Exception):
    """What NiFi undoes, and tries again every second, for ever."""


@dataclass(frozen=True, kw_only=True)
class Transferred:
    """A FlowFile after the processor, and the relationship that it went to."""

    relationship: str
    content: bytes
    attributes: dict[str, str]


@dataclass(kw_only=True)
class JavaLogger:
    """One text a call; what it warns of is a bulletin."""

    bulletins: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def warn(self, message: str) -> None:
        """Log it."""
        assert isinstance(message, str)
        self.bulletins.append(message)

    def info(self, message: str) -> None:
        """Log it, and no more."""
        assert isinstance(message, str)
        self.notes.append(message)


@dataclass(frozen=True, kw_only=True)
class InputFlowFile:
    """What `transform` is handed; `size` is told without reading."""

    content: bytes
    attributes: Mapping[str, str]
    size: int | None = None

    def getSize(self) -> int:  # noqa: N802 - NiFi's name, and below
        """Length in bytes."""
        return len(self.content) if self.size is None else self.size

    def getContentsAsBytes(self) -> bytes:  # noqa: N802
        """All of it."""
        if self.size is not None:
            raise MemoryError("Java heap space")
        return self.content

    def getAttributes(self) -> Mapping[str, str]:  # noqa: N802
        """All of them."""
        return self.attributes


@contextmanager
def api_on_the_path() -> Iterator[None]:
    """Let `nifiapi` be found, as NiFi's own is by its PYTHONPATH."""
    sys.path.insert(0, str(API))
    try:
        yield
    finally:
        sys.path.remove(str(API))


def load(file: Path) -> type[Any]:
    """Import a file by its bare stem and return the processor in it."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with api_on_the_path():
        spec.loader.exec_module(module)
    found: type[Any] = getattr(module, file.stem)
    return found


class Running:
    """One processor on the canvas.

    Args:
        kind: its class.
        properties: by name, as a person set them.
    """

    def __init__(self, kind: type[Any], properties: Mapping[str, str] | None = None) -> None:
        self._kind, self.properties = kind, dict(properties or {})
        self.logger = JavaLogger()
        self._made()

    def _made(self) -> None:
        self.processor = self._kind(jvm=object())
        self.processor.logger, self.processor.identifier = self.logger, "3f1c2f5e"

    def invalid(self) -> list[str]:
        """What NiFi would show as invalid."""
        known = {one.name: one for one in self.processor.getPropertyDescriptors()}
        said = [f"{name}: not a property" for name in self.properties if name not in known]
        for name, one in known.items():
            text = self.properties.get(name, one.defaultValue)
            if text is None:
                said += [f"{name}: required"] if one.required else []
            elif one.allowableValues is not None and text not in one.allowableValues:
                said.append(f"{name}: not one of {one.allowableValues}")
            elif one.expressionLanguageScope.name != "NONE" and "${" in text:
                continue
            elif not all(valid(text) for valid in one.validators):
                said.append(f"{name}: {text!r} is invalid")
        return said

    def relationships(self) -> set[str]:
        """Those that NiFi shows, of which the connections are made."""
        return {one.name for one in self.processor.getRelationships()} | IMPLICIT

    def schedule(self) -> None:
        """Start it."""
        assert self.invalid() == []
        self.processor.onScheduled(self._context())
        self.processor.setContext((self.processor.getPropertyDescriptors(), self.properties))

    def stop(self) -> None:
        """Stop it."""
        self.processor.onStopped(self._context())

    def process_dies(self) -> None:
        """As after SIGKILL: made anew and handed the context, and not scheduled again."""
        self._made()
        self.processor.setContext((self.processor.getPropertyDescriptors(), self.properties))

    def give(self, content: bytes, attributes: Mapping[str, str] | None = None, size: int | None = None) -> Transferred:
        """Let it have one FlowFile, and return where it went; `original` is auto-terminated."""
        before = dict(attributes or {})
        flowfile = InputFlowFile(content=content, attributes=before, size=size)
        try:
            result = self.processor.transformFlowFile(flowfile)
        except Exception:  # noqa: BLE001 - as NiFi does: into its log, and no reason with the FlowFile
            traceback.print_exc()
            return Transferred(relationship="failure", content=content, attributes=before)
        if result is None or result.getRelationship() not in self.relationships():
            raise RolledBackError(f"no such relationship: {result and result.getRelationship()}")
        added = dict(result.getAttributes() or {})
        if not all(isinstance(text, str) for pair in added.items() for text in pair):
            raise RolledBackError(f"attributes that are no text: {added}")
        contents = result.getContents()
        if contents is None or result.getRelationship() == "failure":  # which keeps what came
            contents = content
        return Transferred(
            relationship=result.getRelationship(), content=bytes(contents), attributes={**before, **added}
        )

    def take(self) -> Transferred | None:
        """Let a source make one FlowFile, and commit it; None: there is none now.

        What `create` raises is raised here, for NiFi keeps no more of it than a line in its log.
        """
        result = self.processor.createFlowFile()
        if result is None:
            return None
        if result.getRelationship() != "success":  # the one that a source has without saying so
            raise RolledBackError(f"no such relationship: {result.getRelationship()}")
        attributes = dict(result.getAttributes() or {})
        if not all(isinstance(text, str) for pair in attributes.items() for text in pair):
            raise RolledBackError(f"attributes that are no text: {attributes}")
        return Transferred(relationship="success", content=bytes(result.getContents() or b""), attributes=attributes)

    def _context(self) -> Any:
        with api_on_the_path():
            from nifiapi.properties import ProcessContext  # noqa: PLC0415 - found by NiFi's path alone
        return ProcessContext((self.processor.getPropertyDescriptors(), self.properties))
