"""SQL stands in named files, and nowhere else."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from console.cli import build_app
from schemas.sql import load_statements, parse_statements

ROOT = Path(__file__).parents[2]
ROOMS = ("schemas", "plant", "models", "store", "processors", "flows", "scheduler", "console")
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
    assert (load_statements("queries").keys() | load_statements("sqlite").keys()) - spoken == set()


@pytest.mark.parametrize("path", sources(*ROOMS), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_holds_sql(path: Path) -> None:
    assert [text for text in strings_of(path) if SQL.search(text)] == []


def test_remedies_of_the_store_quote_commands_that_exist() -> None:
    app = build_app([])
    known = {command.callback.__name__ for command in app.registered_commands if command.callback}
    known |= {str(group.typer_instance.info.name) for group in app.registered_groups if group.typer_instance}
    quoted = {
        command
        for path in sources("store")
        for text in strings_of(path)
        for command in re.findall(r"`coilflow (\w+)", text)
    }
    assert quoted
    assert quoted <= known


def test_the_search_for_sql_finds_sql() -> None:
    assert all(SQL.search(text) for text in ("select 1\nfrom t", "INSERT INTO t", "update t set a = 1", "drop table t"))


def test_queries_are_split_by_name() -> None:
    assert parse_statements("-- name: a\n-- why\nselect 1;\n\n-- name: b\nselect 2") == {
        "a": "-- why\nselect 1",
        "b": "select 2",
    }


@pytest.mark.parametrize(
    ("text", "fault"),
    [("select 1;\n-- name: a\nselect 2", "before the first"), ("-- name: a\n\n-- name: a\n", "stands twice")],
)
def test_a_file_without_clear_names_is_refused(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_statements(text)


def test_a_name_stands_in_one_file_of_a_folder() -> None:
    for folder in (ROOT / "schemas" / "sql" / "queries", ROOT / "schemas" / "sql" / "sqlite"):
        names = [name for file in folder.glob("*.sql") for name in parse_statements(file.read_text(encoding="utf-8"))]
        assert len(names) == len(set(names)) > 0


def test_statements_for_file_sources_need_no_postgresql_driver() -> None:
    import_them = "import sys; sys.modules['psycopg'] = None; import flows.sources.coil_index, flows.sources.seen"
    done = subprocess.run([sys.executable, "-c", import_them], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
