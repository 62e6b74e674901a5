"""The double of NiFi's Python API is as the real one, where there is one to compare it with."""

import ast
import inspect
import os
from pathlib import Path

import pytest

from tests.conftest import NIFI_HOME
from tests.nifi.running import API

# What our processors use, by module: classes with the methods, and enumerations with the members.
USED = {
    "flowfiletransform": {
        "FlowFileTransform": ["setContext", "transformFlowFile", "transform"],
        "FlowFileTransformResult": ["__init__", "getRelationship", "getContents", "getAttributes"],
    },
    "flowfilesource": {
        "FlowFileSource": ["setContext", "createFlowFile", "create"],
        "FlowFileSourceResult": ["__init__", "getRelationship", "getContents", "getAttributes"],
    },
    "relationship": {"Relationship": ["__init__"]},
    "properties": {
        "PropertyDescriptor": ["__init__"],
        "PythonPropertyValue": ["__init__", "getValue", "isExpressionLanguagePresent", "evaluateAttributeExpressions"],
        "ProcessContext": ["__init__"],
    },
}
MEMBERS = {
    "StandardValidators": [
        "ALWAYS_VALID",
        "NON_EMPTY_VALIDATOR",
        "POSITIVE_INTEGER_VALIDATOR",
        "FILE_EXISTS_VALIDATOR",
        "URI_VALIDATOR",
    ],
    "ExpressionLanguageScope": ["NONE", "ENVIRONMENT", "FLOWFILE_ATTRIBUTES"],
}
KEPT = {  # attributes that NiFi's adapter, or we, read
    "PythonPropertyValue": {"value", "property_value", "el_supported", "el_present", "referenced_attribute"},
    "PropertyDescriptor": {
        "name",
        "required",
        "sensitive",
        "defaultValue",
        "allowableValues",
        "expressionLanguageScope",
    },
    "Relationship": {"name", "description", "auto_terminated"},
}


@pytest.fixture
def real() -> Path:
    """Folder of the real `nifiapi`."""
    found = Path(os.environ[NIFI_HOME]) / "python" / "api" / "nifiapi"
    assert found.is_dir(), f"{NIFI_HOME} names no NiFi: {found} is not there"
    return found


@pytest.mark.nifi
@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in USED.items() for name in names])
def test_methods_that_we_use_take_the_same_arguments_as_nifis(module: str, name: str, real: Path) -> None:
    ours, theirs = (_class(folder / f"{module}.py", name) for folder in (API / "nifiapi", real))
    for method in USED[module][name]:
        assert _arguments(ours, method) == _arguments(theirs, method), method
    assert KEPT.get(name, set()) <= _attributes(ours) & _attributes(theirs)


@pytest.mark.nifi
@pytest.mark.parametrize("name", MEMBERS)
def test_validators_and_scopes_that_we_name_are_nifis(name: str, real: Path) -> None:
    for folder in (API / "nifiapi", real):
        node = _class(folder / "properties.py", name)
        assert set(MEMBERS[name]) <= {_target(one) for one in ast.walk(node)}


@pytest.mark.nifi
def test_a_context_gives_a_property_by_name_or_descriptor(real: Path) -> None:
    theirs = _class(real / "properties.py", "PropertyContext")
    assert _arguments(_class(API / "nifiapi" / "properties.py", "ProcessContext"), "getProperty") == _arguments(
        theirs, "getProperty"
    )


def test_the_comparison_finds_a_method_that_differs(tmp_path: Path) -> None:
    other = tmp_path / "relationship.py"
    other.write_text("class Relationship:\n    def __init__(self, name, auto_terminated=True): pass\n")
    ours = _class(API / "nifiapi" / "relationship.py", "Relationship")
    assert _arguments(ours, "__init__") != _arguments(_class(other, "Relationship"), "__init__")


def _class(file: Path, name: str) -> ast.ClassDef:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    [found] = [one for one in tree.body if isinstance(one, ast.ClassDef) and one.name == name]
    return found


def _arguments(node: ast.ClassDef, method: str) -> list[tuple[str, str]]:
    """Name and default of each argument of a method; the file is not imported, for it asks Java as it is loaded."""
    [found] = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == method]
    names = [one.arg for one in found.args.args]
    defaults = [inspect.Parameter.empty] * (len(names) - len(found.args.defaults)) + [*found.args.defaults]
    return [
        (name, ast.unparse(given) if isinstance(given, ast.AST) else "")
        for name, given in zip(names, defaults, strict=True)
    ]


def _attributes(node: ast.ClassDef) -> set[str]:
    return {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store)}


def _target(node: ast.AST) -> str:
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return node.target.id if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else ""
