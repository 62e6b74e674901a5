"""SQL by name: every statement stands in a block that begins with `-- name: xyz`; reading them needs no driver."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal

_BLOCK = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*)\s*$", re.MULTILINE)


@cache
def load_statements(folder: Literal["queries", "sqlite"]) -> Mapping[str, str]:
    """Every named statement of a folder, by name.

    Args:
        folder: "queries" for PostgreSQL, "sqlite" for the temporary tables of file sources.

    Raises:
        ValueError: two files use the same name, or a file is not made of named blocks.
    """
    loaded: dict[str, str] = {}
    for file in sorted((files(__name__) / folder).iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".sql"):
            named = parse_statements(file.read_text(encoding="utf-8"))
            twice = loaded.keys() & named.keys()
            if twice:
                raise ValueError(f"{file.name}: the name {', '.join(sorted(twice))} stands in another file too")
            loaded |= named
    return MappingProxyType(loaded)


def parse_statements(text: str) -> dict[str, str]:
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
