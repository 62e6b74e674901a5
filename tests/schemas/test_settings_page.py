"""docs/settings.md's promise: every setting of the loop and the console is there, with the default that it has."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr

from schemas import console_settings, loop_settings
from schemas.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
GROUPS = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type)
    and issubclass(field.annotation, BaseModel)
    and field.annotation.__module__ in (console_settings.__name__, loop_settings.__name__)
}


@pytest.mark.parametrize("group", GROUPS)
def test_the_page_has_every_setting_with_its_default(group: str) -> None:
    table = re.search(rf"^\| `\[{group}\]`.+\n(\|.+\n)+", PAGE, re.MULTILINE)
    assert table, f"docs/settings.md has no table of [{group}]"
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", table.group(), re.MULTILINE)
    assert dict(rows) == {name: _said(field.default) for name, field in GROUPS[group].model_fields.items()}


def test_the_loop_has_its_eight_groups_and_the_console_its_own() -> None:
    loop = ["review", "score", "drift", "policy", "retrain", "promotion", "schedule", "alarms"]
    assert list(GROUPS) == [*loop, "console"]


def _said(default: object) -> str:
    """A default as the page writes it."""
    if isinstance(default, SecretStr):
        return f"`{default.get_secret_value()}`"
    if default is None or default == ():
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, int | float) else f"`{default}`"
