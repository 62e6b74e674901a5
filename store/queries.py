"""Named SQL: every statement of the store stands in `schemas/sql/queries`, loaded once."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from psycopg import sql

_BLOCK = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*)\s*$", re.MULTILINE)


def parse_queries(text: str) -> dict[str, str]:
    """Split a file of `-- name: xyz` blocks into name -> statement, without its closing semicolon.

    Raises:
        ValueError: a name stands twice, or text stands before the first name.
    """
    head, *rest = _BLOCK.split(text)
    if head.strip():
        raise ValueError(f"text before the first `-- name:` line: {head.strip()[:60]!r}")
    names, bodies = rest[::2], rest[1::2]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"the name {', '.join(sorted(twice))} stands twice")
    return {name: body.strip().removesuffix(";") for name, body in zip(names, bodies, strict=True)}


@cache
def load_queries() -> Mapping[str, sql.SQL]:
    """Every named statement, by name.

    Raises:
        ValueError: two files use the same name.
    """
    loaded: dict[str, sql.SQL] = {}
    for file in sorted((files("schemas") / "sql" / "queries").iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".sql"):
            for name, text in parse_queries(file.read_text(encoding="utf-8")).items():
                if name in loaded:
                    raise ValueError(f"{file.name}: the name {name} stands in another file too")
                # The text is ours, shipped with the code: as safe as a literal.
                loaded[name] = sql.SQL(text)
    return MappingProxyType(loaded)


def query(name: str) -> sql.SQL:
    """The statement of that name, ready to execute."""
    return load_queries()[name]
