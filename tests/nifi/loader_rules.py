"""The rules by which NiFi 2.9.0 finds a processor in a file, each as a check of the file's text."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TRANSFORM = "org.apache.nifi.python.processor.FlowFileTransform"
SOURCE = "org.apache.nifi.python.processor.FlowFileSource"


def one_processor(file: Path) -> ast.ClassDef:
    """A file holds one processor, named as the file: others would be found by whichever name sorts first."""
    found = [one for one in _classes(_tree(file)) if any(inner.name == "Java" for inner in _classes(one))]
    assert [one.name for one in found] == [file.stem]
    return found[0]


def details(processor: ast.ClassDef) -> dict[str, Any]:
    """ProcessorDetails are plain assignments of literals: with an annotation, or computed, they are not seen."""
    [inner] = [one for one in _classes(processor) if one.name == "ProcessorDetails"]
    return _literals(inner)


def interfaces(processor: ast.ClassDef) -> Any:
    """So is `implements`."""
    [inner] = [one for one in _classes(processor) if one.name == "Java"]
    return _literals(inner)["implements"]


def properties(processor: ast.ClassDef) -> list[dict[str, Any]]:
    """PropertyDescriptors are assigned to a name, called by that bare name, with keywords and literals alone.

    Raises:
        AssertionError: one would be missing from NiFi's documentation, or told wrongly there.
    """
    assigned = [one.value for one in ast.walk(processor) if isinstance(one, ast.Assign)]
    calls = [
        one for one in ast.walk(processor) if isinstance(one, ast.Call) and _name(one.func) == "PropertyDescriptor"
    ]
    assert all(one in assigned for one in calls)
    assert not any(one.args for one in calls)
    return [{keyword.arg or "**": _value(keyword.value) for keyword in one.keywords} for one in calls]


def imported(file: Path) -> Iterator[str]:
    """Imports are absolute, at the top: relative ones fail, for the module is loaded by its bare name."""
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (one.name for one in node.names)


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _classes(node: ast.Module | ast.ClassDef) -> list[ast.ClassDef]:
    return [one for one in node.body if isinstance(one, ast.ClassDef)]


def _literals(node: ast.ClassDef) -> dict[str, Any]:
    found = {}
    for one in node.body:
        assert isinstance(one, ast.Assign), "an annotated assignment is not seen"
        [target] = one.targets
        found[_name(target)] = ast.literal_eval(one.value)
    return found


def _name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _value(node: ast.AST) -> Any:
    """Return what NiFi reads of a keyword: a literal, a member's name, or a list of them."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.List):
        return [_value(one) for one in node.elts]
    assert isinstance(node, ast.Constant), f"not a literal: {ast.unparse(node)}"
    return node.value
