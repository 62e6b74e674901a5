"""docs/nifi.md names every property, relationship and attribute, and no other."""

import re
from pathlib import Path

from tests.nifi.documented import property_table, relationship_table
from tests.nifi.running import PROCESSORS, ROOT

PAGE = (ROOT / "docs" / "nifi.md").read_text(encoding="utf-8")
NOT_ATTRIBUTES = {"coilflow.nifi", "coilflow.kind", "coilflow.refused", "coilflow.toml", "coilflow.feedback."}
_NAME = r"coilflow\.[a-z_.]+"


def test_properties_are_told_as_the_processors_have_them() -> None:
    assert property_table() in PAGE


def test_relationships_are_told_as_the_processors_have_them() -> None:
    assert relationship_table() in PAGE


def test_every_attribute_is_told_and_no_other() -> None:
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / "flows" / "nifi").glob("*.py")]
    written = {name for text in sources for name in re.findall(rf'f?"({_NAME})', text)} - NOT_ATTRIBUTES
    states = {f"coilflow.feedback.{state}" for state in ("joined", "waiting", "repeated")}
    told = set(re.findall(rf"`({_NAME})`", PAGE)) - NOT_ATTRIBUTES
    assert told == written | states


def test_every_processor_and_each_linked_page_is_there() -> None:
    assert all(file.stem in PAGE for file in PROCESSORS.glob("*.py"))
    links = re.findall(r"\]\((?!http)([^)#]+)\)", PAGE)
    assert [link for link in links if not (Path(ROOT) / "docs" / link).exists()] == []
