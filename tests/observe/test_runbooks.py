"""Every alert has a page, and what a page tells people to type is there."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from console.cli import build_app
from schemas.settings import Settings
from tests.observe.test_alerts import ROOT, RULES

BOOKS = ROOT / "docs" / "runbooks"
PAGES = sorted(path for path in BOOKS.glob("*.md") if path.name != "README.md")
SECTIONS = ["What it means", "Look first", "What to do", "Over when"]
APP: Any = typer.main.get_command(build_app([]))


def commands(text: str) -> list[list[str]]:
    """What is to be typed, word by word; a text in quotes is one word."""
    found = re.findall(r"`(coilflow [^`]+)`", text)
    return [re.findall(r'"[^"]*"|\S+', one)[1:] for one in found]


def fault_of(words: list[str]) -> str | None:
    """What is wrong with a command line, None where the command would take it."""
    command, given = APP, list(words)
    while hasattr(command, "commands"):
        known = command.commands
        if not given or given[0] not in known:
            return f"there is no command {' '.join(words)}"
        command = known[given.pop(0)]
    options = {name: one for one in command.params for name in (*one.opts, *one.secondary_opts)}
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    while given:
        word = given.pop(0)
        if word.startswith("--"):
            if word not in options:
                return f"{' '.join(words)}: no option {word}"
            if not options[word].is_flag and given:
                given.pop(0)
        elif not arguments:
            return f"{' '.join(words)}: no argument {word}"
        elif arguments[0].nargs != -1:
            arguments.pop(0)
    return None


def setting_of(name: str) -> bool:
    """Whether there is a setting of that name in its group."""
    group, _, inner = name.partition(".")
    default: Any = Settings.model_fields[group].default
    return inner in type(default).model_fields


def test_there_is_a_page_for_each_alert_and_no_other() -> None:
    named = {ROOT / rule["annotations"]["runbook_url"]: rule["alert"] for rule in RULES}
    assert set(named) == set(PAGES)
    for page, alert in named.items():
        assert page.read_text(encoding="utf-8").startswith(f"# {alert}: ")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_what_it_means_where_to_look_what_to_do_and_when_it_is_over(page: Path) -> None:
    assert re.findall(r"^## (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE) == SECTIONS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_is_one_that_there_is(page: Path) -> None:
    typed = commands(page.read_text(encoding="utf-8"))
    assert [fault for words in typed if (fault := fault_of(words))] == []


def test_pages_have_commands_to_type() -> None:
    assert sum(len(commands(page.read_text(encoding="utf-8"))) for page in PAGES) > 50


@pytest.mark.parametrize(
    "wrong",
    ["coilflow nonsense", "coilflow models nonsense", "coilflow doctor --nonsense", "coilflow scheduler list JOB"],
)
def test_a_command_that_there_is_not_would_be_found(wrong: str) -> None:
    [words] = commands(f"`{wrong}`")
    assert fault_of(words) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_settings_that_a_page_names_are_settings(page: Path) -> None:
    groups = "|".join(("stream", "policy", "retrain", "promotion", "schedule", "score", "alarms", "drift", "review"))
    named = re.findall(rf"`((?:{groups})\.[a-z_]+)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not setting_of(name)] == []


@pytest.mark.parametrize("page", [*PAGES, BOOKS / "README.md"], ids=lambda page: page.stem)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).is_file(), link


def test_the_index_has_every_alert() -> None:
    text = (BOOKS / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == sorted(
        (rule["alert"] for rule in RULES), key=lambda alert: text.index(f"`{alert}`")
    )
