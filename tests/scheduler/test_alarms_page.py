"""docs/scheduler.md's promise: it names every kind of alarm that coilflow raises."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scheduler.md").read_text(encoding="utf-8")


def test_the_page_names_every_kind_of_alarm() -> None:
    table = re.search(r"^\| kind \| subject \| when \| what to do \|\n(\|.+\n)+", PAGE, re.MULTILINE)
    assert table
    told = {kind for row in table.group().splitlines() for kind in re.findall(r"`(\w+)`", row.split("|")[1])}
    kinds = {kind for path in (ROOT / "scheduler").glob("*.py") for kind in _kinds(path.read_text(encoding="utf-8"))}
    assert {"no_leader", "bad_crontab", "drift", "rolled_back"} <= kinds
    assert kinds == told


def _kinds(source: str) -> Iterator[str]:
    """Kinds of alarms in a module: its public constants where it raises any, and those written out in the call."""
    if not re.search(r"\b(raise_alarm|settle)\b", source):
        return
    tree = ast.parse(source)
    for line in tree.body:
        if isinstance(line, ast.Assign) and all(name.isupper() and name[0] != "_" for name in _names(line.targets)):
            yield from _texts(line.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "raise_alarm":
            yield from _texts(node.args[1])


def _names(targets: list[ast.expr]) -> list[str]:
    return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]


def _texts(node: ast.expr) -> Iterator[str]:
    for part in node.elts if isinstance(node, ast.Tuple) else [node]:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value
