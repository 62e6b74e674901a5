"""SQL stands in named files, and nowhere else."""

import ast
import re
from pathlib import Path

import pytest

from store.queries import load_queries, parse_queries

ROOT = Path(__file__).parents[2]
ROOMS = ("models", "store", "processors", "flows", "console")
SQL = re.compile(
    r"\b(select\s.*\sfrom|insert\s+into|update\s+\S+\s+set|delete\s+from|(create|alter|drop)\s+(table|schema|database|index))\b",
    re.IGNORECASE | re.DOTALL,
)


def sources(*rooms: str) -> list[Path]:
    return [path for room in rooms for path in (ROOT / room).rglob("*.py")]


def strings_of(path: Path) -> list[str]:
    """Every string of a module that is not a docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]


def test_every_named_query_is_used() -> None:
    spoken = {text for path in sources(*ROOMS) for text in strings_of(path)}
    assert set(load_queries()) - spoken == set()


@pytest.mark.parametrize("path", sources("store"), ids=lambda path: path.name)
def test_no_module_of_the_store_holds_sql(path: Path) -> None:
    assert [text for text in strings_of(path) if SQL.search(text)] == []


def test_the_search_for_sql_finds_sql() -> None:
    assert all(SQL.search(text) for text in ("select 1\nfrom t", "INSERT INTO t", "update t set a = 1", "drop table t"))


def test_queries_are_split_by_name() -> None:
    assert parse_queries("-- name: a\n-- why\nselect 1;\n\n-- name: b\nselect 2") == {
        "a": "-- why\nselect 1",
        "b": "select 2",
    }


@pytest.mark.parametrize(
    ("text", "fault"),
    [("select 1;\n-- name: a\nselect 2", "before the first"), ("-- name: a\n\n-- name: a\n", "stands twice")],
)
def test_a_file_without_clear_names_is_refused(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_queries(text)
