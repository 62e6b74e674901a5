"""Every file in processors/nifi is found by NiFi's loader, and says of itself what it does."""

import ast
import re
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from flows.nifi import properties as names
from flows.nifi.incoming import Format
from models.installed import installed_version
from schemas.settings import Settings
from tests.nifi import loader_rules
from tests.nifi.running import PROCESSORS, SOURCES, load

FILES = sorted(PROCESSORS.glob("*.py"))
NAMES = {value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)}
SECRETS = {names.DATABASE_DSN, names.PASSWORD}
GIVEN = {names.BROKER_URI, names.TOPIC, names.CLIENT_ID}  # required, and nobody can know them before


def test_there_are_eight_processors_and_nothing_else_in_the_folder() -> None:
    assert [file.stem for file in FILES] == [
        "AssembleCoil",
        "JoinFeedback",
        "NormalizeCoil",
        "ReceiveMqtt",
        "RecordVerdict",
        "SampleForReview",
        "ScoreCoil",
        "ScoreModels",
    ]
    assert {file.suffix for file in PROCESSORS.iterdir() if file.name != "__pycache__"} == {".py"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_nifi_reads_the_details_without_running_the_file(file: Path) -> None:
    processor = loader_rules.one_processor(file)
    told = loader_rules.details(processor)
    expected = loader_rules.SOURCE if file.stem in SOURCES else loader_rules.TRANSFORM
    assert loader_rules.interfaces(processor) == [expected]
    assert told["version"] == installed_version("coilflow")
    assert "dependencies" not in told, "a bundled folder brings them all"
    assert len(told["description"]) > 40
    assert "coilflow" in told["tags"]
    assert all(isinstance(tag, str) for tag in told["tags"])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_nifi_reads_every_property_from_the_source_as_the_processor_has_it(file: Path) -> None:
    read = loader_rules.properties(loader_rules.one_processor(file))
    had = load(file)().getPropertyDescriptors()
    assert [one["name"] for one in read] == [one.name for one in had]
    for text, one in zip(read, had, strict=True):
        assert set(text) <= {
            "name", "description", "required", "sensitive", "default_value",
            "allowable_values", "validators", "expression_language_scope",
        }  # fmt: skip
        assert text["name"] in NAMES
        assert len(text["description"]) > 20
        assert text.get("required", False) == one.required == ("default_value" in text or one.name in GIVEN)
        assert text.get("sensitive", False) == one.sensitive == (one.name in SECRETS)
        assert text.get("default_value") == one.defaultValue
        assert text.get("expression_language_scope", "NONE") == one.expressionLanguageScope.name
        assert ("validators" in text) != ("allowable_values" in text), "each is held to something"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_processor_declares_every_property_that_its_step_reads(file: Path) -> None:
    had = {one.name for one in load(file)().getPropertyDescriptors()}
    assert _read_by(file) <= had


def test_choices_are_those_that_the_steps_know() -> None:
    choices = {
        one["name"]: one.get("allowable_values")
        for file in FILES
        for one in loader_rules.properties(loader_rules.one_processor(file))
    }
    assert choices[names.FORMAT] == ["detect", *get_args(Format)]
    assert choices[names.CONTENT] == list(get_args(names.Content))
    assert set(choices[names.MODE] or ()) == set(get_args(Settings.model_fields["mode"].annotation))


def test_defaults_are_those_of_the_steps() -> None:
    told = {
        one["name"]: one.get("default_value")
        for file in FILES
        for one in loader_rules.properties(loader_rules.one_processor(file))
    }
    assert float(told[names.LEASE] or 0) == names.DEFAULT_LEASE_S
    assert int(told[names.BATCH_COILS] or 0) == names.DEFAULT_BATCH_COILS
    assert told[names.CONTENT] == names.content_of({})
    assert told[names.MODE] is None, "else it would win over coilflow's own setting"
    assert set(Settings.model_fields) >= {"database_dsn", "data_dir", "mode", "batch_coils", "plant"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_processor_imports_nothing_but_nifi_the_standard_library_and_its_step(file: Path) -> None:
    for module in loader_rules.imported(file):
        room = module.split(".")[0]
        assert room in sys.stdlib_module_names | {"nifiapi"} or module.startswith("flows.nifi")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_relationships_say_where_everything_goes(file: Path) -> None:
    processor = load(file)()
    had = {one.name: one for one in processor.getRelationships()}
    assert ({"success"} if file.stem in SOURCES else {"success", "dead_letter"}) <= set(had)
    assert not {"failure", "original"} & set(had), "NiFi adds them"
    assert {name for name, one in had.items() if one.auto_terminated} <= {"waiting", "unchanged", "nothing"}
    assert all(len(one.description) > 20 for one in had.values())
    assert processor.getRelationships() == processor.getRelationships(), "NiFi keeps what it made of equal ones"


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ("two processors", "class A:\n class Java:\n  implements=[]\nclass B:\n class Java:\n  implements=[]"),
        ("named otherwise", "class Other:\n class Java:\n  implements=[]"),
        ("annotated", "class A:\n class Java:\n  implements: list[str] = []"),
        ("computed", "class A:\n class Java:\n  implements=[str(1)]"),
        ("relative import", "from . import helper\nclass A:\n class Java:\n  implements=[]"),
        ("positional", "class A:\n class Java:\n  implements=[]\n P = PropertyDescriptor('n')"),
        ("formatted", "class A:\n class Java:\n  implements=[]\n P = PropertyDescriptor(name=f'{1}')"),
        ("in a list", "class A:\n class Java:\n  implements=[]\n P = [PropertyDescriptor(name='n')]"),
    ],
    ids=lambda given: given if "\n" not in given else "",
)
def test_the_checks_find_what_nifi_would_not_see(wrong: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "A.py"
    file.write_text(text)

    def check() -> Any:
        processor = loader_rules.one_processor(file)
        return loader_rules.interfaces(processor), loader_rules.properties(processor), list(loader_rules.imported(file))

    with pytest.raises((AssertionError, ValueError)):
        check()


def _read_by(file: Path) -> set[str]:
    """Names of the properties whose constants the step's module, and what it imports of flows.nifi, mentions."""
    [step] = [m for m in loader_rules.imported(file) if m not in ("flows.nifi", "flows.nifi.step") and "flows" in m]
    source = Path(names.__file__).with_name(f"{step.split('.')[-1]}.py").read_text(encoding="utf-8")
    used = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    functions = {"lease_s_of": names.LEASE, "content_of": names.CONTENT, "format_of": names.FORMAT}
    found = {functions[name] for name in used & set(functions)}
    return found | {
        str(getattr(names, name)) for name in used if re.fullmatch(r"[A-Z_]+", name) and hasattr(names, name)
    }
